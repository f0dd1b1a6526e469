"""Rows of sock_diag dumps: recorded ones, and messages by hand in both byte orders."""

import struct
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET6

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nsagent.kernel.formats.inet_diag import age_timers, decode_table, find_rows, has_ports, index_rows, is_changing
from nsagent.kernel.formats.row_place import RowIndex, RowPlace
from nsagent.model.ids import SocketInode
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol, SocketRow, SocketState, TcpInfo, Timer, TimerKind
from tests.kernel.diag_message import ORDER_SIGN, make_message
from tests.kernel.rows import (
    TCP_ROWS,
    TCP_UNPRIVILEGED_ROWS,
    UDP_ROWS,
    four,
    make_row,
    read_recorded,
    stop_timer,
)

BYTE_ORDERS: tuple[ByteOrder, ...] = ("little", "big")
INFO, SHUTDOWN, SKV6ONLY, PEERS, MARK, CGROUP_ID, SOCKOPT = 2, 8, 11, 13, 15, 21, 22
PORTS = st.integers(0, 65535)


def decode_one(message: bytes, byteorder: ByteOrder = "little") -> SocketRow:
    """The only row of a table of one message."""
    rows, errors = decode_table(message, Protocol.TCP, byteorder)
    assert (len(rows), errors) == (1, [])
    return rows[0]


@pytest.mark.parametrize(
    ("name", "protocol", "expected"),
    [
        ("tcp", Protocol.TCP, TCP_ROWS),
        ("tcp_unprivileged", Protocol.TCP, TCP_UNPRIVILEGED_ROWS),
        ("udp", Protocol.UDP, UDP_ROWS),
    ],
)
def test_a_recorded_dump_gives_every_row_whole(name: str, protocol: Protocol, expected: tuple[SocketRow, ...]) -> None:
    rows, errors = decode_table(read_recorded(name), protocol, "little")
    assert (list(map(stop_timer, rows)), errors) == (list(expected), [])


def test_the_timers_of_a_recorded_dump_tell_how_long_they_run() -> None:
    rows, _ = decode_table(read_recorded("tcp"), Protocol.TCP, "little")
    assert [(row.state, row.timer) for row in rows if row.timer] == [
        (SocketState.SYN_RECV, Timer(TimerKind.ON, 900, 0)),
        (SocketState.TIME_WAIT, Timer(TimerKind.TIMEWAIT, 60_000, 0)),
        (SocketState.FIN_WAIT1, Timer(TimerKind.ON, 200, 0)),
    ]


@pytest.mark.parametrize("byteorder", BYTE_ORDERS)
@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (0, None),
        (1, TimerKind.ON),
        (2, TimerKind.KEEPALIVE),
        (3, TimerKind.TIMEWAIT),
        (4, TimerKind.PERSIST),
        (5, None),
        (255, None),
    ],
)
def test_a_timer_goes_by_the_name_that_ss_has_for_its_number(
    number: int, kind: TimerKind | None, byteorder: ByteOrder
) -> None:
    message = make_message(timer=number, expires_ms=0x01020304, retransmits=7, byteorder=byteorder)
    expected = kind and Timer(kind, 0x01020304, 7)
    assert decode_table(message, Protocol.TCP, byteorder)[0][0].timer == expected
    assert decode_table(message, Protocol.UDP, byteorder)[0][0].timer is None


def test_the_mark_that_only_net_admin_sees_changes_no_row() -> None:
    with_mark = decode_table(read_recorded("tcp"), Protocol.TCP, "little")[0]
    without = decode_table(read_recorded("tcp_unprivileged"), Protocol.TCP, "little")[0]
    assert list(map(stop_timer, with_mark[:-1])) == list(map(stop_timer, without[:-1]))


def test_an_empty_table_has_no_rows_and_no_errors() -> None:
    assert decode_table(b"", Protocol.TCP, "little") == ([], [])


@pytest.mark.parametrize("byteorder", BYTE_ORDERS)
def test_every_field_is_read_in_the_byte_order_of_the_kernel(byteorder: ByteOrder) -> None:
    sign = ORDER_SIGN[byteorder]
    message = make_message(
        byteorder=byteorder,
        state=10,
        local=b"\x0a\x00\x01\x02",
        local_port=0x1234,
        remote=bytes(4),
        remote_port=0,
        interface=0x01020304,
        cookie=0x0102030405060708,
        queues=(0x11223344, 0x55667788),
        uid=0xFFFFFFFE,
        inode=0xFFFFFFFF,
        attributes=[
            (SHUTDOWN, b"\0"),
            (CGROUP_ID, struct.pack(sign + "Q", 0x1122334455667788)),
            (SOCKOPT, b"\x10\0" if byteorder == "little" else b"\x08\0"),
        ],
    )
    assert decode_one(message, byteorder) == make_row(
        SocketState.LISTEN,
        Endpoint("10.0.1.2", 0x1234),
        interface=0x01020304,
        cookie=0x0102030405060708,
        queues=(0x11223344, 0x55667788),
        uid=0xFFFFFFFE,
        inode=0xFFFFFFFF,
        cgroup_id=0x1122334455667788,
    )


@given(packed=st.binary(min_size=16, max_size=16), port=PORTS, byteorder=st.sampled_from(BYTE_ORDERS))
def test_any_ipv6_address_and_port_comes_back(packed: bytes, port: int, byteorder: ByteOrder) -> None:
    message = make_message(byteorder=byteorder, family=AF_INET6, local=packed, local_port=port, remote=b"\x20" * 16)
    address = IPv6Address(packed)
    local = decode_one(message, byteorder).local
    if address.ipv4_mapped:
        assert (IPv4Address(local.address), local.port) == (address.ipv4_mapped, port)
        assert local.raw_address is not None
        assert IPv6Address(local.raw_address) == address
    else:
        assert (IPv6Address(local.address), local[1:]) == (address, (port, None))


@given(packed=st.binary(min_size=4, max_size=4), port=PORTS, byteorder=st.sampled_from(BYTE_ORDERS))
def test_any_ipv4_address_and_port_comes_back(packed: bytes, port: int, byteorder: ByteOrder) -> None:
    remote = decode_one(make_message(byteorder=byteorder, remote=packed, remote_port=port), byteorder).remote
    assert remote == Endpoint(str(IPv4Address(packed)), port)


@given(packed=st.binary(min_size=4, max_size=4), port=PORTS)
def test_a_mapped_address_is_shown_as_ipv4_with_its_raw_text(packed: bytes, port: int) -> None:
    mapped = bytes(10) + b"\xff\xff" + packed
    row = decode_one(make_message(family=AF_INET6, local=mapped, local_port=port, remote=mapped, remote_port=port))
    end = Endpoint(str(IPv4Address(packed)), port, f"::ffff:{IPv4Address(packed)}")
    assert (row.family, row.mapped, row.local, row.remote) == (Family.IPV4, True, end, end)


@pytest.mark.parametrize("state", [3, 6, 12])
def test_a_mini_socket_has_no_uid_rather_than_root(state: int) -> None:
    assert decode_one(make_message(state=state, uid=0, inode=0)).uid is None


def test_a_late_fin_wait2_has_no_uid_and_an_early_one_has() -> None:
    late = decode_one(make_message(state=5, timer=3, inode=0))
    early = decode_one(make_message(state=5, timer=0, uid=1000))
    assert (late.uid, early.uid) == (None, 1000)


def test_new_syn_recv_is_syn_recv() -> None:
    assert decode_one(make_message(state=12, inode=0)).state is SocketState.SYN_RECV


def test_state_13_is_bound_inactive() -> None:
    assert decode_one(make_message(state=13)).state is SocketState.BOUND_INACTIVE


@pytest.mark.parametrize(
    ("attributes", "cgroup_id", "v6only"),
    [
        ((), None, None),
        (((CGROUP_ID, struct.pack("<Q", 44)),), 44, None),
        (((SKV6ONLY, b"\0"),), None, False),
        (((SKV6ONLY, b"\1"), (CGROUP_ID, struct.pack("<Q", 44))), 44, True),
        (((MARK, struct.pack("<I", 7)), (SKV6ONLY, b"\1"), (CGROUP_ID, struct.pack("<Q", 2))), 2, True),
        (((CGROUP_ID, b"short"), (SKV6ONLY, b"too long")), None, None),
        (((200, b"an attribute of a later kernel"), (CGROUP_ID, struct.pack("<Q", 1 << 63))), 1 << 63, None),
    ],
)
def test_attributes_are_found_wherever_they_stand(
    attributes: tuple[tuple[int, bytes], ...], cgroup_id: int | None, v6only: bool | None
) -> None:
    row = decode_one(make_message(family=AF_INET6, local=bytes(16), remote=bytes(16), attributes=attributes))
    assert (row.cgroup_id, row.v6only) == (cgroup_id, v6only)


def test_messages_of_one_length_may_hold_different_attributes() -> None:
    cgroup = (CGROUP_ID, struct.pack("<Q", 44))
    mark = (MARK, struct.pack("<I", 44))
    orders = [[cgroup, mark], [mark, cgroup], [mark, (201, bytes(8))], [cgroup, mark]]
    data = b"".join(make_message(cookie=i, inode=100 + i, attributes=order) for i, order in enumerate(orders, 1))
    rows, errors = decode_table(data, Protocol.TCP, "little")
    assert ([row.cgroup_id for row in rows], errors) == ([44, 44, None, 44], [])


def test_a_row_that_the_kernel_repeats_is_one() -> None:
    message = make_message()
    assert len(decode_table(message * 3, Protocol.TCP, "little")[0]) == 1


def test_a_subflow_with_the_cookie_of_its_listener_is_a_row_of_its_own() -> None:
    listener = make_message(state=10, remote=bytes(4), remote_port=0, inode=1)
    subflow = make_message(inode=2)
    rows, _ = decode_table(listener + subflow, Protocol.TCP, "little")
    assert [row.inode for row in rows] == [1, 2]


def test_a_repeated_subflow_with_the_cookie_of_its_listener_is_one_row() -> None:
    listener = make_message(state=10, remote=bytes(4), remote_port=0, inode=1)
    subflow = make_message(inode=2)
    rows, _ = decode_table(listener + subflow * 2, Protocol.TCP, "little")
    assert [row.inode for row in rows] == [1, 2]


def test_a_socket_that_changed_its_state_during_the_dump_is_one_row() -> None:
    rows, _ = decode_table(make_message(state=1) + make_message(state=8), Protocol.TCP, "little")
    assert [row.state for row in rows] == [SocketState.ESTABLISHED]


def test_rows_without_inode_and_with_different_tuples_are_all_kept() -> None:
    data = b"".join(make_message(state=6, inode=0, cookie=i, remote_port=i) for i in range(1, 6))
    rows, _ = decode_table(data, Protocol.TCP, "little")
    assert [row.remote.port for row in rows] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "damaged",
    [
        make_message(state=0),
        make_message(state=14),
        make_message(family=1),
        make_message(attributes=[(CGROUP_ID, bytes(8))])[:-12] + b"\xff\0\x15\0" + bytes(8),
        make_message(attributes=[(CGROUP_ID, bytes(8))])[:-12] + b"\3\0\x15\0" + bytes(8),
    ],
    ids=["state 0", "state 14", "AF_UNIX", "an attribute longer than its message", "an attribute without its header"],
)
def test_a_damaged_row_is_one_error_that_holds_it_and_the_rows_around_it_stay(damaged: bytes) -> None:
    data = make_message(cookie=1, inode=1) + damaged + make_message(cookie=3, inode=3)
    rows, errors = decode_table(data, Protocol.TCP, "little")
    assert [row.inode for row in rows] == [1, 3]
    assert [error.text for error in errors] == [damaged]


@pytest.mark.parametrize(
    "tail",
    [b"\0", b"\0" * 16, struct.pack("<I", 87) + bytes(100), struct.pack("<I", 0xFFFFFFFF) + bytes(100)],
    ids=["one byte", "a length of 0", "too short for a row", "longer than the table"],
)
def test_a_damaged_length_is_one_error_and_hides_only_what_follows(tail: bytes) -> None:
    rows, errors = decode_table(make_message(inode=1) + tail, Protocol.TCP, "little")
    assert [row.inode for row in rows] == [1]
    assert len(errors) == 1


def test_a_message_cut_off_at_any_byte_is_an_error() -> None:
    message = make_message(attributes=[(CGROUP_ID, bytes(8))])
    for length in range(1, len(message)):
        rows, errors = decode_table(message[:length], Protocol.TCP, "little")
        assert (rows, len(errors)) == ([], 1)


def test_the_index_of_a_recorded_table_has_all_that_its_rows_name_and_no_inode_0() -> None:
    assert 0 in {row.inode for row in TCP_ROWS}
    assert index_rows(read_recorded("tcp"), "little") == RowIndex(
        {row.inode for row in TCP_ROWS if row.inode},
        {row.interface for row in TCP_ROWS if row.interface},
        {row.cgroup_id for row in TCP_ROWS if row.cgroup_id is not None},
        bare=True,
    )


def test_all_recorded_rows_are_found_by_their_inodes_but_those_without_one() -> None:
    found = find_rows(read_recorded("tcp"), {row.inode for row in TCP_ROWS}, "little")
    assert [(place.inode, place.uid, place.listening) for place in found] == [
        (row.inode, row.uid, row.state is SocketState.LISTEN) for row in TCP_ROWS if row.inode
    ]


def test_the_place_of_a_row_is_where_its_message_starts() -> None:
    data = read_recorded("tcp")
    for place in find_rows(data, {row.inode for row in TCP_ROWS}, "little"):
        rows, _ = decode_table(data[place.offset :], Protocol.TCP, "little")
        assert rows[0].inode == place.inode


def test_all_rows_that_share_an_inode_are_found_and_no_others() -> None:
    messages = [make_message(inode=inode, attributes=[(MARK, bytes(4))] * (inode % 2)) for inode in (7, 8, 9, 7)]
    found = find_rows(b"".join(messages), {7}, "little")
    assert [place.offset for place in found] == [0, sum(map(len, messages[:3]))]


@pytest.mark.parametrize("byteorder", BYTE_ORDERS)
def test_rows_are_indexed_and_found_in_either_byte_order(byteorder: ByteOrder) -> None:
    data = make_message(byteorder=byteorder, state=10, interface=3, uid=1000, inode=7)
    assert index_rows(data, byteorder) == RowIndex({SocketInode(7)}, {3}, set())
    assert find_rows(data, {7}, byteorder) == [RowPlace(0, SocketInode(7), 1000, listening=True)]


def test_rows_are_indexed_and_found_up_to_a_damaged_length() -> None:
    data = make_message(inode=7) + struct.pack("<I", 87) + bytes(100) + make_message(inode=8)
    assert index_rows(data, "little").inodes == {7}
    assert [place.inode for place in find_rows(data, {7, 8}, "little")] == [7]


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_a_timer_of_any_row_is_seen(byteorder: ByteOrder) -> None:
    none = make_message(byteorder=byteorder, expires_ms=7, retransmits=2, attributes=[(21, b"\0" * 8)])
    some = make_message(byteorder=byteorder, timer=2)
    for protocol in (Protocol.TCP, Protocol.UDP):
        assert not is_changing(b"", protocol, byteorder)
        assert not is_changing(none * 3, protocol, byteorder)
        for tables in (some, none + some, some + none, none + some + none):
            assert is_changing(tables, protocol, byteorder)


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_what_waits_to_be_sent_is_told_by_segments_and_of_udp_by_nothing(byteorder: ByteOrder) -> None:
    assert not is_changing(make_message(byteorder=byteorder, queues=(7, 0)), Protocol.UDP, byteorder)
    table = make_message(byteorder=byteorder) + make_message(byteorder=byteorder, queues=(0, 7))
    assert is_changing(table, Protocol.UDP, byteorder)
    assert not is_changing(table, Protocol.TCP, byteorder)


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_time_wait_is_nearer_its_end_later_and_all_else_is_what_it_was(byteorder: ByteOrder) -> None:
    other = make_message(byteorder=byteorder, timer=2, expires_ms=900, attributes=[(21, b"\0" * 8)])
    waits = make_message(byteorder=byteorder, timer=3, expires_ms=900)
    later = make_message(byteorder=byteorder, timer=3, expires_ms=650)
    assert not is_changing(waits, Protocol.TCP, byteorder)
    assert age_timers(other + waits + other + waits, 250, byteorder) == other + later + other + later
    assert age_timers(waits, 901, byteorder) == make_message(byteorder=byteorder, timer=3)
    assert age_timers(other, 250, byteorder) is other


def test_a_damaged_table_may_have_any_timer() -> None:
    message = make_message()
    for damaged in (message[:-1], message + b"\1\0\0\0", message + b"\0"):
        assert is_changing(damaged, Protocol.TCP, "little")


@pytest.mark.parametrize("byteorder", BYTE_ORDERS)
def test_a_port_is_found_at_either_end_of_any_row_in_either_byte_order(byteorder: ByteOrder) -> None:
    ends = [(80, 50000), (443, 0), (0x1234, 1)]
    rows = [
        make_message(
            byteorder=byteorder, local_port=local, remote_port=remote, attributes=[(MARK, bytes(4))] * (local % 2)
        )
        for local, remote in ends
    ]
    data = b"".join(rows)
    assert [port for port in range(1 << 16) if has_ports(data, {port}, byteorder)] == [0, 1, 80, 443, 0x1234, 50000]
    assert has_ports(data, {81, 443}, byteorder)
    assert not has_ports(b"", {80}, byteorder)


def test_any_port_may_stand_behind_a_damaged_length() -> None:
    assert not has_ports(make_message(local_port=80), {81}, "little")
    assert has_ports(make_message(local_port=80) + struct.pack("<I", 87) + bytes(100), {81}, "little")


def test_the_interfaces_that_rows_are_bound_to_are_listed_once() -> None:
    data = b"".join(make_message(interface=index, cookie=i, inode=i) for i, index in enumerate((2, 0, 2, 9), 1))
    assert index_rows(data, "little").interfaces == {2, 9}


def test_an_unspecified_end_of_a_mapped_socket_is_0_0_0_0() -> None:
    mapped = bytes(10) + b"\xff\xff\x7f\0\0\1"
    row = decode_one(make_message(family=AF_INET6, state=7, local=mapped, remote=bytes(16), remote_port=0))
    assert (row.local, row.remote) == (Endpoint("127.0.0.1", 80, "::ffff:127.0.0.1"), Endpoint("0.0.0.0", 0, "::"))


def test_a_row_of_a_plain_connection_compares_whole() -> None:
    expected = make_row(
        SocketState.ESTABLISHED, four(80), four(50000, "127.0.0.2"), inode=7732, cookie=1, cgroup_id=None
    )
    assert decode_one(make_message()) == expected


def test_the_cgroups_that_rows_name_are_listed_once_whatever_stands_before_them() -> None:
    first, second = (CGROUP_ID, struct.pack("<Q", 44)), (CGROUP_ID, struct.pack("<Q", 1 << 40))
    mark = (MARK, struct.pack("<I", 7))
    orders = [[first], [first], [second], [mark, first], [first, mark], [second, mark], [], [mark]]
    data = b"".join(make_message(cookie=i, inode=i, attributes=order) for i, order in enumerate(orders, 1))
    found = index_rows(data, "little")
    assert (found.cgroup_ids, len(found.inodes)) == ({44, 1 << 40}, len(orders))


@pytest.mark.parametrize("byteorder", BYTE_ORDERS)
def test_a_cgroup_is_read_in_either_byte_order(byteorder: ByteOrder) -> None:
    payload = struct.pack(ORDER_SIGN[byteorder] + "Q", 0x1122334455667788)
    data = make_message(byteorder=byteorder, attributes=[(CGROUP_ID, payload)])
    assert index_rows(data, byteorder).cgroup_ids == {0x1122334455667788}


@pytest.mark.parametrize("payload", [b"", b"short", bytes(9)])
def test_what_has_not_the_length_of_a_cgroup_id_is_none(payload: bytes) -> None:
    found = index_rows(make_message(attributes=[(CGROUP_ID, payload)]), "little")
    assert (found.cgroup_ids, len(found.inodes)) == (set(), 1)


@pytest.mark.parametrize(
    ("byteorder", "bits"), [("little", (0x20, 0x04, 0x10)), ("big", (0x04, 0x20, 0x08))], ids=BYTE_ORDERS
)
def test_options_are_told_in_either_byte_order(byteorder: ByteOrder, bits: tuple[int, int, int]) -> None:
    transparent, freebind, loop = bits
    payloads = [bytes((byte, 0)) for byte in (transparent, 0xFF ^ freebind, loop)]
    data = b"".join(
        make_message(byteorder=byteorder, cookie=i, inode=i, attributes=[(SHUTDOWN, b"\0"), (SOCKOPT, payload)])
        for i, payload in enumerate(payloads, 1)
    )
    assert [row.options for row in decode_table(data, Protocol.TCP, byteorder)[0]] == [
        (True, False, False),
        (True, False, True),
        (False, False, True),
    ]


def test_a_row_without_options_has_none() -> None:
    assert decode_one(make_message(attributes=[(SHUTDOWN, b"\0")])).options is None


def test_tcp_info_is_kept_for_connections_only() -> None:
    info = (INFO, bytes(280))
    states = {number: decode_one(make_message(state=number, attributes=[info])) for number in range(1, 14)}
    known = {row.state for row in states.values() if row.tcp_info is not None}
    assert known == {
        SocketState.ESTABLISHED,
        SocketState.SYN_SENT,
        SocketState.FIN_WAIT1,
        SocketState.FIN_WAIT2,
        SocketState.CLOSE_WAIT,
        SocketState.LAST_ACK,
        SocketState.CLOSING,
    }


def test_the_struct_of_another_protocol_is_no_tcp_info() -> None:
    rows, _ = decode_table(make_message(attributes=[(INFO, bytes(280))]), Protocol.SCTP, "little")
    assert rows[0].tcp_info is None


def test_a_recorded_deep_dump_has_the_bound_socket_and_what_is_known_of_connections() -> None:
    rows, errors = decode_table(read_recorded("tcp_deep"), Protocol.TCP, "little")
    bound = make_row(SocketState.BOUND_INACTIVE, four(6002), inode=1329097, cookie=500851)
    info = TcpInfo(21, 9, 19, 0, 0, 0, 11, 35328, 1000, 1001, 0, 0, 1859368421)
    client = make_row(SocketState.ESTABLISHED, four(47858), four(6001), inode=1329095, cookie=500849)
    assert errors == []
    assert [row for row in rows if row.inode in (1329095, 1329097)] == [bound, client._replace(tcp_info=info)]


def test_a_tcp_row_that_says_close_is_bound_unless_it_has_a_peer() -> None:
    bound = decode_one(make_message(state=7, remote=bytes(4), remote_port=0))
    closed_meanwhile = decode_one(make_message(state=7))
    assert (bound.state, closed_meanwhile.state) == (SocketState.BOUND_INACTIVE, SocketState.CLOSE)


@pytest.mark.parametrize(
    ("number", "endpoint", "association"),
    [
        (1, SocketState.ESTABLISHED, SocketState.SYN_SENT),
        (2, SocketState.SYN_SENT, SocketState.SYN_SENT),
        (3, SocketState.SYN_RECV, SocketState.ESTABLISHED),
        (5, SocketState.FIN_WAIT2, SocketState.FIN_WAIT2),
        (6, SocketState.TIME_WAIT, SocketState.CLOSE_WAIT),
        (7, SocketState.CLOSE, SocketState.LAST_ACK),
    ],
)
def test_only_an_sctp_association_has_the_states_of_one(
    number: int, endpoint: SocketState, association: SocketState
) -> None:
    plain = make_message(state=number, inode=1)
    with_peers = make_message(state=number, inode=2, attributes=[(PEERS, bytes(128))])
    rows, _ = decode_table(plain + with_peers, Protocol.SCTP, "little")
    assert [row.state for row in rows] == [endpoint, association]


def test_an_association_keeps_its_uid_whatever_its_timer_is() -> None:
    message = make_message(state=3, timer=3, uid=1000, attributes=[(PEERS, bytes(128))])
    rows, _ = decode_table(message, Protocol.SCTP, "little")
    assert rows[0].uid == 1000


def test_a_raw_socket_of_ipv6_takes_no_ipv4_whatever_its_option_says() -> None:
    message = make_message(family=AF_INET6, local=bytes(16), remote=bytes(16), attributes=[(SKV6ONLY, b"\0")])
    rows, _ = decode_table(message, Protocol.RAW, "little")
    assert [(row.family, row.v6only) for row in rows] == [(Family.IPV6, None)]


@pytest.mark.parametrize("mptcp", [True, False, None])
def test_every_row_says_what_is_known_of_mptcp(mptcp: bool | None) -> None:
    rows, _ = decode_table(make_message(), Protocol.TCP, "little", mptcp=mptcp)
    assert [row.mptcp for row in rows] == [mptcp]


KNOWN_INFO = struct.pack("<HH", 108, INFO) + bytes(104)
INFO_ASTRIDE = (KNOWN_INFO[0], KNOWN_INFO[2:])
"""An attribute that is a known tcp_info from its third byte on, which is in its header."""
ATTRIBUTES = st.sampled_from(
    [
        (INFO, b"\1" * 104),
        (INFO, b"\2" * 104),
        (INFO, b"\3" * 232),
        (INFO, b"short"),
        (CGROUP_ID, struct.pack("<Q", 44)),
        (SKV6ONLY, b"\1"),
        (SOCKOPT, b"\x10\0"),
        (PEERS, bytes(4)),
        (200, b"\1" * 104),
        (200, KNOWN_INFO),
        INFO_ASTRIDE,
    ]
)
CUTS = st.sampled_from([0, 0, 0, 2, 4, 108])


@given(
    rows=st.lists(st.tuples(st.lists(ATTRIBUTES, max_size=4), CUTS), max_size=6),
    protocol=st.sampled_from([Protocol.TCP, Protocol.SCTP, Protocol.RAW]),
)
@example(rows=[([(INFO, b"\1" * 104)], 0), ([INFO_ASTRIDE], 2)], protocol=Protocol.TCP)
def test_a_row_says_the_same_alone_and_among_others(
    rows: list[tuple[list[tuple[int, bytes]], int]], protocol: Protocol
) -> None:
    messages = []
    for number, (attributes, cut) in enumerate(rows, 1):
        message = make_message(cookie=number, inode=number, attributes=attributes)
        length = max(len(message) - cut, 88)
        messages.append((struct.pack("<I", length) + message[4:length]).ljust(length + -length % 4, b"\0"))
    alone = [decode_table(message, protocol, "little") for message in messages]
    among, errors = decode_table(b"".join(messages), protocol, "little")
    assert among == [row for one, _ in alone for row in one]
    assert [error.text for error in errors] == [error.text for _, some in alone for error in some]


def test_a_message_may_have_any_number_of_tcp_infos() -> None:
    message = make_message(attributes=[(INFO, b"\1" * 104)] * 5000)
    rows, errors = decode_table(message * 2, Protocol.TCP, "little")
    assert (len(rows), errors) == (1, [])
