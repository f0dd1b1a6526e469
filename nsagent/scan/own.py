"""Rows and their owners: one map from socket inodes to holders for the whole host. Pure.

A holder may sit in another netns than its socket, so that no map is per netns. What nobody holds
gets a verdict, and a charge.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from nsagent.kernel.formats.release import is_at_least
from nsagent.model.choices import OwnersWanted
from nsagent.model.container import Container
from nsagent.model.facts import Facts, HeldBy, NetnsReading, ProcessReading
from nsagent.model.ids import ContainerId, Fd, Pid, SocketInode, Tid, number_netns
from nsagent.model.net import SocketRow
from nsagent.model.process import Process
from nsagent.model.snapshot import Attribution, Confidence, Flag, OwnedSocket, Owner, Verdict, VerdictKind
from nsagent.scan.charge import Charger
from nsagent.scan.creators import Creators
from nsagent.scan.listeners import Listeners, LocalEnds
from nsagent.scan.memory import Memory
from nsagent.scan.residents import doubt_facts, find_household
from nsagent.scan.verdicts import REASONS, Evidence, judge_ownerless

_new = tuple.__new__

Holders = dict[SocketInode, tuple[Owner, ...]]
"""Who holds which socket of the whole host."""


class Owning:
    """Owns the rows of one netns after the other; `processes` are those of facts.processes, in the same order."""

    def __init__(
        self,
        facts: Facts,
        processes: Sequence[Process],
        containers: Iterable[Container],
        *,
        creators: Creators,
        memory: Memory,
    ) -> None:
        self.holders = join_holders(processes, facts.processes)
        self._by_creator = facts.owners is OwnersWanted.CONTAINER
        self._creators = creators
        self._memory = memory
        self._in_flight = facts.rewalk.in_flight if facts.rewalk else 0
        self._invisible = facts.visibility.partial
        unread = [process for process, one in zip(processes, facts.processes, strict=True) if one.socket_fds is None]
        self._denied = facts.process_counts.denied > 0
        self._denied_netns = {process.netns for process in unread}
        self._start_ticks: defaultdict[Pid, set[int]] = defaultdict(set)
        for process in processes:
            self._start_ticks[process.pid].add(process.start_ticks)
        self._containers = {container.id: container for container in (*memory.containers, *containers)}
        self._doubts = doubt_facts(facts, () if self._by_creator else self._denied_netns)
        self._tells_uid = is_at_least(facts.kernel_release, 6, 17)

    def own(self, reading: NetnsReading, rows: Sequence[SocketRow], residents: Iterable[Process]) -> list[OwnedSocket]:
        """The rows with their owners, or with the reason why they have none; `residents` live in this netns."""
        number, holders, creators = number_of(reading), self.holders, self._creators
        names = dict(reading.interface_names)
        inside = {process.container_id for process in residents if not process.kernel_thread}
        sockets: list[OwnedSocket] = []
        ownerless: list[int] = []
        fd, exact, none, unsure = Attribution.FD, Confidence.EXACT, Attribution.NONE, Confidence.NONE
        if self._by_creator:
            return self._own_by_creator(reading, rows, names, residents)
        for row in rows:  # 10^4 to 10^6 times: 1 us each.
            owners = holders.get(row.inode)
            interface = names.get(row.interface, f"if{row.interface}") if row.interface else None
            if owners is None:
                ownerless.append(len(sockets))
                sockets.append(_new(OwnedSocket, (number, row, interface, (), None, none, unsure, (), None, None)))
                continue
            first = owners[0].process
            container_id = first.container_id
            flags = () if len(owners) == 1 and first.netns == number else _flag_owners(owners, number, inside)
            if creators:
                cgroup_id = row.cgroup_id
                if cgroup_id is not None and cgroup_id in creators and creators[cgroup_id] != container_id:
                    flags += (Flag.CREATOR_DIFFERS,)
            sockets.append(
                _new(OwnedSocket, (number, row, interface, owners, container_id, fd, exact, flags, None, None))
            )
        if ownerless:
            self._judge(reading, sockets, ownerless, residents)
        return sockets

    def _own_by_creator(
        self, reading: NetnsReading, rows: Sequence[SocketRow], names: Mapping[int, str], residents: Iterable[Process]
    ) -> list[OwnedSocket]:
        """The rows with the containers in whose cgroups they were made: nobody was looked for who holds them."""
        number, creators = number_of(reading), self._creators
        sockets: list[OwnedSocket] = []
        unheld: list[int] = []
        known, unknown = (Attribution.CGROUP, Confidence.HIGH), (Attribution.NONE, Confidence.NONE)
        for row in rows:  # 10^4 to 10^6 times: 1 us each.
            if not row.inode:
                unheld.append(len(sockets))
            container_id = creators.get(row.cgroup_id) if row.cgroup_id is not None else None
            attribution, confidence = unknown if container_id is None else known
            interface = names.get(row.interface, f"if{row.interface}") if row.interface else None
            sockets.append(
                _new(OwnedSocket, (number, row, interface, (), container_id, attribution, confidence, (), None, None))
            )
        if unheld:
            self._judge(reading, sockets, unheld, residents)
        return sockets

    def _judge(
        self,
        reading: NetnsReading,
        sockets: list[OwnedSocket],
        ownerless: Sequence[int],
        residents: Iterable[Process],
    ) -> None:
        """Put verdicts and charges into the sockets at these places.

        Rows with an inode come first: among them may be listeners, to which others are charged.
        """
        evidence = self._weigh(reading)
        bare = [index for index in ownerless if not sockets[index].row.inode]
        charger = Charger(None, None, self._memory, self._creators, self._start_ticks)
        _judge_each(sockets, set(ownerless).difference(bare), evidence, charger)
        if bare:
            ends, read_at = LocalEnds(reading), reading.read_at_ticks
            listeners = Listeners(sockets, ends, tells_uid=self._tells_uid, read_at_ticks=read_at)
            sure = not self._doubts.has(number_of(reading))
            left = self._memory.left.get(number_of(reading), ())
            household = find_household(residents, sockets, self._containers, left, reading.cookie) if sure else None
            charger = Charger(listeners, household, self._memory, self._creators, self._start_ticks, read_at)
            _judge_each(sockets, bare, evidence, charger)
            if not self._tells_uid:
                _forget_uids(sockets, bare)

    def _weigh(self, reading: NetnsReading) -> Evidence:
        return Evidence(
            hidden_here=self._invisible or number_of(reading) in self._denied_netns,
            hidden=self._denied,
            in_flight=self._in_flight,
            unsettled=reading.unsettled,
            tunnels=reading.tunnels,
            rpc_flows=frozenset(reading.rpc_flows),
        )


def join_holders(processes: Sequence[Process], readings: Sequence[ProcessReading]) -> Holders:
    """Who holds which inode: of each process the ascending fds, processes by (start_ticks, pid).

    `processes` are those of the `readings`, in the same order. A later reading of a process that
    was read before adds its fds to the same owner; those of a thread with an fd table of its own,
    and of io_urings, make an owner of their own.
    """
    holders: Holders = {}
    more: defaultdict[SocketInode, list[Owner]] = defaultdict(list)
    for process, reading in zip(processes, readings, strict=True):
        tid, held_by = reading.tid, reading.held_by
        for fd, inode in reading.socket_fds or ():  # 10^4 to 10^6 times: 0.4 us each.
            owner = _new(Owner, (process, (fd,), tid, held_by))
            if inode in holders:
                more[inode].append(owner)
            else:
                holders[inode] = (owner,)
    # A row without an inode belongs to nobody, whatever a broken link says.
    holders.pop(SocketInode(0), None)
    for inode in more.keys() - {0}:
        holders[inode] = _merge_owners((*holders[inode], *more[inode]))
    return holders


def number_of(reading: NetnsReading) -> int:
    """What rows and processes call a netns."""
    return number_netns(reading.id.inode if reading.id else None, reading.key)


def read_netns_number(reading: ProcessReading, keys: Mapping[int, int]) -> int | None:
    """What rows call the netns of a process; `keys` maps keys to the inodes of netns whose inode is known."""
    key = reading.netns_key
    if reading.netns_inode is None and key is None:
        return None
    return number_netns(keys.get(key) if reading.netns_inode is None and key is not None else reading.netns_inode, key)


def _merge_owners(owners: Iterable[Owner]) -> tuple[Owner, ...]:
    """The owners of a socket by (start_ticks, pid), those merged that are one; linear, however many they are."""
    fds: defaultdict[tuple[Process, Tid | None, HeldBy], set[Fd]] = defaultdict(set)
    for owner in owners:
        fds[owner.process, owner.tid, owner.held_by].update(owner.fds)
    merged = [Owner(process, tuple(sorted(held)), tid, held_by) for (process, tid, held_by), held in fds.items()]
    return tuple(sorted(merged, key=_owner_order))


def _owner_order(owner: Owner) -> tuple[int, Pid, HeldBy, int]:
    return owner.process.start_ticks, owner.process.pid, owner.held_by, owner.tid or 0


def _flag_owners(owners: tuple[Owner, ...], number: int, inside: set[ContainerId | None]) -> tuple[Flag, ...]:
    """The flags of owners that are several, or not at home; a netns in which nobody lives has no outside."""
    flags: tuple[Flag, ...] = ()
    if any(owner.process.netns not in (number, None) for owner in owners):
        flags = (Flag.NETNS_MISMATCH,)
    containers = {owner.process.container_id for owner in owners}
    if len(containers) > 1 or (inside and not containers <= inside):
        flags += (Flag.HOLDER_OUTSIDE,)
    return flags


def _judge_each(sockets: list[OwnedSocket], places: Iterable[int], evidence: Evidence, charger: Charger) -> None:
    for place in places:
        socket = sockets[place]
        sockets[place] = _judge_one(socket, judge_ownerless(socket.row, evidence), charger)


def _forget_uids(sockets: list[OwnedSocket], places: Iterable[int]) -> None:
    """Take the uid 0 from sockets that no fd can hold, of a kernel that gives it to each of them (scan.listeners)."""
    for place in places:
        socket = sockets[place]
        if socket.row.uid == 0:
            sockets[place] = socket._replace(row=socket.row._replace(uid=None))


def _judge_one(socket: OwnedSocket, kind: VerdictKind, charger: Charger) -> OwnedSocket:
    charged_to, attribution, confidence, pod = charger.charge(socket.row, kind)
    return socket._replace(
        container_id=charged_to.container_id if charged_to else None,
        attribution=attribution,
        confidence=confidence,
        verdict=Verdict(kind, charged_to, REASONS[kind]),
        pod=pod,
    )
