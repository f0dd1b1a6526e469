"""The netns of the host: that of the kernel's own threads. What is made in there stays there.

Source: network_namespaces(7); kernel/kthread.c: kthreadd, which begins all of them, never leaves it.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from nsagent.errors import EventsUnavailable, FormatError, Gone, NotRead, Reason
from nsagent.kernel.libc import close_fd
from nsagent.kernel.netns import Entering
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.threads import run_in_threads

T = TypeVar("T")


def make_in_host_netns(procfs: ProcFs, make: Callable[[], T]) -> T:
    """What `make` returns in a thread that has gone into the netns of the host, and ends then; raises what it raises.

    Needs CAP_SYS_PTRACE, and from another netns CAP_SYS_ADMIN. Raises EventsUnavailable where that netns cannot be
    found or entered.
    """
    netns = _open_host_netns(procfs)
    if netns is None:
        raise EventsUnavailable("no thread of the kernel shows which netns is the host's", Reason.UNREACHABLE)

    def enter_and_make() -> T:
        try:
            Entering(procfs.root).enter(netns)
        except NotRead as err:
            raise EventsUnavailable(f"the host's netns: {err}", err.reason, err.errno) from err
        return make()

    try:
        return run_in_threads([enter_and_make], threading.Event())[0]
    except NotRead as err:
        raise EventsUnavailable(f"the host's netns: {err}", err.reason, err.errno) from err
    finally:
        close_fd(netns)


def _open_host_netns(procfs: ProcFs) -> int | None:
    """An fd on the netns of a kernel thread, which is the host's; None where there is none to be seen."""
    with suppress(NotRead):
        for pid in procfs.list_pids():  # kthreadd is the second of them.
            with suppress(Gone, NotRead, FormatError), procfs.open_process(pid) as process:
                if process.read_stat().is_kernel_thread:
                    return process.open_netns()
    return None
