"""Where netns are bind-mounted, in every mount namespace that a process is in: noted while processes are walked.

Only when all processes were walked it shows to which netns nothing but a mount leads.
"""

import threading
from collections import Counter
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.kernel.formats.mountinfo import NetnsMounts
from nsagent.kernel.procfs import ProcessDir
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import Pid
from nsagent.scan.collect.gaps import GapSink

TRUSTED_BYTES: Final = 1 << 22
"""Of mount points in the own mount namespace and that of PID 1, where only the host's root mounts."""

_FOREIGN_BYTES: Final = 1 << 16
"""Of mount points in one other mount namespace."""

_LEAST_BYTES: Final = 1 << 10
"""The same when there are too many of such mount namespaces."""

_ALL_FOREIGN_BYTES: Final = 1 << 23
"""In all of them, but for the least of each."""

_MOST_ROOTS: Final = 16
"""From so many root directories the mounts of one mount namespace are read."""

_MOST_PIDS: Final = 4
"""So many processes of one view are known: one of them may be there still when it comes to look-ups."""


ViewKey = tuple[int, str]
"""The N of mnt:[N], and the root directory."""


@dataclass(slots=True, eq=False)
class MountView:
    """The netns mounted in a mount namespace, below the `root` directory that all of `pids` have.

    `namespace` is the N of mnt:[N]. `own`: it is the mount namespace of this program, from its root. `points` are
    the mount points by inode, `covered` those at which a path leads to something else.
    """

    namespace: int
    root: str
    own: bool
    pids: list[Pid]
    points: dict[int, list[str]] = field(default_factory=dict)
    covered: Set[tuple[int, str]] = frozenset()

    @property
    def key(self) -> ViewKey:
        """What tells it from others."""
        return self.namespace, self.root


class MountViews:
    """The views that were met; a read that was given up may come back at any time and add one more.

    `own` is the mount namespace of this program, None where that is not told.
    """

    def __init__(self, gaps: GapSink, own: int | None) -> None:
        self._gaps = gaps
        self._own = own
        self._views: dict[ViewKey, MountView] = {}
        self._roots: Counter[int] = Counter()
        self._room_bytes = _ALL_FOREIGN_BYTES
        self._lock = threading.Lock()

    def see(self, process: ProcessDir, before: ViewKey | None = None) -> ViewKey | None:
        """Note the netns mounted where a process lives, unless that is known from another one; which view it has.

        They are those of its mount namespace below its root: a process in a chroot sees few of
        them. Where the mounts may not be read, the next process with the same ones is asked.
        `before` is the view that one had which has not run since: it has it still.
        """
        pid = Pid(process.number)
        if before is not None and self._add_to(before, pid):
            return before
        key = None
        # Without a link to its mount namespace, as in a copied tree, it has none to tell.
        with suppress(NotRead, Gone):
            key = namespace, root = process.read_mount_namespace(), _read_root(process)
            if not self._add_to(key, pid) and (root == "/" or self._may_read(namespace, pid)):
                self._read(process, key)
        return key

    def _read(self, process: ProcessDir, key: ViewKey) -> None:
        """Note what is mounted in a view that is met; raises NotRead and Gone where its next process is to be asked."""
        pid = Pid(process.number)
        view = MountView(*key, key == (self._own, "/"), [pid])
        trusted = view.own or pid == 1
        most = TRUSTED_BYTES if trusted else max(_LEAST_BYTES, min(_FOREIGN_BYTES, self._room_bytes))
        mounts = NetnsMounts({})
        try:
            mounts = process.read_netns_mounts(most, trusted=trusted)
        except FormatError as err:
            self._gaps.note(Stage.NETNS, Subject(Kind.MOUNTINFO, str(pid)), err)
        except NotRead as err:
            if err.reason is not Reason.TOO_MANY:
                raise
            self._tell(pid)
        # One that is too long or malformed is so for all who have it: it costs one read, and not one of each.
        view.points, view.covered = mounts.points, mounts.covered
        with self._lock:
            self._roots[view.namespace] += view.root != "/"
            self._views[key] = view
            if not trusted:
                self._room_bytes -= sum(len(point) for points in mounts.points.values() for point in points)
        self._tell(pid, mounts.left_out)
        self._tell(pid, mounts.unnamed, Stage.NAMES, Kind.MOUNT_POINTS)

    def _add_to(self, key: ViewKey, pid: Pid) -> bool:
        """Add a process to a view that is known; whether it is."""
        view = self._views.get(key)
        if view is not None and len(view.pids) < _MOST_PIDS:
            view.pids.append(pid)
        return view is not None

    def take(self) -> list[MountView]:
        """All of them, the own mount namespace first; they are not kept."""
        with self._lock:
            views, self._views = list(self._views.values()), {}
        return sorted(views, key=lambda view: not view.own)

    def _may_read(self, namespace: int, pid: Pid) -> bool:
        """Whether the mounts below one more root directory are to be read: the root of all shows them too."""
        if (namespace, "/") in self._views:
            return False
        if self._roots[namespace] < _MOST_ROOTS:
            return True
        self._tell(pid)
        return False

    def _tell(self, pid: Pid, count: int = 1, stage: Stage = Stage.NETNS, kind: Kind = Kind.MOUNTS) -> None:
        if count:
            self._gaps.add((Gap(stage, Subject(kind, str(pid)), Reason.TOO_MANY, count=count),))


def _read_root(process: ProcessDir) -> str:
    try:
        return process.read_root()
    except Gone:
        return "/"  # A copied tree may lack the link; of a live process the next read says that it went.
