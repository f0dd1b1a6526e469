"""Rows of /proc/PID/net/{tcp,tcp6,udp,udp6}: recorded ones, and text by hand."""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import FormatError
from nsagent.kernel.formats.net_inet import MAX_ERRORS, find_rows, index_rows, parse_row, parse_table
from nsagent.kernel.formats.row_place import RowIndex, RowPlace
from nsagent.model.ids import SocketInode
from nsagent.model.net import ByteOrder, Endpoint, Protocol, SocketRow, SocketState, Timer, TimerKind
from tests.kernel.rows import (
    TCP_UNPRIVILEGED_ROWS,
    UDP_ROWS,
    as_text_shows,
    four,
    make_row,
    read_recorded_text,
    stop_timer,
)

BYTE_ORDERS: tuple[ByteOrder, ...] = get_args(ByteOrder)
LISTEN = (
    "   0: 00000000:0016 00000000:0000 0A 00000000:00000005 00:00000000 00000000  1000        0 7732 1 0 100 0 0 10 0"
)
DAMAGE = [
    ("columns", LISTEN[:60]),
    ("empty", ""),
    ("port above 65535", LISTEN.replace(":0016", ":1FFFF")),
    ("port of three digits", LISTEN.replace(":0016", ":016")),
    ("no port", LISTEN.replace(":0016", "")),
    ("negative port", LISTEN.replace(":0016", ":-016")),
    ("signed port", LISTEN.replace(":0016", ":+016")),
    ("port with underscore", LISTEN.replace(":0016", ":0_16")),
    ("short address", LISTEN.replace("00000000:0016", "0000000:0016")),
    ("address of 16 digits", LISTEN.replace("00000000:0016", "0000000000000000:0016")),
    ("address with sign", LISTEN.replace("00000000:0016", "+0000000:0016")),
    ("address with underscore", LISTEN.replace("00000000:0016", "0000_000:0016")),
    ("addresses of two families", LISTEN.replace("00000000:0016", "0" * 32 + ":0016")),
    ("state 0", LISTEN.replace(" 0A ", " 00 ")),
    ("state 14", LISTEN.replace(" 0A ", " 0E ")),
    ("negative state", LISTEN.replace(" 0A ", " -A ")),
    ("signed state", LISTEN.replace(" 0A ", " +A ")),
    ("state with underscore", LISTEN.replace(" 0A ", " 0_A ")),
    ("state with prefix", LISTEN.replace(" 0A ", " 0xA ")),
    ("no queues", LISTEN.replace("00000000:00000005", "00000000")),
    ("three queues", LISTEN.replace("00000000:00000005", "00000000:00000005:0")),
    ("queue beyond 32 bits", LISTEN.replace("00000000:00000005", "00000000:100000000")),
    ("negative queue", LISTEN.replace("00000000:00000005", "00000000:-0000005")),
    ("signed queue", LISTEN.replace("00000000:00000005", "00000000:+0000005")),
    ("queue with underscore", LISTEN.replace("00000000:00000005", "00000000:0000_005")),
    ("queue with prefix", LISTEN.replace("00000000:00000005", "00000000:0x000005")),
    ("timer", LISTEN.replace("00:00000000 ", "zz:00000000 ")),
    ("time of a timer", LISTEN.replace("00:00000000 ", "01:zz ")),
    ("no time of a timer", LISTEN.replace("00:00000000 ", "01 ")),
    ("signed timer", LISTEN.replace("00:00000000 ", "+0:00000000 ")),
    ("uid of words", LISTEN.replace("1000", "root")),
    ("negative uid", LISTEN.replace("1000", "-1")),
    ("signed uid", LISTEN.replace("1000", "+1000")),
    ("uid with underscore", LISTEN.replace("1000", "1_000")),
    ("uid beyond 32 bits", LISTEN.replace("1000", "4294967296")),
    ("negative inode", LISTEN.replace("7732", "-7732")),
    ("signed inode", LISTEN.replace("7732", "+7732")),
    ("inode with underscore", LISTEN.replace("7732", "7_732")),
    ("inode beyond 64 bits", LISTEN.replace("7732", "18446744073709551616")),
    ("inode of 5000 digits", LISTEN.replace("7732", "7" * 5000)),
    ("inode in hex", LISTEN.replace("7732", "0x77")),
    ("digits that are not ASCII", LISTEN.replace("7732", "\u0667\u0667")),
]


def make_text(local: str, remote: str, *, state: int = 1, timer: int = 0, uid: int = 0, inode: int = 7) -> str:
    """A row as the kernel prints it; the ends as ADDRESS:PORT in hex."""
    numbers = f"{state:02X} 00000000:00000000 {timer:02X}:00000000 00000000 {uid:5d}        0 {inode} 1"
    return f"   0: {local} {remote} {numbers}"


def print_end(packed: bytes, port: int, byteorder: ByteOrder) -> str:
    """An end as a kernel of this byte order prints it: %08X of each address word, %04X of the port."""
    words = (int.from_bytes(packed[i : i + 4], byteorder) for i in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def parse(line: str) -> SocketRow:
    return parse_row(line, Protocol.TCP, byteorder="little")


@pytest.mark.parametrize(
    ("protocol", "names", "expected"),
    [(Protocol.TCP, ("tcp", "tcp6"), TCP_UNPRIVILEGED_ROWS), (Protocol.UDP, ("udp", "udp6"), UDP_ROWS)],
)
def test_a_recorded_table_gives_the_rows_that_sock_diag_gave(
    protocol: Protocol, names: tuple[str, ...], expected: tuple[SocketRow, ...]
) -> None:
    tables = [parse_table(read_recorded_text(name), protocol, byteorder="little") for name in names]
    assert [errors for _, errors in tables] == [[], []]
    rows = [row for rows, _ in tables for row in rows]
    assert sorted(map(stop_timer, rows), key=repr) == sorted(map(as_text_shows, expected), key=repr)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("00:00000000 00000000     0        0", None),
        ("01:00000014 00000003     0        9", Timer(TimerKind.ON, 200, 3)),
        ("02:00001770 00000009     0        2", Timer(TimerKind.KEEPALIVE, 60_000, 2)),
        ("03:0000176F 00000000     0        0", Timer(TimerKind.TIMEWAIT, 59_990, 0)),
        ("04:00000001 00000009     0       11", Timer(TimerKind.PERSIST, 10, 11)),
        ("05:00000001 00000000     0        0", None),
    ],
)
def test_a_timer_has_its_name_its_time_and_what_it_has_sent(columns: str, expected: Timer | None) -> None:
    line = LISTEN.replace("00:00000000 00000000  1000        0", columns)
    assert parse(line).timer == expected
    assert parse_row(line, Protocol.UDP, byteorder="little").timer is None


def test_a_listener_has_a_queue_of_connections_whose_limit_is_unknown() -> None:
    expected = make_row(SocketState.LISTEN, four(22, "0.0.0.0"), inode=7732, uid=1000, queues=(5, None))
    assert parse(LISTEN) == as_text_shows(expected)


def test_a_connection_has_queues_of_bytes() -> None:
    row = parse(LISTEN.replace(" 0A 00000000:", " 01 000000FF:"))
    assert (row.tx_queue, row.rx_queue) == (255, 5)


@given(packed=st.binary(min_size=16, max_size=16), port=st.integers(0, 65535), byteorder=st.sampled_from(BYTE_ORDERS))
def test_any_ipv6_address_and_port_comes_back(packed: bytes, port: int, byteorder: ByteOrder) -> None:
    line = make_text(print_end(packed, port, byteorder), print_end(b"\x20" * 16, 1, byteorder))
    local = parse_row(line, Protocol.TCP, byteorder=byteorder).local
    shown = local.raw_address or local.address
    assert (IPv6Address(shown), local.port) == (IPv6Address(packed), port)
    assert (local.raw_address is None) == (IPv6Address(packed).ipv4_mapped is None)


@given(packed=st.binary(min_size=4, max_size=4), port=st.integers(0, 65535), byteorder=st.sampled_from(BYTE_ORDERS))
def test_any_ipv4_address_and_port_comes_back(packed: bytes, port: int, byteorder: ByteOrder) -> None:
    line = make_text(print_end(bytes(4), 1, byteorder), print_end(packed, port, byteorder))
    assert parse_row(line, Protocol.TCP, byteorder=byteorder).remote == Endpoint(str(IPv4Address(packed)), port)


def test_the_address_words_of_2001_db8_1_are_unsigned() -> None:
    line = make_text("B80D0120000000000000000001000000:0050", "000080FE00000000000000000100007F:0000")
    row = parse(line)
    assert (row.local.address, row.remote.address) == ("2001:db8::1", "fe80::7f00:1")


@pytest.mark.parametrize(
    ("byteorder", "word"), [("little", "0000000000000000FFFF00000100007F"), ("big", "00000000000000000000FFFF7F000001")]
)
def test_a_mapped_address_is_shown_as_ipv4_in_either_byte_order(byteorder: ByteOrder, word: str) -> None:
    row = parse_row(make_text(word + ":0050", word + ":C350"), Protocol.TCP, byteorder=byteorder)
    assert (row.mapped, row.local, row.remote) == (
        True,
        Endpoint("127.0.0.1", 80, "::ffff:127.0.0.1"),
        Endpoint("127.0.0.1", 50000, "::ffff:127.0.0.1"),
    )


@pytest.mark.parametrize(("state", "timer"), [(3, 1), (6, 3), (12, 1), (5, 3)])
def test_a_mini_socket_has_no_uid_rather_than_root(state: int, timer: int) -> None:
    assert parse(make_text("00000000:0016", "0100007F:0001", state=state, timer=timer, inode=0)).uid is None


def test_a_half_closed_socket_that_somebody_holds_keeps_its_uid() -> None:
    assert parse(make_text("00000000:0016", "0100007F:0001", state=5, uid=33)).uid == 33


def test_a_udp_row_has_more_columns_and_the_same_meaning() -> None:
    line = " 4971: 0100007F:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9 2 0 0       "
    expected = make_row(SocketState.CLOSE, four(5353), protocol=Protocol.UDP, inode=9)
    assert parse_row(line, Protocol.UDP, byteorder="little") == as_text_shows(expected)


@pytest.mark.parametrize("line", [line for _, line in DAMAGE], ids=[name for name, _ in DAMAGE])
def test_a_damaged_row_is_a_format_error_that_holds_it(line: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(line)
    assert caught.value.text == line


def test_one_bad_row_leaves_the_rows_around_it() -> None:
    text = "\n".join(
        [make_text("00000000:0001", "00000000:0000"), "rubbish", make_text("00000000:0002", "00000000:0000")]
    )
    rows, errors = parse_table(text.encode(), Protocol.TCP, byteorder="little")
    assert [row.local.port for row in rows] == [1, 2]
    assert [error.text for error in errors] == ["rubbish"]


def test_a_row_that_the_kernel_repeats_is_one() -> None:
    line = LISTEN.encode() + b"\n"
    assert len(parse_table(line * 2, Protocol.TCP, byteorder="little")[0]) == 1


def test_rows_without_inode_differ_by_their_tuple() -> None:
    lines = [make_text("0100007F:0050", f"0100007F:{port:04X}", state=6, inode=0) for port in (1, 2, 3, 2)]
    rows, _ = parse_table("\n".join(lines).encode(), Protocol.TCP, byteorder="little")
    assert [row.remote.port for row in rows] == [1, 2, 3]


def test_sockets_that_share_a_port_are_rows_of_their_own() -> None:
    lines = [make_text("00000000:0050", "00000000:0000", state=10, inode=inode) for inode in (5, 6)]
    rows, _ = parse_table("\n".join(lines).encode(), Protocol.TCP, byteorder="little")
    assert [row.inode for row in rows] == [5, 6]


def test_an_empty_table_has_no_rows_and_no_errors() -> None:
    assert parse_table(b"", Protocol.TCP, byteorder="little") == ([], [])


def test_bytes_that_are_not_ascii_are_a_bad_row() -> None:
    rows, errors = parse_table(b"\xff\xfe\n" + LISTEN.encode(), Protocol.TCP, byteorder="little")
    assert (len(rows), len(errors)) == (1, 1)


def test_the_index_of_a_table_has_the_inodes_of_its_rows_and_no_0() -> None:
    data = read_recorded_text("tcp")
    rows, _ = parse_table(data, Protocol.TCP, byteorder="little")
    assert 0 in {row.inode for row in rows}
    assert index_rows(data) == RowIndex({row.inode for row in rows if row.inode}, set(), set(), bare=True)


def test_rows_are_found_by_their_inodes() -> None:
    data = read_recorded_text("tcp")
    expected = [row for row in parse_table(data, Protocol.TCP, byteorder="little")[0] if row.inode not in (0, 7999602)]
    found = find_rows(data, {0, *(row.inode for row in expected)})
    assert [(place.inode, place.uid, place.listening) for place in found] == [
        (row.inode, row.uid, row.state is SocketState.LISTEN) for row in expected
    ]


def test_the_place_of_a_row_is_where_its_line_starts() -> None:
    data = read_recorded_text("tcp6")
    for place in find_rows(data, index_rows(data).inodes):
        line = data[place.offset :].partition(b"\n")[0]
        assert re.search(rf" {place.inode} ".encode(), line)


@pytest.mark.parametrize("damage", [b"rubbish\n", b"\n", b"0: a b c d e f uid 0 inode\n", b"\xff" * 40 + b"\n"])
def test_rows_are_found_past_damaged_ones(damage: bytes) -> None:
    data = damage + LISTEN.encode()
    assert index_rows(data).inodes == {7732}
    assert find_rows(data, {7732}) == [RowPlace(len(damage), SocketInode(7732), 1000, listening=True)]


def test_rows_behind_very_many_damaged_ones_are_not_looked_for() -> None:
    data = b"\n" * MAX_ERRORS + LISTEN.encode()
    assert (index_rows(data).inodes, find_rows(data, {7732})) == (set(), [])
