"""The listeners of one port, in groups between which and a row the same decides. Pure.

Whoever listens chooses how many listeners there are, and others how many rows come in by them: a look at each listener
for each row costs the product of both. Here a row costs at most 48 look-ups, whatever tells the listeners apart.

Source: as of scan.listeners.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from typing import Final, NamedTuple

from nsagent.model.ids import ContainerId, Pid
from nsagent.model.net import SocketRow
from nsagent.model.snapshot import OwnedSocket

_ANY: Final = ("0.0.0.0", "::")
_LINK_LOCAL: Final = ("fe8", "fe9", "fea", "feb")

_ON_ANY: Final = "any"
"""Where the listeners on any address are, beside those on each of the two."""

_SOME_DEVICE: Final = -1
"""Instead of each device on which there are listeners, for rows that tell none."""

_NEVER: Final = -1 << 64
"""Instead of when its first holder has started, of a listener that nobody is seen to hold."""


class Common(NamedTuple):
    """What several listeners have in common: None where they differ, and where none is known of one of them."""

    pid: Pid | None
    """Of the first owner."""
    container_id: ContainerId | None
    several: bool

    def join(self, other: "Common") -> "Common":
        """What these and others have in common."""
        return Common(
            self.pid if self.pid == other.pid else None,
            self.container_id if self.container_id == other.container_id else None,
            several=True,
        )


class _Group:
    """Listeners that are alike for all rows of one shape, by the start of their first holders."""

    __slots__ = ("common", "sockets", "starts")

    def __init__(self) -> None:
        self.sockets: list[tuple[int, OwnedSocket]] = []
        """Each behind its place among those of the port."""
        self.starts: list[int] = []
        self.common: list[Common] = []
        """What each has in common with all before it."""

    def add(self, place: int, socket: OwnedSocket) -> None:
        """Put in one that did not start before those that are in it."""
        self.sockets.append((place, socket))
        self.starts.append(_date_start(socket))
        owners = socket.owners
        common = Common(owners[0].process.pid if owners else None, socket.container_id, several=False)
        self.common.append(self.common[-1].join(common) if self.common else common)

    def count(self, closed: int | None) -> int:
        """How many of them, from the first on, a row that was closed by this tick may have come in by."""
        return len(self.starts) if closed is None else bisect_right(self.starts, closed)


_Found = list[tuple[_Group, int]]
"""Groups, and how many of each are meant, from the first on; not one of none."""

_Copied = tuple[int | None, int | None, tuple[bool, ...] | None]
"""What a row has of its listener: cgroup id, uid, options. None where one of them does not tell."""


class _Shape(NamedTuple):
    """What decides which groups there are for a row: whether an IPv6 socket has it of IPv4, what it tells."""

    mapped: bool
    device: bool
    cgroup: bool
    uid: bool
    options: bool


class _View(NamedTuple):
    """The groups for rows of one shape."""

    groups: dict[str, dict[tuple[int | None, _Copied], _Group]]
    """By local address, then by device and what a row has a copy of."""
    patterns: set[tuple[bool, bool, bool]]
    """Which of what a row tells its listeners tell, too: at most eight, and mostly one."""


class PortListeners:
    """The listeners of one port of one netns, of IPv4 or of IPv6."""

    def __init__(self) -> None:
        self._sockets: list[OwnedSocket] = []
        self._views: dict[tuple[bool, ...], _View] = {}

    def add(self, socket: OwnedSocket) -> None:
        """Put one in; all are before anything is looked for."""
        self._sockets.append(socket)

    def find(self, row: SocketRow, uid: int | None, closed: int | None) -> list[OwnedSocket]:
        """Those that the row may have come in by, in the order in which they were put in.

        `uid` is what the row tells of it, `closed` the tick by which it was closed at the latest.
        """
        found = chain.from_iterable(group.sockets[:count] for group, count in self._look_up(row, uid, closed))
        return [socket for _, socket in sorted(found, key=lambda one: one[0])]

    def find_common(self, row: SocketRow, uid: int | None, closed: int | None) -> Common | None:
        """What those have in common; None where there are none."""
        common = None
        for group, count in self._look_up(row, uid, closed):
            part = group.common[count - 1]
            common = part if common is None else common.join(part)
        return common

    def _look_up(self, row: SocketRow, uid: int | None, closed: int | None) -> _Found:
        """Those on the very address if there are any, then those on the very device."""
        interface, cgroup_id = row.interface, row.cgroup_id
        options = row.options and row.options[:2]
        shape = (row.mapped, interface is not None, cgroup_id is not None, uid is not None, options is not None)
        view = self._views.get(shape) or self._make_view(_Shape(*shape))
        copied = [
            (cgroup_id if cgroup else None, uid if user else None, options if option else None)
            for cgroup, user, option in view.patterns
        ]
        for address in (row.local.address, _ON_ANY):
            groups = view.groups.get(address)
            if groups is None:
                continue
            for devices in ((interface,), _list_other_devices(row)):
                found = [
                    (group, count)
                    for device in devices
                    for one in copied
                    if (group := groups.get((device, one))) and (count := group.count(closed))
                ]
                if found:
                    return found
        return []

    def _make_view(self, shape: _Shape) -> _View:
        """The groups for rows of this shape, of which there are at most 32."""
        view = _View({}, set())
        for place, socket in sorted(enumerate(self._sockets), key=lambda one: _date_start(one[1])):
            row = socket.row
            if shape.mapped and row.v6only:
                continue
            options = row.options and row.options[:2]
            copied = (
                row.cgroup_id if shape.cgroup else None,
                row.uid if shape.uid else None,
                options if shape.options else None,
            )
            view.patterns.add((copied[0] is not None, copied[1] is not None, copied[2] is not None))
            device = row.interface if shape.device or row.interface is None else _SOME_DEVICE
            address = row.local.address
            for each in (address, _ON_ANY) if address in _ANY else (address,):
                groups = view.groups.setdefault(each, defaultdict(_Group))
                groups[device, copied].add(place, socket)
        self._views[shape] = view  # Now that it is whole: another thread may look it up.
        return view


def _date_start(listener: OwnedSocket) -> int:
    """When the first of those started who hold it."""
    # The owners of a socket come by their start.
    return listener.owners[0].process.start_ticks if listener.owners else _NEVER


def _list_other_devices(row: SocketRow) -> Iterable[int | None]:
    """The devices of listeners that the row may have come in by, too: one that is not known may be the row's.

    Between link-local addresses of IPv6 a listener that is bound to none gives the one it came in by.
    """
    if row.interface is None:
        return (_SOME_DEVICE,)
    return (None, 0) if row.remote.address.startswith(_LINK_LOCAL) else (None,)
