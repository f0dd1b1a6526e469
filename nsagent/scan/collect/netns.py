"""The netns that a pass has met: each is held open from first sight, so that its inode stays its own."""

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.kernel.formats.fd_link import parse_inode_link
from nsagent.kernel.formats.mountinfo import Mount
from nsagent.kernel.host_mounts import HostMounts
from nsagent.kernel.libc import close_fd
from nsagent.kernel.netns import read_netns_id, read_own_netns
from nsagent.kernel.procfs import ProcessDir
from nsagent.model.facts import FoundBy
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import Fd, NetnsId, Pid, number_netns, tell_netns
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.room import Room


@dataclass(slots=True)
class MetNetns:
    """One netns while the pass goes on.

    `mounts` are its mount points in the host's mount namespace, `foreign_mounts` those in others.
    `serial` is its own within the pass. `id` is None where only `key` (the st_ino of its net/dev) is
    readable; `fd` is None where it cannot be held (then id.dev is 0), or is held no longer. `path` is
    by which it was opened. `members` are processes in it, through which its /proc files are read.
    """

    serial: int
    id: NetnsId | None
    key: int | None
    fd: int | None
    path: str = ""
    found_by: set[FoundBy] = field(default_factory=set)
    mounts: set[str] = field(default_factory=set)
    foreign_mounts: set[str] = field(default_factory=set)
    members: list[Pid] = field(default_factory=list)

    @property
    def inode(self) -> int | None:
        """The N of net:[N], None where it may not be read."""
        return self.id.inode if self.id else None

    @property
    def subject(self) -> Subject:
        """What a gap calls it."""
        return Subject(Kind.NETNS, tell_netns(number_netns(self.inode, self.key)))

    def open_again(self) -> int:
        """An fd on it, to be closed by the caller; raises Gone if it cannot be reached any more.

        Where it is not held, another netns may have its inode by now: only the cookie tells.
        """
        if self.fd is not None:
            return os.dup(self.fd)
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as err:
            raise Gone(f"netns {self.inode}: {err.strerror}") from err
        if read_netns_id(fd) != self.id:
            close_fd(fd)
            raise Gone(f"netns {self.inode}")
        return fd

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
        self._mounts_read: set[tuple[int, str]] = set()
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

    def list_met(self) -> list[MetNetns]:
        """Each netns once, by inode; then, by key, those of which nobody's ns/net may be read."""
        met = [self._by_inode[inode] for inode in sorted(self._by_inode)]
        known = {one.key for one in met}
        return met + [self._by_key[key] for key in sorted(self._by_key) if key not in known]

    def has_met(self, inode: int) -> bool:
        """Whether a netns with this inode was met."""
        return inode in self._by_inode

    def see_process(self, process: ProcessDir, pid: Pid, found_by: FoundBy = FoundBy.PROCESS) -> int:
        """The inode of the netns of a process, or of a thread that may be the only one in it; held from now on.

        Raises Gone, and NotRead where ns/net may not be read.
        """
        inode = process.read_netns_inode()
        met = self._by_inode.get(inode) or self._hold_netns_of(process, inode)
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

    def see_socket(self, open_netns: Callable[[], int]) -> None:
        """The netns of a socket; raises what opening it raises."""
        met = self._hold(open_netns, "")
        if met is not None and not met.found_by:
            met.found_by.add(FoundBy.SOCKET)

    def see_fd(self, process: ProcessDir, fd: Fd, inode: int) -> None:
        """A netns that a process holds open by an fd, unless it is closed by now."""
        try:
            path = f"{process.path}/fd/{fd}"
            met = self._by_inode.get(inode) or self._hold(lambda: process.open_fd_target(fd), path)
        except Gone:
            return
        except NotRead as err:
            self._gaps.note(Stage.NETNS, Subject(Kind.NETNS, str(inode)), err)
            return
        if met is not None:
            met.found_by.add(FoundBy.FD)

    def see_mounts(self, process: ProcessDir) -> None:
        """The netns bind-mounted where a process lives, unless its mounts were read through another one.

        They are those of its mount namespace below its root: a process in a chroot sees few of
        them. Where the mounts may not be read, the next process with the same ones is asked.
        """
        try:
            view = process.read_mount_namespace(), _read_root(process)
            if view in self._mounts_read:
                return
            mounts = process.read_nsfs_mounts()
        except (NotRead, Gone):
            return  # Without a link to its mount namespace, as in a copied tree, it has none to tell.
        except FormatError as err:
            self._gaps.note(Stage.NETNS, Subject(Kind.MOUNTINFO, str(process.number)), err)
            return
        self._mounts_read.add(view)
        missed = [mount for mount in mounts if not self._see_mount(process, mount, view)]
        if missed:
            self._gaps.add(_find_unreachable(process, missed))

    def _see_mount(self, process: ProcessDir, mount: Mount, view: tuple[int, str]) -> bool:
        """Whether a mount of a view (a mount namespace, and a root directory) is seen, or none of a netns."""
        inode = parse_inode_link(mount.root, "net")
        if inode is None:
            return True
        try:
            path = f"{process.path}/root{mount.mount_point}"
            met = self._by_inode.get(inode) or self._hold(lambda: process.open_mount(mount.mount_point), path)
        except (Gone, NotRead):
            met = None
        if met is None or met.id is None or met.id.inode != inode:
            return False
        met.found_by.add(FoundBy.MOUNT)
        host_path = self._host_mounts.find_path(*view, mount.mount_point)
        if host_path is None:
            met.foreign_mounts.add(mount.mount_point)
        else:
            met.mounts.add(host_path)
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
        self._room.make()
        fd = open_netns()
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


def _find_unreachable(process: ProcessDir, missed: Iterable[Mount]) -> list[Gap]:
    """Gaps for those that lie under another mount: what was unmounted meanwhile is none."""
    try:
        still = process.read_nsfs_mounts()
    except (NotRead, Gone, FormatError):
        still = []  # That they were there is all that is known.
    return [
        Gap(Stage.NETNS, Subject(Kind.MOUNT, mount.mount_point), Reason.UNREACHABLE)
        for mount in missed
        if mount in still
    ]


def _read_root(process: ProcessDir) -> str:
    try:
        return process.read_root()
    except Gone:
        return "/"  # A copied tree may lack the link; of a live process the next read says that it went.
