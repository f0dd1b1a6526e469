"""/proc/PID/status: whose child a process is, what PID namespaces call it, its rights, and its memory.

Source: proc_pid_status(5), fs/proc/array.c task_state(). comm, the only text in it that a process
chooses, is escaped there: no line of it can be forged.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.capability_names import name_capabilities
from nsagent.kernel.formats.numbers import parse_decimal, parse_hex
from nsagent.model.ids import Pid
from nsagent.model.process_details import Capabilities, Seccomp, Status, StatusMemory

_SECCOMP: Final = (Seccomp.OFF, Seccomp.STRICT, Seccomp.FILTER)
_LINE = re.compile(rb"^(PPid|NSpid):\t([0-9\t]+)$", re.MULTILINE)


class Family(NamedTuple):
    """`parent` is 0 where that is not seen in the PID namespace of the procfs.

    `pids` are the pids of the process itself, in that one first and in its own last.
    """

    parent: Pid
    pids: tuple[Pid, ...]


def parse_family(status: bytes) -> Family:
    """The family in the text of a status file; raises FormatError, also before Linux 4.1, which tells no NSpid."""
    lines = {match[1]: match[2].split(b"\t") for match in _LINE.finditer(status)}
    try:
        (parent,) = lines[b"PPid"]
        return Family(Pid(parse_decimal(parent, 32)), tuple(Pid(parse_decimal(pid, 32)) for pid in lines[b"NSpid"]))
    except (KeyError, ValueError) as err:
        raise FormatError("lines like PPid:\t1 and NSpid:\t812\t1", status) from err


def parse_ids(status: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """Its uids and its gids, of each the real and the effective one; raises FormatError."""
    found = re.search(rb"^Uid:\t(\d+)\t(\d+)\t.*\nGid:\t(\d+)\t(\d+)\t", status, re.MULTILINE)
    try:
        uid, euid, gid, egid = (parse_decimal(each, 32) for each in (found.groups() if found else ()))
    except ValueError as err:
        raise FormatError("lines like Uid:\t0\t0\t0\t0 and Gid:\t0\t0\t0\t0", status) from err
    return (uid, euid), (gid, egid)


def parse_status(status: bytes) -> Status:
    """All of it but memory; raises FormatError, also where a line is missing that every kernel since 4.1 has."""
    lines = _split_lines(status)
    family = parse_family(status)
    try:
        uids, gids = (_parse_four(lines[name]) for name in (b"Uid", b"Gid"))
        umask, seccomp = lines.get(b"Umask"), _parse_number(lines, b"Seccomp")
        no_new_privs = _parse_number(lines, b"NoNewPrivs")
        return Status(
            parent=family.parent,
            pids=family.pids,
            tracer=Pid(parse_decimal(lines[b"TracerPid"], 32)),
            umask=None if umask is None else _parse_octal(umask),
            uids=uids,
            gids=gids,
            groups=tuple(parse_decimal(each, 32) for each in lines[b"Groups"].split()),
            threads=_parse_number(lines, b"Threads"),
            capabilities=Capabilities(*(_name_set(lines, name) for name in (b"Inh", b"Prm", b"Eff", b"Bnd", b"Amb"))),
            no_new_privs=None if no_new_privs is None else bool(no_new_privs),
            seccomp=None if seccomp is None else _SECCOMP[seccomp],
            seccomp_filters=_parse_number(lines, b"Seccomp_filters"),
            voluntary_switches=_parse_number(lines, b"voluntary_ctxt_switches"),
            involuntary_switches=_parse_number(lines, b"nonvoluntary_ctxt_switches"),
        )
    except (KeyError, ValueError, IndexError) as err:
        raise FormatError("lines of /proc/PID/status", status) from err


def parse_status_memory(status: bytes) -> StatusMemory | None:
    """Its memory, None where it tells of none: a kernel thread, or a zombie. Raises FormatError."""
    lines = _split_lines(status)
    names = (b"VmSize", b"VmPeak", b"VmRSS", b"VmHWM", b"VmSwap", b"VmLck")
    try:
        sizes = [_parse_kib(lines[name]) if name in lines else None for name in names]
    except ValueError as err:
        raise FormatError("lines like VmRSS:\t1768 kB", status) from err
    return None if sizes[0] is None else StatusMemory(*sizes)


def _split_lines(status: bytes) -> dict[bytes, bytes]:
    named = (line.partition(b":") for line in status.split(b"\n"))
    return {name: value.strip() for name, _, value in named}


def _parse_four(text: bytes) -> tuple[int, int, int, int]:
    first, second, third, fourth = (parse_decimal(each, 32) for each in text.split())
    return first, second, third, fourth


def _parse_number(lines: Mapping[bytes, bytes], name: bytes) -> int | None:
    return parse_decimal(lines[name], 64) if name in lines else None


def _parse_octal(text: bytes) -> int:
    if not text.isdigit():
        raise ValueError(text)
    return int(text, 8)


def _parse_kib(text: bytes) -> int:
    number, unit = text.split()
    if unit != b"kB":
        raise ValueError(text)
    return parse_decimal(number, 64) * 1024


def _name_set(lines: Mapping[bytes, bytes], name: bytes) -> tuple[str, ...]:
    return name_capabilities(parse_hex(lines[b"Cap" + name], 64))
