"""/proc/PID/net/{tcp,udp,udplite,raw,icmp} and the same with a 6: tables of one netns as text, with the same columns.

Source: proc_net_tcp.rst of the kernel, net/ipv4/tcp_ipv4.c get_tcp4_sock(), net/ipv4/udp.c
udp4_format_sock(). Address words are in the byte order of the machine, ports are not.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.inet_address import Ipv4Texts, Ipv6Texts, is_mapped, mapped_endpoint
from nsagent.kernel.formats.numbers import parse_decimal, parse_hex
from nsagent.kernel.formats.row_place import RowIndex, RowPlace
from nsagent.kernel.formats.socket_state import SOCKET_STATES, TIMERS, is_mini_socket
from nsagent.model.ids import SocketInode
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol, SocketRow, SocketState, Timer, TimerKind

MAX_ERRORS: Final = 1000


def parse_row(line: str, protocol: Protocol, byteorder: ByteOrder, *, mptcp: bool | None = None) -> SocketRow:
    """One row; the caller drops the header line. `mptcp` is what the row says of it: the table does not tell.

    Queues are in bytes, but in a LISTEN row `rx_queue` counts connections that wait for accept(2)
    and the limit is unknown (the kernel prints 0). The table has no cookie, cgroup, interface or
    v6only. `byteorder` is that of the machine whose kernel wrote the row. Raises FormatError,
    holding the row, if a column is missing or malformed.
    """
    columns = line.split()
    try:
        local, local_port = _parse_address(columns[1], byteorder)
        remote, remote_port = _parse_address(columns[2], byteorder)
        state = SOCKET_STATES[parse_hex(columns[3], 8)]
        tx_queue, rx_queue = (parse_hex(word, 32) for word in columns[4].split(":"))
        timer = parse_hex(columns[5].partition(":")[0], 8)
        running = _parse_timer(columns, TIMERS.get(timer)) if protocol is Protocol.TCP else None
        uid = parse_decimal(columns[7], 32)
        inode = parse_decimal(columns[9], 64)
    except (IndexError, KeyError, ValueError) as err:
        raise FormatError("a row of /proc/PID/net/tcp or udp", line) from err
    if len(local) != len(remote):
        raise FormatError("two addresses of one family", line)
    mapped = len(local) == 16 and is_mapped(local, remote)
    return SocketRow(
        protocol=protocol,
        family=Family.IPV4 if mapped or len(local) == 4 else Family.IPV6,
        mapped=mapped,
        state=state,
        local=mapped_endpoint(local, local_port) if mapped else _endpoint(local, local_port),
        remote=mapped_endpoint(remote, remote_port) if mapped else _endpoint(remote, remote_port),
        interface=None,
        inode=SocketInode(inode),
        cookie=None,
        uid=None if is_mini_socket(state, timer) else uid,
        rx_queue=rx_queue,
        tx_queue=None if state is SocketState.LISTEN else tx_queue,
        cgroup_id=None,
        v6only=None,
        mptcp=mptcp,
        timer=running,
    )


def parse_table(
    data: bytes, protocol: Protocol, byteorder: ByteOrder, *, mptcp: bool | None = None
) -> tuple[list[SocketRow], list[FormatError]]:
    """All rows of a table without its header line, each once, and one error for each bad row.

    After MAX_ERRORS bad rows what follows is given up: this is no such table.

    Under churn the kernel repeats rows. A row is known by inode and tuple: rows without an inode
    differ by their tuple only.
    """
    rows: dict[tuple[int, Endpoint, Endpoint], SocketRow] = {}
    errors: list[FormatError] = []
    for line in data.decode("ascii", "replace").splitlines():
        try:
            row = parse_row(line, protocol, byteorder, mptcp=mptcp)
        except FormatError as err:
            errors.append(err)
            if len(errors) == MAX_ERRORS:
                break
        else:
            rows.setdefault((row.inode, row.local, row.remote), row)
    return list(rows.values()), errors


def index_rows(data: bytes) -> RowIndex:
    """What the rows of a table name; no interface and no cgroup. Damaged rows are passed over."""
    inodes = {inode for _, inode, _, _ in _walk_rows(data)}
    return RowIndex(inodes - {0}, set(), set(), bare=0 in inodes)


def find_rows(data: bytes, inodes: Container[int]) -> list[RowPlace]:
    """The places of the rows with one of these inodes, as they stand in a table. Damaged rows are passed over."""
    return [
        RowPlace(offset, inode, uid, state == b"0A")
        for offset, inode, uid, state in _walk_rows(data)
        if inode in inodes and inode
    ]


def _walk_rows(data: bytes) -> Iterator[tuple[int, SocketInode, int, bytes]]:
    """Where each whole row starts, its inode and uid, and its state in hex; up to MAX_ERRORS bad ones."""
    offset = errors = 0
    for line in data.splitlines(keepends=True):
        columns = line.split(None, 10)
        at, offset = offset, offset + len(line)
        try:
            inode, uid = SocketInode(parse_decimal(columns[9], 64)), parse_decimal(columns[7], 32)
        except (IndexError, ValueError):
            errors += 1
            if errors == MAX_ERRORS:
                return
            continue
        yield at, inode, uid, columns[3]


def _parse_timer(columns: Sequence[str], kind: TimerKind | None) -> Timer | None:
    """The timer of a row: `tm->when` is in ticks of USER_HZ, 10 ms; probes are counted apart from retransmits."""
    if kind is None:
        return None
    ticks = parse_hex(columns[5].partition(":")[2], 64)
    probes = kind in (TimerKind.KEEPALIVE, TimerKind.PERSIST)
    return Timer(kind, ticks * 10, parse_decimal(columns[8], 32) if probes else parse_hex(columns[6], 32))


def _parse_address(text: str, byteorder: ByteOrder) -> tuple[bytes, int]:
    """`ADDRESS:PORT` in hex to network-order bytes (4 or 16) and the port."""
    address, _, port = text.partition(":")
    if len(address) not in (8, 32) or len(port) != 4:
        raise ValueError(text)
    packed = bytes.fromhex(address)
    if byteorder == "little":
        packed = b"".join(packed[i : i + 4][::-1] for i in range(0, len(packed), 4))
    return packed, int.from_bytes(bytes.fromhex(port), "big")


def _endpoint(packed: bytes, port: int) -> Endpoint:
    texts = Ipv4Texts() if len(packed) == 4 else Ipv6Texts()
    return Endpoint(texts[packed], port)
