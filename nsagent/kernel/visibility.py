"""What a procfs hides: its mount options, and whether PID 1 is in there.

Source: proc(5), mount options hidepid and subset; proc_pid_mountinfo(5).
"""

import os
from collections.abc import Container

from nsagent.kernel.formats.mountinfo import parse_proc_options
from nsagent.kernel.procfs import read_file, translate_errno
from nsagent.model.facts import Visibility


def read_visibility(root: str, pids: Container[int], *, own: str = "/proc/self") -> Visibility:
    """How much of its processes the procfs at `root` shows, where `pids` are those that it listed.

    A copy of a procfs hides nothing. `own` is the directory of this process in the procfs that
    tells its mounts. With `ptraceable`, and with the others for whoever is not in the group that
    the mount exempts, processes of others are hidden without CAP_SYS_PTRACE.

    Raises AccessDenied, ReadFailed and FormatError.
    """
    try:
        device = os.stat(root).st_dev
        mounts = read_file(f"{own}/mountinfo")
    except OSError as err:
        raise translate_errno(err, f"mount options of {root}", gone=False) from err
    options = parse_proc_options(mounts, os.major(device), os.minor(device))
    if options is None:
        return Visibility()
    return Visibility(options.hidepid, options.subset, init=1 in pids)
