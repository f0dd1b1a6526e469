"""Threads that somebody named -> the processes and netns that a snapshot knows: it has no thread ids."""

import re
from typing import Final

from nsagent.cli.options import Source
from nsagent.errors import NsagentError
from nsagent.kernel.proc_mount import read_proc_mount
from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Pid
from nsagent.model.snapshot import Snapshot
from nsagent.query.filter import Filter

_NETNS_PATH: Final = re.compile(r"/proc/(\d{1,9})/(?:task/(\d{1,9})/)?ns/net", re.ASCII)


def name_processes(wanted: Filter, snapshot: Snapshot, source: Source) -> Filter:
    """The filter with the process of each thread that it names, as the procfs that was read says now.

    What is no thread there, or not any more, stays as it is; so does all where a capture was read.
    """
    known = {process.pid for process in snapshot.processes}
    expression = wanted.expression
    if expression is not None:
        from nsagent.query.expression import map_filters

        expression = map_filters(expression, lambda each: name_processes(each, snapshot, source))
    return wanted._replace(
        expression=expression,
        pids=tuple(pid if pid in known else _find_leader(pid, source) or pid for pid in wanted.pids),
        netns=tuple(name_netns(text, snapshot, source) for text in wanted.netns),
    )


def name_netns(text: str, snapshot: Snapshot, source: Source) -> str:
    """The same for what names a netns: in place of the path of a thread the inode, else the path of its process."""
    known = {process.pid for process in snapshot.processes}

    def name(path: re.Match[str]) -> str:
        pid, tid = Pid(int(path[1])), path[2]
        if pid in known and tid is None:
            return path[0]
        return _find_netns(Pid(int(tid or pid)), source) or path[0]

    return _NETNS_PATH.sub(name, text)


def _find_leader(pid: Pid, source: Source) -> Pid | None:
    if source.is_captured:
        return None
    root = str(source.host.proc_root)
    try:
        with ProcFs(root, read_proc_mount(root).covered).open_process(pid) as thread:
            return thread.read_leader()
    except NsagentError:
        return None


def _find_netns(pid: Pid, source: Source) -> str | None:
    """What a netns of a thread goes by: threads may have netns of their own, which may not be readable."""
    leader = _find_leader(pid, source)
    if leader is None:
        return None
    try:
        with ProcFs(str(source.host.proc_root)).open_process(pid) as thread:
            return str(thread.read_netns_inode())
    except NsagentError:
        return f"/proc/{leader}/ns/net"
