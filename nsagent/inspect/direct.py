"""What the kernel tells of a process at once, whatever the process does."""

import os
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.inspect.notes import Notes
from nsagent.inspect.subject import Held
from nsagent.kernel.details import FdTargets, list_fd_targets, read_detail, read_link
from nsagent.kernel.formats.fd_link import parse_inode_link
from nsagent.kernel.formats.pid_limits import parse_limits
from nsagent.kernel.formats.pid_statm import parse_statm
from nsagent.kernel.formats.pid_status import parse_status, parse_status_memory
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.ids import Pid, Tid
from nsagent.model.process_details import Limit, Namespace, Statm, Status, StatusMemory, Thread

MOST_FDS: Final = 1 << 17
MOST_THREADS: Final = 512

_MOST_MOUNT_BYTES: Final = 4 << 20

_KERNEL_PARENT: Final = Pid(2)
"""Whose children the threads of the kernel are; it is in the first PID namespace alone."""
_NAMESPACES: Final = (
    "cgroup",
    "ipc",
    "mnt",
    "net",
    "pid",
    "pid_for_children",
    "time",
    "time_for_children",
    "user",
    "uts",
)
_NO_FDS: Final = FdTargets((), (), 0)
"""Of what has no memory: a thread of the kernel, a zombie."""


class Direct(NamedTuple):
    """Details that are read at once; as in Inspection."""

    status: Status | None
    memory: StatusMemory | None
    statm: Statm | None
    exe: str | None
    """What its link says."""
    cwd: str | None
    root: str | None
    namespaces: tuple[Namespace, ...] | None
    cgroup: tuple[str, ...] | None
    threads: tuple[Thread, ...] | None
    fds: FdTargets | None
    limits: tuple[Limit, ...] | None
    oom_score: int | None
    oom_score_adj: int | None
    wchan: str | None
    mountinfo: bytes
    """Of what it sees mounted; empty where that is not told."""


def read_direct(held: Held, host: dict[str, int], notes: Notes) -> Direct:
    """All that is there; `host` are the namespaces that list_host_namespaces() gives. Raises ProcessGone."""
    alive = held.alive
    status = notes.read("status", lambda: read_detail(alive, "status")) or b""
    statm = notes.read("statm", lambda: read_detail(alive, "statm"))
    limits = notes.read("limits", lambda: read_detail(alive, "limits"))
    lives, has_memory = not held.now.is_dead, held.has_memory

    def link(name: str) -> str | None:
        return notes.read(name, lambda: read_link(alive, name)) if lives else None

    return Direct(
        status=notes.read("status", lambda: parse_status(status)) if status else None,
        memory=notes.read("status", lambda: parse_status_memory(status)) if status else None,
        statm=notes.read("statm", lambda: parse_statm(statm, os.sysconf("SC_PAGE_SIZE"))) if statm else None,
        exe=link("exe") if has_memory else None,
        cwd=link("cwd"),
        root=link("root"),
        namespaces=_read_namespaces(alive, host, notes) if lives else (),
        # Not splitlines(): a cgroup's name may hold any of its separators but the newline.
        cgroup=notes.read("cgroup", lambda: tuple(filter(None, alive.read_cgroup().split("\n")))),
        threads=notes.read("task", lambda: _read_threads(held.process)),
        fds=_read_fds(alive, notes) if has_memory else _NO_FDS,
        limits=notes.read("limits", lambda: parse_limits(limits)) if limits else None,
        oom_score=_read_number(alive, "oom_score", notes),
        oom_score_adj=_read_number(alive, "oom_score_adj", notes),
        wchan=_read_wchan(alive, notes) if lives else None,
        mountinfo=_read_mountinfo(alive, notes) if has_memory else b"",
    )


def list_host_namespaces(procfs: ProcFs) -> dict[str, int]:
    """The inodes of the namespaces that the kernel's own threads are in, by kind; none where none of these is seen."""
    try:
        with procfs.open_process(_KERNEL_PARENT) as process:
            return _list_namespaces(process) if process.read_stat().is_kernel_thread else {}
    except (Gone, NotRead):
        return {}


def _read_namespaces(process: ProcessDir, host: dict[str, int], notes: Notes) -> tuple[Namespace, ...] | None:
    found = notes.read("ns", lambda: _list_namespaces(process))
    if found is None:
        return None
    return tuple(Namespace(kind, inode, host[kind] == inode if kind in host else None) for kind, inode in found.items())


def _list_namespaces(process: ProcessDir) -> dict[str, int]:
    """Their inodes by kind; those that this kernel does not have are left out. Raises NotRead."""
    found = {}
    for kind in _NAMESPACES:
        try:
            inode = parse_inode_link(read_link(process, f"ns/{kind}"), kind.removesuffix("_for_children"))
        except Gone:
            continue
        if inode is not None:
            found[kind] = inode
    return found


def _read_threads(process: ProcessDir) -> tuple[Thread, ...]:
    """The first MOST_THREADS of them."""
    threads = []
    for tid in process.list_threads()[:MOST_THREADS]:
        try:
            with process.open_thread(tid) as thread:
                stat = thread.read_stat()
        except Gone:
            continue
        threads.append(Thread(Tid(tid), stat.comm, stat.state))
    return tuple(threads)


def _read_fds(process: ProcessDir, notes: Notes) -> FdTargets | None:
    fds = notes.read("fd", lambda: list_fd_targets(process, MOST_FDS))
    for fd, err in fds.unread if fds else ():
        notes.note(f"fd {fd}", err)
    return fds


def _read_number(process: ProcessDir, name: str, notes: Notes) -> int | None:
    return notes.read(name, lambda: _parse_number(read_detail(process, name)))


def _parse_number(text: bytes) -> int:
    """Raises FormatError."""
    try:
        return int(text)
    except ValueError as err:
        raise FormatError("a number", text) from err


def _read_wchan(process: ProcessDir, notes: Notes) -> str | None:
    """Empty where it runs, and where the kernel does not say: it then writes a 0."""
    text = notes.read("wchan", lambda: read_detail(process, "wchan"))
    return None if text is None else text.decode("ascii", "replace").removeprefix("0")


def _read_mountinfo(process: ProcessDir, notes: Notes) -> bytes:
    data = notes.read("mountinfo", lambda: read_detail(process, "mountinfo", _MOST_MOUNT_BYTES)) or b""
    if len(data) <= _MOST_MOUNT_BYTES:
        return data
    notes.note("mountinfo", NotRead("mountinfo", Reason.TOO_LARGE))
    return b""
