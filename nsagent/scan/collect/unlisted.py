"""Sockets that some fd holds and no table shows: they may be in a netns that no process is in.

A thread may have a netns of its own, and a netns lives on while nothing but a socket refers to it.
A socket that was never bound is in no table either.

Source: net/socket.c sock_ioctl() SIOCGSKNS, sockfs_xattr_get().
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.kernel.pidfd import open_netns_of_socket
from nsagent.kernel.procfs import ProcessDir
from nsagent.model.facts import FoundBy, ProcessReading
from nsagent.model.gap import Gap, Kind, Stage, Subject, make_gap
from nsagent.model.ids import Fd, Pid, SocketInode, Tid
from nsagent.model.net import Protocol
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.holders import MAX_THREADS, threads_subject
from nsagent.scan.collect.netns import NetnsRegistry

MAX_SOCKETS: Final = 4096
"""How many sockets are asked for their netns: each is duplicated for a moment, which takes 30 us."""

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
}
"""Names of struct proto (/proc/net/protocols), by the table in which a bound socket of theirs stands."""


class UnlistedSocket(NamedTuple):
    """One of them, at one fd of one of its holders, which is in the netns `netns_inode`.

    `tid` is the thread whose fd table that is.
    """

    netns_inode: int | None
    pid: Pid
    tid: Tid
    fd: Fd
    inode: SocketInode
    threads: int


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
                    if _read_protocol(holder, fd) in protocols:
                        tid = Tid(holder.number)
                        found.append(UnlistedSocket(reading.netns_inode, reading.pid, tid, fd, inode, reading.threads))
        except (Gone, NotRead):
            continue
    return found


def see_threads(context: PassContext, unlisted: Iterable[UnlistedSocket]) -> None:
    """Look for netns that only threads are in, in their processes; gaps say whose are too many or unreadable."""
    for pid in dict.fromkeys(one.pid for one in unlisted if one.threads > 1):
        try:
            with context.procfs.open_process(pid) as process:
                tids = process.list_threads()
                if unseen := len(tids[MAX_THREADS:]):
                    context.gaps.add((Gap(Stage.PROCESSES, threads_subject(pid), Reason.TOO_MANY, count=unseen),))
                for tid in tids[:MAX_THREADS]:
                    _see_thread(process, tid, context.registry)
        except Gone:
            continue
        except NotRead as err:
            context.gaps.note(Stage.PROCESSES, threads_subject(pid), err)


def see_sockets(context: PassContext, unlisted: Sequence[UnlistedSocket]) -> None:
    """Look for netns that only these sockets keep alive; gaps say how many could not be asked, and why."""
    failed: Counter[Gap] = Counter()
    if unasked := len(unlisted[MAX_SOCKETS:]):
        failed[Gap(Stage.NETNS, _SUBJECT, Reason.TOO_MANY)] = unasked
    for one in unlisted[:MAX_SOCKETS]:
        try:
            context.registry.see_socket(
                partial(open_netns_of_socket, one.tid, one.fd, one.inode, thread=int(one.tid) != one.pid)
            )
        except Gone:
            continue  # Closed by now.
        except NotRead as err:
            failed[make_gap(Stage.NETNS, _SUBJECT, err)] += 1
    context.gaps.add(replace(gap, count=count) for gap, count in failed.items())


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


def _read_protocol(process: ProcessDir, fd: Fd) -> Protocol | None:
    try:
        return _PROTOCOLS.get(process.read_socket_protocol(fd))
    except Gone:
        return None  # The fd is closed; that the process is gone shows at the next read.


def _see_thread(process: ProcessDir, tid: int, registry: NetnsRegistry) -> None:
    try:
        with process.open_thread(tid) as thread:
            registry.see_process(thread, Pid(tid), FoundBy.THREAD)
    except (Gone, FormatError):
        return
