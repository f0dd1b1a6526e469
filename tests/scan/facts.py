"""Facts by hand."""

from collections.abc import Mapping, Sequence
from socket import AF_INET, AF_INET6, AF_UNSPEC

from nsagent.model.choices import EngineName
from nsagent.model.facts import (
    Facts,
    FoundBy,
    NetnsReading,
    ProcessCounts,
    ProcessReading,
    RawTable,
    TableFormat,
)
from nsagent.model.ids import Fd, NetnsId, Pid, SocketInode
from nsagent.model.net import Protocol
from tests.kernel.proc_tree import HOST_NETNS, text_row

WEB_NETNS = 4026532500
WEB_ID = "c0ffee" + "0" * 58
WEB_CGROUP = f"0::/docker/{WEB_ID}\n"
ANY = "00000000:0000"
LOOPBACK = "0100007F"


def reading(
    pid: int,
    fds: Mapping[int, int] | None = None,
    *,
    comm: str = "app",
    start_ticks: int = 100,
    netns: int | None = HOST_NETNS,
    key: int | None = None,
    cgroup: str = "0::/\n",
    kernel_thread: bool = False,
    uid: int = 0,
) -> ProcessReading:
    """A process with sockets at its fds."""
    held = tuple((Fd(fd), SocketInode(inode)) for fd, inode in (fds or {}).items())
    return ProcessReading(Pid(pid), start_ticks, comm, uid, kernel_thread, netns, key, cgroup, 1, held)


def tcp_text(*rows: str) -> RawTable:
    """A table of /proc/PID/net/tcp."""
    return RawTable(TableFormat.NET_INET, Protocol.TCP, AF_INET, "".join(rows).encode())


def udp6_text(*rows: str) -> RawTable:
    return RawTable(TableFormat.NET_INET, Protocol.UDP, AF_INET6, "".join(rows).encode())


def diag_table(data: bytes) -> RawTable:
    """A dump of TCP."""
    return RawTable(TableFormat.INET_DIAG, Protocol.TCP, AF_UNSPEC, data)


def listen_row(port: int, inode: int) -> str:
    """A listener on 127.0.0.1."""
    return text_row(f"{LOOPBACK}:{port:04X}", ANY, 10, inode)


def netns(
    *tables: RawTable,
    inode: int | None = HOST_NETNS,
    key: int | None = None,
    engine: EngineName | None = EngineName.PROC,
    mounts: tuple[str, ...] = (),
    is_host: bool = False,
    empty: bool = False,
    closed: Sequence[int] = (),
    interface_names: tuple[tuple[int, str], ...] = (),
    own_addresses: tuple[str, ...] | None = ("10.0.0.1/32", "127.0.0.0/8", "::1/128"),
    client_ports: tuple[int, int] | None = (32768, 60999),
) -> NetnsReading:
    """A netns with these tables."""
    return NetnsReading(
        id=None if inode is None else NetnsId(0, inode),
        key=key,
        cookie=None,
        mounts=mounts,
        is_host=is_host,
        found_by=(FoundBy.PROCESS,),
        engine=engine,
        empty=empty,
        sockstat=None,
        tables=tables,
        closed=frozenset(map(SocketInode, closed)),
        interface_names=interface_names,
        own_addresses=own_addresses,
        client_ports=client_ports,
    )


BARE = Facts(
    host="node-1",
    boot_id=None,
    byteorder="little",
    taken_at_ns=1_767_323_045_678_000_000,
    duration_seconds=0.25,
    engine=EngineName.AUTO,
    processes=(),
    process_counts=ProcessCounts(0, 0, 0, 0, 0),
    netns=(),
    containers=(),
    sources=("cgroup",),
    gaps=(),
    kernel_release="6.18.44",
)


def facts(processes: Sequence[ProcessReading] = (), netns_readings: Sequence[NetnsReading] = ()) -> Facts:
    """Facts of a pass in which everything was read."""
    count = len(processes)
    return BARE._replace(
        processes=tuple(processes),
        process_counts=ProcessCounts(count, count, 0, 0, 0),
        netns=tuple(netns_readings),
    )
