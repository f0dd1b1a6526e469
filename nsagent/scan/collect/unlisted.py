"""Sockets that some fd holds and no table shows: they may be in a netns that no process is in.

A thread may have a netns of its own, and a netns lives on while nothing but a socket refers to it.
A socket that was never bound is in no table either.

Source: net/socket.c sock_ioctl() SIOCGSKNS, sockfs_xattr_get().
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.kernel.lookups import SocketLookup, Who
from nsagent.kernel.pidfd import open_netns_of_socket
from nsagent.kernel.procfs import ProcessDir
from nsagent.kernel.trust import is_trusted
from nsagent.model.facts import FoundBy, ProcessReading
from nsagent.model.gap import Gap, Kind, Stage, Subject, make_gap
from nsagent.model.ids import Fd, Pid, SocketInode, Tid, tell_netns
from nsagent.model.net import Protocol
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.holders import MAX_THREADS, list_fair_threads, threads_subject
from nsagent.scan.collect.netns import MetNetns, NetnsRegistry
from nsagent.scan.collect.shares import Shares, in_turns

MAX_SOCKETS: Final = 8192
"""How many sockets are asked for their netns, those of all containers and users in turns, and of all processes of each.

Each is duplicated for a moment, which takes 30 us.
"""

_SUBJECT: Final = Subject(Kind.NETNS_OF_SOCKETS)

_PROTOCOLS: Final = {
    "TCP": Protocol.TCP,
    "TCPv6": Protocol.TCP,
    "MPTCP": Protocol.TCP,
    "MPTCPv6": Protocol.TCP,
    "UDP": Protocol.UDP,
    "UDPv6": Protocol.UDP,
    "UDP-Lite": Protocol.UDPLITE,
    "UDPLITEv6": Protocol.UDPLITE,
    "RAW": Protocol.RAW,
    "RAWv6": Protocol.RAW,
    "PING": Protocol.ICMP,
    "PINGv6": Protocol.ICMP,
    "SCTP": Protocol.SCTP,
    "SCTPv6": Protocol.SCTP,
    "PACKET": Protocol.PACKET,
    "NETLINK": Protocol.NETLINK,
    "AF_VSOCK": Protocol.VSOCK,
}
"""Names of struct proto (/proc/net/protocols), by the table in which a bound socket of theirs stands."""


class UnlistedSocket(NamedTuple):
    """One of them, at one fd of one of its holders.

    `tid` is the thread whose fd table that is.
    """

    holder: ProcessReading
    tid: Tid
    fd: Fd
    inode: SocketInode
    protocol: Protocol = Protocol.TCP


def find_unlisted(context: PassContext, readings: Iterable[ProcessReading]) -> list[UnlistedSocket]:
    """The sockets of the protocols wanted that stand in no table read, each at the first fd that was seen on it."""
    listed, protocols = context.reader.list_inodes(), context.request.tables.protocols
    found: list[UnlistedSocket] = []
    seen: set[SocketInode] = set()
    for reading in readings:
        strangers = [link for link in reading.socket_fds or () if link[1] not in listed and link[1] not in seen]
        if not strangers:
            continue
        try:
            with context.procfs.open_process(reading.pid) as process, _open_holder(process, reading) as holder:
                for fd, inode in strangers:
                    seen.add(inode)
                    protocol = _read_protocol(holder, fd, inode)
                    if protocol in protocols:
                        found.append(UnlistedSocket(reading, Tid(holder.number), fd, inode, protocol))
        except (Gone, NotRead):
            continue
    return found


def leave_vsock(context: PassContext, unlisted: Sequence[UnlistedSocket]) -> list[UnlistedSocket]:
    """The sockets without those of vsock, which lead to no netns: a gap says where no table has them.

    Where the kernel has no vsock_diag their absence from it tells nothing.
    """
    tables = (table.protocol for state in context.reader.list_states() for table in state.tables)
    if Protocol.VSOCK not in tables:
        counts = Counter(one.holder.netns_inode or 0 for one in unlisted if one.protocol is Protocol.VSOCK)
        subjects = {inode: Subject(Kind.TABLE, tell_netns(inode), Protocol.VSOCK) for inode in counts}
        context.gaps.add(Gap(Stage.TABLES, subjects[i], Reason.NOT_TOLD, count=count) for i, count in counts.items())
    return [one for one in unlisted if one.protocol is not Protocol.VSOCK]


def see_threads(context: PassContext, unlisted: Iterable[UnlistedSocket]) -> None:
    """Look for netns that only threads are in, in their processes; gaps say whose are too many or unreadable."""
    shares = Shares(MAX_THREADS)
    holders = {one.holder.pid: one.holder for one in unlisted if one.holder.threads > 1}
    for pid, holder in holders.items():
        try:
            with context.procfs.open_process(pid) as process:
                tids, gap = list_fair_threads(process, holder, shares)
                if gap is not None:
                    context.gaps.add((gap,))
                for tid in tids:
                    _see_thread(process, tid, context.registry)
        except Gone:
            continue
        except NotRead as err:
            context.gaps.note(Stage.PROCESSES, threads_subject(pid), err)


def see_sockets(context: PassContext, unlisted: Sequence[UnlistedSocket]) -> list[MetNetns]:
    """The netns that these sockets are in, which they alone may keep alive, each once.

    Gaps say how many could not be asked, and why.
    """
    failed: Counter[Gap] = Counter()
    seen: dict[int, MetNetns] = {}
    asked, unasked = _choose_fairly(unlisted)
    for one in unasked:
        subject = Subject(Kind.NETNS_OF_SOCKETS, str(one.holder.pid))
        failed[Gap(Stage.NETNS, subject, Reason.TOO_MANY)] += 1
    for open_netns in _open_each(context, asked):
        try:
            met = context.registry.see_socket(open_netns)
        except Gone:
            continue  # Closed by now.
        except NotRead as err:
            failed[make_gap(Stage.NETNS, _SUBJECT, err)] += 1
        else:
            seen |= {} if met is None else {met.serial: met}
    context.gaps.add(replace(gap, count=count) for gap, count in failed.items())
    return list(seen.values())


def _choose_fairly(unlisted: Sequence[UnlistedSocket]) -> tuple[Sequence[UnlistedSocket], Sequence[UnlistedSocket]]:
    """Those that are asked, and the others."""
    if len(unlisted) > MAX_SOCKETS:
        shares = Shares(MAX_SOCKETS)
        by_process = in_turns(unlisted, lambda one: one.holder.pid)
        unlisted = in_turns(by_process, lambda one: shares.name(one.holder.cgroup, one.holder.uid))
    return unlisted[:MAX_SOCKETS], unlisted[MAX_SOCKETS:]


def _open_each(context: PassContext, unlisted: Sequence[UnlistedSocket]) -> Iterator[Callable[[], int]]:
    """What opens the netns of each, or raises why it cannot be.

    A child asks those of foreigners: who has swapped the fd for a file of his own meanwhile decides how long it takes
    to close that again.
    """
    trusted = {pid: _is_trusted(context, pid) for pid in {one.holder.pid for one in unlisted}}
    for one in unlisted:
        if trusted[one.holder.pid]:
            yield partial(open_netns_of_socket, one.tid, one.fd, one.inode, thread=int(one.tid) != one.holder.pid)
    foreign = [
        SocketLookup(
            one.tid,
            one.inode,
            one.tid,
            one.fd,
            int(one.tid) != one.holder.pid,
            Who(one.holder.cgroup, one.holder.uid),
        )
        for one in unlisted
        if not trusted[one.holder.pid]
    ]
    if foreign:
        with closing(context.open_each(foreign)) as answers:
            for _, answer in answers:
                yield partial(_give, answer)


def _give(answer: int | Gone | NotRead) -> int:
    if isinstance(answer, int):
        return answer
    raise answer


def _is_trusted(context: PassContext, pid: Pid) -> bool:
    try:
        with context.procfs.open_process(pid) as process:
            return is_trusted(process)
    except (Gone, NotRead):
        return False


@contextmanager
def _open_holder(process: ProcessDir, reading: ProcessReading) -> Iterator[ProcessDir]:
    """Whoever has the fd table of a reading: a thread with its own, a live thread of a dead leader, the process."""
    if reading.tid is not None:
        with process.open_thread(reading.tid) as thread:
            yield thread
    elif process.read_stat().is_dead:
        with process.open_live_thread() as thread:
            yield thread
    else:
        yield process


def _read_protocol(process: ProcessDir, fd: Fd, inode: SocketInode) -> Protocol | None:
    try:
        return _PROTOCOLS.get(process.read_socket_protocol(fd, inode))
    except Gone:
        return None  # The fd is closed, or another file; that the process is gone shows at the next read.


def _see_thread(process: ProcessDir, tid: int, registry: NetnsRegistry) -> None:
    try:
        if registry.has_met(process.read_netns_of_thread(tid)):
            return
        with process.open_thread(tid) as thread:
            registry.see_process(thread, Pid(tid), FoundBy.THREAD)
    except (Gone, FormatError):
        return
