"""How sockets are read on this host, and what other than capabilities stands in the way.

The answers are of this process, which may do more than a pass in a container, or less.
"""

import os
from typing import Final

from nsagent.errors import FormatError, NotRead
from nsagent.kernel.capabilities import Capability, read_capabilities
from nsagent.kernel.files import read_file
from nsagent.kernel.seccomp import has_filter
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.check import Check, CheckState
from nsagent.model.choices import EngineName

_ENGINE: Final = "engine"
_LSM: Final = "lsm"
_ALLOW_NETLINK: Final = "let seccomp and RestrictAddressFamilies= allow socket(AF_NETLINK)"
_UNCONFINE: Final = "appArmorProfile: {type: Unconfined}, docker run --security-opt apparmor=unconfined"


def check_engine(mask: int | None = None) -> Check:
    """How a pass reads sockets with the capabilities of `mask`, by default those of this process; why not better."""
    try:
        SockDiag().close()
    except NotRead as err:
        detail = f"{err}: sockets are read from the files of /proc"
        return Check(EngineName.PROC, _ENGINE, CheckState.FAILED, detail=detail, fix=_ALLOW_NETLINK)
    try:
        mask = read_capabilities() if mask is None else mask
    except (NotRead, FormatError) as err:
        return Check("capabilities", _ENGINE, CheckState.FAILED, detail=str(err))
    if mask >> Capability.SYS_ADMIN & 1:
        return Check(EngineName.SOCK_DIAG, _ENGINE, CheckState.USED, detail="the best there is in this version")
    detail = f"in the own netns alone; others are read from the files of /proc ({EngineName.PROC})"
    return Check(EngineName.SOCK_DIAG, _ENGINE, CheckState.USED, detail=detail, fix="add CAP_SYS_ADMIN, to enter netns")


def check_confinement(own: str = "/proc/self") -> Check:
    """What a security module and a filter of system calls say of this process.

    Docker's profile of AppArmor, and its kin, hide the processes of the host from any capability.
    Source: proc_pid_attr(5), seccomp(2).
    """
    label = _read_label(own)
    filtered = "a filter decides about system calls" if has_filter() else None
    if label is None or label == "unconfined":
        return Check(label or "none", _LSM, CheckState.USED, detail=filtered)
    confined = label.endswith(" (enforce)")
    return Check(
        label,
        _LSM,
        CheckState.FAILED if confined else CheckState.USED,
        detail="; ".join(filter(None, ("may hide processes of the host" if confined else None, filtered))) or None,
        fix=_UNCONFINE if confined else None,
    )


def _read_label(own: str) -> str | None:
    """What the security module calls this process, None where there is none that labels processes."""
    try:
        return os.fsdecode(read_file(f"{own}/attr/current")).rstrip("\n\0") or None
    except OSError:
        return None
