"""The netns that a pass has met: each is held open from first sight, so that its inode stays its own."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from nsagent.errors import Gone, NotRead
from nsagent.kernel.host_mounts import HostMounts
from nsagent.kernel.libc import close_fd
from nsagent.kernel.netns import Entering, read_netns_id, read_own_netns
from nsagent.kernel.nsfs import open_netns
from nsagent.kernel.procfs import ProcessDir
from nsagent.model.facts import FoundBy
from nsagent.model.gap import Kind, Stage, Subject
from nsagent.model.ids import Fd, NetnsId, Pid, number_netns, tell_netns
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.mount_views import MountView, MountViews, ViewKey
from nsagent.scan.collect.room import Room

_MOST_MOUNT_BYTES: Final = 4096
"""Of the mount points of one netns in foreign mount namespaces that are kept."""


@dataclass(slots=True)
class MetNetns:
    """One netns while the pass goes on."""

    serial: int
    """Its own within the pass."""
    id: NetnsId | None
    """None where only `key` is readable."""
    key: int | None
    """The st_ino of its net/dev."""
    fd: int | None
    """None where it cannot be held (then id.dev is 0), or is held no longer."""
    path: str = ""
    """By which it was opened."""
    path_since: str = ""
    """By which its inode was met last after it was let go: that may be another netns."""
    found_by: set[FoundBy] = field(default_factory=set)
    mounts: set[str] = field(default_factory=set)
    """Its mount points in the host's mount namespace."""
    foreign_mounts: set[str] = field(default_factory=set)
    """Those in others."""
    members: list[Pid] = field(default_factory=list)
    """Processes in it, through which its /proc files are read."""
    room_bytes: int = _MOST_MOUNT_BYTES
    """So much of foreign mount points may still be kept."""

    @property
    def inode(self) -> int | None:
        """The N of net:[N], None where it may not be read."""
        return self.id.inode if self.id else None

    @property
    def subject(self) -> Subject:
        """What a gap calls it."""
        return Subject(Kind.NETNS, tell_netns(number_netns(self.inode, self.key)))

    def add_foreign_mount(self, mount_point: str) -> None:
        """Keep one more mount point of others, if there is room: a netns can be mounted often, at long paths."""
        known = self.foreign_mounts
        if mount_point not in known and (not known or len(mount_point) <= self.room_bytes):
            known.add(mount_point)
            self.room_bytes -= len(mount_point)

    def open_again(self) -> int:
        """An fd on it, to be closed by the caller; raises Gone if it cannot be reached any more.

        Where it is not held, another netns may have its inode by now: only the cookie tells.
        """
        return os.dup(self.fd) if self.fd is not None else self.open_at(self.path)

    def open_at(self, path: str) -> int:
        """An fd on the netns at a path, to be closed by the caller; raises Gone if that has another inode."""
        try:
            fd = open_netns(path)
        except OSError as err:
            raise Gone(f"netns {self.inode}: {err.strerror}") from err
        if read_netns_id(fd) != self.id:
            close_fd(fd)
            raise Gone(f"netns {self.inode}")
        return fd

    def enter(self, entering: Entering) -> None:
        """Move the calling thread into it (kernel.netns); raises Gone, as open_again() does, and NotRead."""
        fd = self.open_again()
        try:
            entering.enter(fd)
        finally:
            close_fd(fd)

    def note_since(self, path: str) -> None:
        """Its inode was met at a path, by which it can be opened; to be told after that."""
        if self.fd is None and self.id is not None and self.id.dev:
            self.path_since = path

    def let_go(self) -> None:
        """Hold it no longer: its inode may be another netns's from now on."""
        if self.fd is not None:
            close_fd(self.fd)
            self.fd = None


class NetnsRegistry:
    """All netns met so far; a context manager that lets go of them. One thread at a time walks and adds to it.

    A read that was given up may come back at any time and add one more, or, after the end, none.

    `tell_met` is told each netns that can be told from others by its inode, when it is first seen.
    `host_mounts` tell which mounts are the host's.
    """

    def __init__(
        self,
        room: Room,
        gaps: GapSink,
        tell_met: Callable[[MetNetns], object] = lambda _: None,
        host_mounts: HostMounts | None = None,
    ) -> None:
        self._room = room
        self._gaps = gaps
        self._tell_met = tell_met
        self._host_mounts = host_mounts or HostMounts()
        self._by_inode: dict[int, MetNetns] = {}
        self._by_key: dict[int, MetNetns] = {}
        self._mounts = MountViews(gaps, self._host_mounts.own)
        self._nsfs = read_own_netns().dev
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> "NetnsRegistry":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
        for met in self._by_inode.values():
            met.let_go()

    def count_met(self) -> int:
        """How many there are so far; for any thread."""
        return self._count()

    def list_met(self) -> list[MetNetns]:
        """Each netns once, by inode; then, by key, those of which nobody's ns/net may be read."""
        met = [self._by_inode[inode] for inode in sorted(self._by_inode)]
        known = {one.key for one in met}
        return met + [self._by_key[key] for key in sorted(self._by_key) if key not in known]

    def has_met(self, inode: int) -> bool:
        """Whether a netns with this inode was met."""
        return inode in self._by_inode

    def see_process(
        self, process: ProcessDir, pid: Pid, found_by: FoundBy = FoundBy.PROCESS, *, inode: int | None = None
    ) -> int:
        """The inode of the netns of a process, or of a thread that may be the only one in it; held from now on.

        `inode` is that of a process which cannot have left it. Raises Gone, and NotRead where ns/net may not be read.
        """
        inode = inode or process.read_netns_inode()
        met = self._by_inode.get(inode) or self._hold_netns_of(process, inode)
        met.note_since(f"{process.path}/ns/net")
        if found_by is FoundBy.PROCESS:
            met.members.append(pid)
            met.found_by.add(found_by)
        elif not met.found_by:
            met.found_by.add(found_by)
        return met.id.inode if met.id else inode

    def see_key(self, process: ProcessDir, pid: Pid) -> int:
        """The key of the netns of a process whose ns/net may not be read. Raises as any read does."""
        key = process.read_netns_key()
        with self._lock:
            met = self._by_key.get(key)
            if met is None:
                met = self._by_key[key] = MetNetns(self._count(), None, key, None)
        met.found_by.add(FoundBy.PROCESS)
        met.members.append(pid)
        return key

    def see_socket(self, open_netns: Callable[[], int]) -> MetNetns | None:
        """The netns of a socket, None where it is none; raises what opening it raises."""
        met = self._hold(open_netns, "")
        if met is not None and not met.found_by:
            met.found_by.add(FoundBy.SOCKET)
        return met

    def see_fd(self, process: ProcessDir, fd: Fd, inode: int) -> None:
        """A netns that a process holds open by an fd, unless it is closed by now."""
        try:
            path = f"{process.path}/fd/{fd}"
            met = self._by_inode.get(inode) or self._hold(lambda: process.open_netns_of_fd(fd), path)
        except Gone:
            return
        except NotRead as err:
            self._gaps.note(Stage.NETNS, Subject(Kind.NETNS, str(inode)), err)
            return
        if met is not None:
            met.note_since(path)
            met.found_by.add(FoundBy.FD)

    def see_mounts(self, process: ProcessDir, before: ViewKey | None = None) -> ViewKey | None:
        """Note where netns are bind-mounted in the mount namespace of a process; kept until `take_mounts`.

        What it has for a view: that of `before` if it has not run since.
        """
        return self._mounts.see(process, before)

    def take_mounts(self) -> list[MountView]:
        """What was noted of mounts, and what of it is too much a gap; it is kept no longer."""
        return self._mounts.take()

    def name_mounted(self, inode: int, view: MountView) -> bool:
        """Whether the netns that is mounted there is met; its mount points are kept, as far as there is room."""
        met = self._by_inode.get(inode)
        if met is None:
            return False
        met.found_by.add(FoundBy.MOUNT)
        for mount_point in view.points[inode]:
            if (inode, mount_point) in view.covered:
                continue  # Whoever goes there, as ip-netns(8) does, comes to another one.
            host_path = self._host_mounts.find_path(view.namespace, view.root, mount_point)
            if host_path is None:
                met.add_foreign_mount(mount_point)
            else:
                if not met.path_since:
                    met.note_since(host_path)
                met.mounts.add(host_path)
        return True

    def hold_mounted(self, fd: int, inode: int, path: str = "") -> None:
        """The netns with this inode, behind an fd, which is closed at the end; `path` is where it can be opened again.

        Raises Gone if it is another one, and NotRead where no netns can be held any more.
        """
        if read_netns_id(fd).inode != inode:
            close_fd(fd)
            raise Gone(f"netns {inode}")
        self._hold(lambda: fd, path)

    def hold_other(self, met: MetNetns, is_other: Callable[[int], bool]) -> bool:
        """Whether another netns has the inode of one that was let go, by what was met since; that is held then.

        Raises Gone where that has left, and NotRead where no netns can be held any more.
        """
        fd = met.open_at(met.path_since)
        try:
            if not is_other(fd):
                close_fd(fd)
                return False
            self._room.make()
        except BaseException:
            close_fd(fd)
            raise
        with self._lock:
            self._room.count_opened()
            met.fd, met.path, met.key = fd, met.path_since, None
        return True

    def _hold_netns_of(self, process: ProcessDir, inode: int) -> MetNetns:
        """The netns of a process, opened; in a fixture tree, where the link leads nowhere, only named."""
        met = None
        try:
            met = self._hold(process.open_netns, f"{process.path}/ns/net")
        except Gone:
            process.read_netns_inode()
        except NotRead as err:
            self._gaps.note(Stage.NETNS, Subject(Kind.NETNS, str(inode)), err)
        if met is None:
            with self._lock:
                met = self._add(NetnsId(0, inode), None, "")
        try:
            met.key = process.read_netns_key()
        except (Gone, NotRead):
            met.key = None
        return met

    def _hold(self, open_netns: Callable[[], int], path: str) -> MetNetns | None:
        """The netns behind an open file, None if it is no netns; raises what opening raises.

        It may be another than the one looked for: a process can move, a mount be replaced.
        """
        fd = open_netns()
        try:
            self._room.make()  # What was opened by somebody else is there already; a reserve has room for it.
        except NotRead:
            close_fd(fd)
            raise
        found = read_netns_id(fd)
        with self._lock:
            known = self._by_inode.get(found.inode) if found.dev == self._nsfs else None
            if known is None and found.dev == self._nsfs and not self._closed:
                self._room.count_opened()
                return self._add(found, fd, path)
        close_fd(fd)
        return known

    def _add(self, id_: NetnsId, fd: int | None, path: str) -> MetNetns:
        """One more; the lock is held."""
        met = self._by_inode[id_.inode] = MetNetns(self._count(), id_, None, fd, path)
        self._tell_met(met)
        return met

    def _count(self) -> int:
        """The serial number of the next one: none is ever taken out."""
        return len(self._by_inode) + len(self._by_key)
