"""The sockets that a process holds, each with its row in the netns that it is in, and who is at its other end.

The rows are those of a snapshot: no address, and no netns of the process, is taken for that of a socket.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from nsagent.errors import FormatError, Gone, NotRead
from nsagent.kernel.details import read_detail
from nsagent.kernel.formats.fd_link import parse_inode_link
from nsagent.kernel.formats.fib_trie import parse_fib_trie
from nsagent.kernel.formats.if_inet6 import parse_if_inet6
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.facts import HeldBy
from nsagent.model.ids import Fd, Pid, SocketInode
from nsagent.model.inspection import InspectedRow, InspectedSocket, Peer
from nsagent.model.net import Endpoint, Family, Protocol, has_remote
from nsagent.model.process import ProcessKey
from nsagent.model.snapshot import Confidence, Netns, OwnedSocket, Owner, Snapshot

_IP: Final = (Family.IPV4, Family.IPV6)
_MOST_ROUTES_BYTES: Final = 4 << 20
"""Of fib_trie, which has every route: a router with more of them is not asked for its addresses."""

_Ends = tuple[int, Protocol, str, int, str, int]
"""A netns, a protocol, and both ends of a connection in it."""


class Sockets:
    """Finds those of some processes in one snapshot; the addresses of other netns are read once, if it takes them."""

    def __init__(self, snapshot: Snapshot, procfs: ProcFs) -> None:
        self._snapshot = snapshot
        self._procfs = procfs
        self._by_inode: dict[SocketInode, list[OwnedSocket]] = {}
        for one in snapshot.sockets:
            if one.row.inode:
                self._by_inode.setdefault(one.row.inode, []).append(one)
        self._by_ends: dict[_Ends, OwnedSocket] | None = None
        self._netns_of: Mapping[str, set[int]] | None = None
        self._elsewhere: defaultdict[ProcessKey, dict[Owner, None]] | None = None

    def find(self, process: ProcessDir, fds: Iterable[tuple[Fd, str]]) -> tuple[InspectedSocket, ...]:
        """The sockets at these fds with what their links say, by the first fd of each."""
        held: defaultdict[SocketInode, list[Fd]] = defaultdict(list)
        for fd, target in fds:
            if (inode := parse_inode_link(target, "socket")) is not None:
                held[SocketInode(inode)].append(fd)
        return tuple(self._find_one(process, inode, tuple(at)) for inode, at in held.items())

    def list_other_holds(self, key: ProcessKey, read: int) -> Sequence[str]:
        """Where else than at the fds of this thread a process holds sockets, as the snapshot tells."""
        if self._elsewhere is None:
            self._elsewhere = defaultdict(dict)
            for owner in chain.from_iterable(socket.owners for socket in self._snapshot.sockets):
                if owner.tid is not None or owner.held_by is not HeldBy.FD:
                    self._elsewhere[owner.process.key][owner] = None
        holds = [_name_holds(owner, read) for owner in self._elsewhere.get(key, ())]
        return sorted({name for names in holds for name in names})

    def _find_one(self, process: ProcessDir, inode: SocketInode, fds: tuple[Fd, ...]) -> InspectedSocket:
        rows = [InspectedRow(one, self._find_peer(one)) for one in self._by_inode.get(inode, ())]
        try:
            protocol = process.read_socket_protocol(fds[0], inode)
        except (Gone, NotRead):
            protocol = ""
        owned, peer = rows[0] if rows else (None, None)
        return InspectedSocket(fds, inode, protocol, owned, peer, tuple(rows[1:]))

    def _find_peer(self, owned: OwnedSocket) -> Peer | None:
        if owned.row.family not in _IP or not has_remote(owned.row):
            return None
        other = self._index_ends().get(_name_ends(owned, owned.row.remote, owned.row.local))
        if other is not None:
            holders = tuple(owner.process.pid for owner in other.owners)
            return Peer(holders, other.container_id, other.pod, Confidence.EXACT)
        return self._find_by_address(owned)

    def _index_ends(self) -> dict[_Ends, OwnedSocket]:
        if self._by_ends is None:
            connected = [one for one in self._snapshot.sockets if one.row.family in _IP and has_remote(one.row)]
            self._by_ends = {_name_ends(one, one.row.local, one.row.remote): one for one in connected}
        return self._by_ends

    def _find_by_address(self, owned: OwnedSocket) -> Peer | None:
        """A peer in the only netns that has the address, if there is one container, or one pod, in there.

        And if the other end is in there: any netns may give itself any address, and gets nothing for that.
        """
        remote = owned.row.remote.address
        if remote.startswith("127.") or remote == "::1":
            return None  # In its own netns, also where nobody is in there who shows the addresses of that.
        if self._netns_of is None:
            self._netns_of = self._read_addresses()
        numbers = self._netns_of.get(remote, set())
        if len(numbers) != 1 or owned.netns in numbers:
            return None
        (number,) = numbers
        if (number, *_name_ends(owned, owned.row.remote, owned.row.local)[1:]) not in self._index_ends():
            return None
        netns = next((one for one in self._snapshot.netns if one.number == number and not one.is_host), None)
        return None if netns is None else _name_resident(netns)

    def _read_addresses(self) -> dict[str, set[int]]:
        """Which netns have an address, as a process in each of them shows; 40 us for each netns."""
        members: dict[int, Pid] = {}
        for process in self._snapshot.processes:
            if process.netns is not None and process.netns >= 0:
                members.setdefault(process.netns, process.pid)
        found: dict[str, set[int]] = {}
        for number, pid in members.items():
            try:
                with self._procfs.open_process(pid) as member:
                    addresses = _read_own_addresses(member) if member.read_netns_inode() == number else ()
            except (Gone, NotRead, FormatError):
                continue
            for address in addresses:
                found.setdefault(address.partition("/")[0], set()).add(number)
        return found


def _name_holds(owner: Owner, read: int) -> Iterator[str]:
    """An fd table of another thread than the one that was read, and rings: their sockets are at no fd."""
    if owner.tid is not None and owner.tid != read:
        yield f"fd of thread {owner.tid}"
    elif owner.held_by is HeldBy.IO_URING:
        yield from (f"sockets of io_uring at fd {fd}" for fd in owner.fds)


def _read_own_addresses(process: ProcessDir) -> tuple[str, ...]:
    routes = read_detail(process, "net/fib_trie", _MOST_ROUTES_BYTES)
    if len(routes) > _MOST_ROUTES_BYTES:
        return ()
    return (
        *parse_fib_trie(routes.decode("ascii", "replace")),
        *parse_if_inet6(process.read_net("if_inet6").decode("ascii", "replace")),
    )


def _name_ends(owned: OwnedSocket, local: Endpoint, remote: Endpoint) -> _Ends:
    return owned.netns, owned.row.protocol, local.address, local.port, remote.address, remote.port


def _name_resident(netns: Netns) -> Peer | None:
    """The only container, or the only pod, whose processes are in it."""
    if len(netns.containers) == 1:
        return Peer((), netns.containers[0], None, Confidence.INFERRED)
    return Peer((), None, netns.pods[0], Confidence.INFERRED) if len(netns.pods) == 1 else None
