"""The ends of UDP rows, and WireGuard's sockets among them."""

import struct
from socket import AF_INET6

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.udp_diag import MOST_BYTES, decode_wireguard, read_end
from nsagent.model.facts import TunnelEnd
from nsagent.model.net import ByteOrder, Family
from tests.kernel.diag_message import ORDER_SIGN, make_message
from tests.kernel.rows import FIXTURES

RECORDED = (FIXTURES / "linux-6.1" / "udp_memory.bin").read_bytes()
ANY = bytes(16)
FOUR, SIX = TunnelEnd(Family.IPV4, 51820), TunnelEnd(Family.IPV6, 51820)


def make_udp(
    room: int | None = MOST_BYTES,
    *,
    family: int = 2,
    local: bytes = ANY,
    remote_port: int = 0,
    interface: int = 0,
    uid: int = 0,
    byteorder: ByteOrder = "little",
) -> bytes:
    """A row of a UDP socket that may have so many bytes waiting to be sent."""
    memory = (
        () if room is None else ((7, struct.pack(f"{ORDER_SIGN[byteorder]}9I", 0, 212992, 0, room, 0, 0, 0, 0, 0)),)
    )
    return make_message(
        byteorder=byteorder,
        family=family,
        state=7,
        local=local,
        local_port=51820,
        remote=ANY,
        remote_port=remote_port,
        interface=interface,
        uid=uid,
        attributes=memory,
    )


def test_a_kernel_tells_wireguards_sockets_from_one_with_all_that_a_process_can_have() -> None:
    assert decode_wireguard(RECORDED, "little") == [FOUR, SIX]
    assert struct.pack("=I", MOST_BYTES - 1) in RECORDED
    assert struct.pack(">H", 51821) in RECORDED


@pytest.mark.parametrize(
    ("row", "ends"),
    [
        (make_udp(), [FOUR]),
        (make_udp(family=AF_INET6), [SIX]),
        (make_udp(MOST_BYTES - 1), []),
        (make_udp(212992), []),
        (make_udp(212992, uid=MOST_BYTES), []),
        (make_udp(None), []),
        (make_udp(local=b"\x7f\0\0\1"), []),
        (make_udp(remote_port=53), []),
        (make_udp(interface=2), []),
        (make_udp(family=1), []),
    ],
)
def test_only_a_socket_with_more_room_than_a_process_can_have_is_wireguards(row: bytes, ends: list[TunnelEnd]) -> None:
    assert decode_wireguard(make_udp(212992) + row, "little") == ends


def test_rows_are_read_in_either_byte_order() -> None:
    assert decode_wireguard(make_udp(byteorder="big"), "big") == [FOUR]


def test_a_row_that_is_too_short_is_an_error() -> None:
    cut = make_udp()[:16] + MOST_BYTES.to_bytes(4, "little")
    with pytest.raises(FormatError):
        decode_wireguard(struct.pack("<I", len(cut)) + cut[4:], "little")


@pytest.mark.parametrize(
    ("row", "end"),
    [
        (make_udp(), FOUR),
        (make_udp(family=AF_INET6), SIX),
        (make_udp(local=b"\x7f\0\0\1"), None),
        (make_udp(remote_port=53), None),
        (make_udp(interface=2), None),
    ],
)
def test_the_end_of_a_row_is_its_port_where_it_is_bound_to_any_address(row: bytes, end: TunnelEnd | None) -> None:
    assert read_end(make_udp() + row, len(make_udp())) == end
