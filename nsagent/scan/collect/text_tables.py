"""The tables of one netns as the text files of /proc/PID/net, through a process in it or a thread that is there.

A table whose file is not there is in no kernel: no gap.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.kernel.formats.net_protocols import count_mptcp, parse_net_protocols
from nsagent.kernel.formats.raw_table import NET_FILES, find_net_file, index_rows
from nsagent.kernel.formats.row_place import RowPlace
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.facts import RawTable
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.state import TablesRead
from nsagent.scan.plan import (
    TablesWanted,
    list_counters,
    needs_counts,
    plan_by_counters,
    plan_counted,
    read_counters,
)

T = TypeVar("T")

ReadNet = Callable[[str], bytes | None]
"""Gives a file of net/; None or nothing where the kernel lacks it."""

_READS: Final = 2
"""How often a text table is read: one read may lose rows under churn, the decoder drops what is double."""


def ask_member(procfs: ProcFs, met: MetNetns, ask: Callable[[ProcessDir], T]) -> T:
    """What a process in that netns shows; the next one is asked where one has gone, moved or may not be read.

    Raises NotRead: that of the last of them, or that nobody is in there.
    """
    failure = NotRead(f"netns {met.inode or met.key}", Reason.NOBODY_INSIDE)
    for pid in sorted(met.members):
        try:
            with procfs.open_process(pid) as process:
                if _is_in(process, met):
                    return ask(process)
        except Gone:
            continue
        except NotRead as err:
            failure = err
    raise failure


def read_text_tables(read_net: ReadNet, sockstat: str, wanted: TablesWanted, release: str | None) -> TablesRead:
    """All tables wanted, by a kernel of this release.

    Raises what `read_net` does, and NotRead where none is there and some must have rows.
    """
    counters = read_counters(sockstat)
    planned = plan_by_counters(counters, wanted)
    read = TablesRead(empty=not planned)
    counts = read_counts(read_net) if Protocol.TCP in planned or needs_counts(planned) else None
    for protocol in plan_counted(planned, counts):
        read.tables += read_text_table(protocol, read_net)
    if not read.tables and any(sum(list_counters(protocol, counters)) > 0 for protocol in planned):
        raise NotRead("net/", Reason.SHORT)
    if Protocol.TCP in planned and counts is not None:
        read.mptcp_counted = count_mptcp(counts, release)
    return read


def read_text_table(protocol: Protocol, read_net: ReadNet) -> list[RawTable]:
    """The table of one protocol, a part for each of its files; raises what `read_net` does."""
    parts = ((file, _read_text(file.name, read_net)) for file in NET_FILES[protocol])
    return [RawTable(file.format, protocol, file.family, data) for file, data in parts if data is not None]


def read_counts(read_net: ReadNet) -> dict[str, int] | None:
    """The counts of net/protocols; None where they cannot be read: nothing is then skipped, or known, by them."""
    try:
        text = read_net("protocols")
        return parse_net_protocols(text.decode("ascii", "replace")) if text else None
    except (NotRead, FormatError):
        return None


def find_absent(table: RawTable, places: Sequence[RowPlace], read_net: ReadNet) -> frozenset[SocketInode] | None:
    """Which of these rows the text table has no more; None for what is no text table. Raises what `read_net` does."""
    file = find_net_file(table)
    if file is None:
        return None
    now = table._replace(data=_read_text(file.name, read_net) or b"")
    return frozenset(place.inode for place in places) - index_rows(now, sys.byteorder).inodes


def _read_text(name: str, read_net: ReadNet) -> bytes | None:
    """A text table without its header line, as often as it is read; None where the kernel lacks it."""
    texts = [read_net(name) for _ in range(_READS)]
    if not texts[0]:
        return None
    return b"".join((text or b"").partition(b"\n")[2] for text in texts)


def _is_in(process: ProcessDir, met: MetNetns) -> bool:
    """Whether the process is (still) in that netns."""
    if met.id is not None:
        return process.read_netns_inode() == met.id.inode
    return process.read_netns_key() == met.key
