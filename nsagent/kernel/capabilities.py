"""The capabilities of this program, and giving back those that it will not need.

Source: capabilities(7), capset(2), prctl(2) PR_CAPBSET_DROP and PR_SET_NO_NEW_PRIVS, proc_pid_status(5);
include/uapi/linux/capability.h. What a read needs is told where the read is.
"""

import os
import re
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import IntEnum
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.files import read_file, translate_failure
from nsagent.kernel.libc import call_libc
from nsagent.kernel.seccomp import has_filter, survives

_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522
_SYS_CAPSET: Final[Mapping[str, int]] = {
    "x86_64": 126,
    "aarch64": 91,
    "riscv64": 91,
    "loongarch64": 91,
    "ppc64le": 184,
    "s390x": 185,
    "armv7l": 185,
    "i686": 185,
}
"""Machine of uname(2) -> number of the system call."""
_MASK: Final = rb"\t([0-9a-f]{1,16})\n"
_LINES: Final = re.compile(rb"CapInh:%sCapPrm:%sCapEff:%sCapBnd:%s(?:CapAmb:%s)?" % (_MASK, _MASK, _MASK, _MASK, _MASK))


class Capability(IntEnum):
    """Those that some read of nsagent needs, and SETPCAP, which it takes to narrow the bounding set."""

    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    SETPCAP = 8
    NET_BROADCAST = 11
    NET_ADMIN = 12
    SYS_PTRACE = 19
    SYS_ADMIN = 21


class _Rights(NamedTuple):
    """The sets of a thread as bit masks, and whether it can gain no more by exec."""

    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int
    no_new_privs: bool


def read_capabilities(*, own: str = "/proc/self") -> int:
    """The effective capabilities of this program, as a bit mask. Raises NotRead and FormatError."""
    return _read_rights(own).effective


def give_back_capabilities(kept: Iterable[Capability], *, own: str = "/proc/self") -> int:
    """Keep these alone of the capabilities that there are, and gain none any more, not by exec either.

    The mask of those that may be there then, -1 for all; whether the others have gone read_capabilities() tells.

    It is about the calling thread and those that it starts from then on: call it before any other is
    there. Without SYS_PTRACE all stay, as only who has all capabilities of a process may then read
    it; without DAC_READ_SEARCH DAC_OVERRIDE does, which is more. What the kernel refuses, or a seccomp
    filter kills for, is left as it was: no answer is the worse for it. Raises NotRead and FormatError. Takes
    0.2 ms, for loading ctypes 1 ms more where nothing else has, under a filter 20 ms (kernel.seccomp); nothing
    where there is nothing to give back.
    """
    rights = _read_rights(own)
    wanted = sum(1 << capability for capability in set(kept))
    if not _has(rights.effective, Capability.DAC_READ_SEARCH):
        wanted |= 1 << Capability.DAC_OVERRIDE
    if not _has(rights.effective, Capability.SYS_PTRACE):
        wanted = -1
    if rights.no_new_privs and not (rights.permitted | rights.inheritable) & ~wanted:
        return wanted
    # Who outlives that outlives prctl(2) too, which the child that tries it calls.
    if not has_filter() or survives(_SYS_CAPSET.get(os.uname().machine, -1)):
        _narrow_bounds(rights, wanted)
        _give_back(rights, wanted)
    return wanted


def _narrow_bounds(rights: _Rights, wanted: int) -> None:
    """Give up what an exec could bring back. It needs a right itself, so that it comes before the rest."""
    with suppress(OSError):
        call_libc("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        for number in range(rights.bounding.bit_length() if _has(rights.effective, Capability.SETPCAP) else 0):
            if _has(rights.bounding & ~wanted, number):
                call_libc("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0)


def _give_back(rights: _Rights, wanted: int) -> None:
    effective, permitted = rights.effective & wanted, rights.permitted & wanted
    # A program that is started keeps what is ambient, which takes being inheritable: of a user who is not root the
    # children that look things up (kernel.lookups) have no other rights. Nothing else stays inheritable.
    inheritable = rights.ambient & wanted
    # Two words of 32 bits of each set.
    words = (effective, permitted, inheritable, effective >> 32, permitted >> 32, inheritable >> 32)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    with suppress(OSError):
        call_libc("capset", header, struct.pack("=6I", *(word & 0xFFFFFFFF for word in words)))


def _has(mask: int, number: int) -> bool:
    return bool(mask >> number & 1)


def _read_rights(own: str) -> _Rights:
    """Those of the main thread; CapAmb is told from Linux 4.3 on, NoNewPrivs from 4.10."""
    try:
        status = read_file(f"{own}/status")
    except OSError as err:
        raise translate_failure(err, "own capabilities") from err
    found = re.search(_LINES, status)
    if found is None:
        raise FormatError("lines CapInh to CapBnd of /proc/self/status", status)
    inheritable, permitted, effective, bounding, ambient = (int(mask, 16) for mask in found.groups(b"0"))
    return _Rights(inheritable, permitted, effective, bounding, ambient, b"\nNoNewPrivs:\t1\n" in status)
