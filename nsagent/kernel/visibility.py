"""What a procfs hides: its mount options, and whether PID 1 is in there.

Source: proc(5), mount options hidepid and subset; proc_pid_mountinfo(5).
"""

import os
from collections.abc import Container, Iterable

from nsagent.errors import FormatError, Gone, NotRead
from nsagent.kernel.capabilities import Capability, read_capabilities
from nsagent.kernel.files import read_file, translate_failure
from nsagent.kernel.formats.mountinfo import ProcOptions, parse_proc_options
from nsagent.kernel.procfs import ProcFs
from nsagent.model.facts import Visibility
from nsagent.model.ids import Pid


def read_visibility(root: str, pids: Container[int], *, own: str = "/proc/self") -> Visibility:
    """How much of its processes the procfs at `root` shows, where `pids` are those that it listed.

    A copy of a procfs hides nothing. `own` is the directory of this process in the procfs that
    tells its mounts. With `ptraceable`, and with the others for whoever is not in the group that
    the mount exempts, processes of others are hidden without CAP_SYS_PTRACE.

    Raises NotRead and FormatError.
    """
    try:
        device = os.stat(root).st_dev
        mounts = read_file(f"{own}/mountinfo")
    except OSError as err:
        raise translate_failure(err, f"mount options of {root}") from err
    options = parse_proc_options(mounts, os.major(device), os.minor(device))
    if options is None:
        return Visibility()
    init = 1 in pids
    return Visibility(options.hidepid, options.subset, init, partial=not init or _may_hide(options, own))


def shows_kernel_threads(procfs: ProcFs, pids: Iterable[Pid]) -> bool:
    """Whether the kernel's own threads are among these processes: they are in the first PID namespace alone."""
    for pid in pids:  # kthreadd is the second of them.
        try:
            with procfs.open_process(pid) as process:
                if process.read_stat().is_kernel_thread:
                    return True
        except (Gone, NotRead, FormatError):
            continue
    return False


def _may_hide(options: ProcOptions, own: str) -> bool:
    """Whether the procfs leaves processes out for this one; fs/proc/base.c has_pid_permissions()."""
    if options.hidepid not in ("invisible", "ptraceable"):
        return False
    if options.hidepid == "invisible" and options.gid in (os.getegid(), *os.getgroups()):
        return False
    return not read_capabilities(own=own) >> Capability.SYS_PTRACE & 1
