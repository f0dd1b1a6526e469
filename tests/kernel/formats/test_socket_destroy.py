"""What the kernel tells of sockets that die, as tests.kernel.record_socket_ends recorded it."""

import struct
from typing import Any

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.socket_destroy import Destroyed, decode_destroyed
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState, TcpInfo
from tests.kernel.diag_message import make_message
from tests.kernel.rows import ANY, ANY6, four, make_row, read_recorded, six

_DATA = read_recorded("socket_ends")


def split(data: bytes) -> list[bytes]:
    messages = []
    while data:
        (length,) = struct.unpack_from("=I", data)
        messages.append(data[:length])
        data = data[length:]
    return messages


RECORDED = split(_DATA)
NEW = TcpInfo(0, 250000, None, 0, 0, 0, 10, 536, 0, 0, 0, 0, 0)
"""What TCP has counted for a socket that never had a connection."""
_CLOSE, _ESTABLISHED = SocketState.CLOSE, SocketState.ESTABLISHED


def ended(state: SocketState, local: Endpoint, remote: Endpoint = ANY, **others: Any) -> SocketRow:
    """A row with what the kernel tells of a socket that dies."""
    return make_row(state, local, remote, uid=None, queues=(None, None), cgroup_id=None, **others)


SERVER = Destroyed(
    ended(_CLOSE, four(8080), four(40001, "127.0.0.2"), cookie=6594374),
    TcpInfo(23, 11, 4, 0, 0, 0, 12, 32768, 500, 501, 1001, 0, 1213629629),
)
TOLD = [
    Destroyed(
        ended(_CLOSE, four(40001, "127.0.0.2"), four(8080), cookie=6594373),
        TcpInfo(5507, 10957, 10, 0, 0, 0, 12, 35328, 1000, 1002, 500, 0, 806538),
    ),
    SERVER,
    Destroyed(ended(_CLOSE, four(8080), cookie=6594375), NEW),
    Destroyed(
        ended(
            _CLOSE,
            Endpoint("0.0.0.0", 8081, "::"),
            Endpoint("127.0.0.2", 0, "::ffff:127.0.0.2"),
            mapped=True,
            cookie=6594376,
        ),
        NEW._replace(min_rtt_us=17, mss=32768),
    ),
    Destroyed(
        ended(_CLOSE, four(40002, "127.0.0.2"), four(8081), cookie=6594377),
        TcpInfo(15, 7, 15, 0, 0, 0, 10, 32741, 0, 1, 0, 0, 0),
    ),
    Destroyed(ended(_CLOSE, six(8081, "::"), ANY6, family=Family.IPV6, cookie=6594378), NEW),
    Destroyed(ended(_ESTABLISHED, four(5363), four(5353), cookie=6594379, protocol=Protocol.UDP), None),
    Destroyed(ended(_CLOSE, four(5353), cookie=6594380, protocol=Protocol.UDP), None),
    Destroyed(
        ended(_ESTABLISHED, six(5364), six(5354), cookie=6594381, family=Family.IPV6, protocol=Protocol.UDP), None
    ),
    Destroyed(ended(_CLOSE, six(5354), ANY6, cookie=6594382, family=Family.IPV6, protocol=Protocol.UDP), None),
    Destroyed(ended(_CLOSE, ANY, cookie=6594383), NEW),
]
"""Both ends of a connection and its listener, those of one that was reset, UDP, and a socket that was never bound."""


def test_every_socket_is_told_with_what_tcp_had_counted() -> None:
    assert decode_destroyed(RECORDED, "little") == TOLD


def test_each_alone_is_told_as_all_are_together() -> None:
    assert [decode_destroyed([message], "little") for message in RECORDED] == [[one] for one in TOLD]


def test_one_that_is_damaged_costs_no_other_one() -> None:
    unknown = bytearray(RECORDED[1])
    unknown[16] = 99
    told = decode_destroyed([RECORDED[0], bytes(unknown), RECORDED[2]], "little")
    assert [told[0], told[2]] == [TOLD[0], TOLD[2]]
    assert isinstance(told[1], FormatError)


def test_a_socket_that_is_told_twice_is_told_twice() -> None:
    assert decode_destroyed([RECORDED[1]] * 2, "little") == [SERVER, SERVER]


def _change(place: int, value: bytes) -> bytes:
    return RECORDED[1][:place] + value + RECORDED[1][place + len(value) :]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        RECORDED[1][:87],
        RECORDED[1][:-1],
        RECORDED[1] + bytes(4),
        _change(0, b"\xff\xff"),
        _change(4, b"\x03"),
        _change(16, b"\x63"),
        make_message(attributes=[(2, bytes(280))]),
        make_message(attributes=[(10, b"\x84")]),
        make_message(attributes=[(10, b"\x06")])[:-4] + b"\xff\0\x02\0",
    ],
    ids=["nothing", "short", "cut", "long", "length", "type", "family", "no protocol", "SCTP", "attribute"],
)
def test_what_is_no_such_message_is_an_error(message: bytes) -> None:
    (told,) = decode_destroyed([message], "little")
    assert isinstance(told, FormatError)


def test_a_kernel_of_the_other_byte_order_is_understood() -> None:
    message = make_message(
        byteorder="big",
        state=7,
        cookie=5,
        inode=0,
        local_port=53,
        remote_port=0,
        remote=b"",
        attributes=[(10, b"\x11")],
    )
    assert decode_destroyed([message], "big") == [
        Destroyed(ended(_CLOSE, four(53), cookie=5, protocol=Protocol.UDP), None)
    ]


def test_without_an_info_that_tells_there_is_none() -> None:
    """TCP in a kernel that has it as a module which is not there, and an info that is too short."""
    for attributes in ([(10, b"\x06")], [(10, b"\x06"), (2, bytes(50))]):
        message = make_message(state=7, attributes=attributes)
        (told,) = decode_destroyed([message], "little")
        assert isinstance(told, Destroyed)
        assert told.tcp_info is None
