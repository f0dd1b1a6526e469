"""/proc/PID/status: of its lines, whose child a process is, and what PID namespaces call it.

Source: proc_pid_status(5), fs/proc/array.c task_state(). comm, the only text in it that a process
chooses, is escaped there: no line of it can be forged.
"""

import re
from typing import NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.numbers import parse_decimal
from nsagent.model.ids import Pid

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
