"""Flows that the kernel tracks, as tests.kernel.record_flows recorded what it tells of them."""

import struct

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.conntrack import Flow, Way, decode_flow
from nsagent.model.net import Family, Protocol
from tests.kernel.formats.test_socket_destroy import split
from tests.kernel.rows import four, read_recorded, six

RECORDED = split(read_recorded("flows"))
CLIENT = four(40001, "127.0.0.2")
TCP = Flow(False, Protocol.TCP, Family.IPV4, Way(CLIENT, four(8080)), Way(four(8081), CLIENT))
UDP = Flow(False, Protocol.UDP, Family.IPV4, Way(four(5363), four(5353)), Way(four(5353), four(5363)))
UDP6 = Flow(False, Protocol.UDP, Family.IPV6, Way(six(5364), six(5354)), Way(six(5354), six(5364)))


def test_flows_are_told_as_they_begin_and_as_they_are_forgotten_before_and_behind_nat() -> None:
    told = [decode_flow(message, "little") for message in RECORDED]
    assert told[:3] == [TCP, UDP, UDP6]
    assert sorted(map(str, told[3:])) == sorted(str(flow._replace(ended=True)) for flow in (TCP, UDP, UDP6))


def put(place: int, value: bytes) -> bytes:
    return RECORDED[0][:place] + value + RECORDED[0][place + len(value) :]


def test_other_protocols_families_and_messages_are_passed_over() -> None:
    icmp = RECORDED[0].replace(b"\x05\0\x01\0\x06", b"\x05\0\x01\0\x01")
    others = (icmp, put(4, b"\x01\x01"), put(4, b"\0\x02"), put(16, b"\x07"))
    assert [decode_flow(message, "little") for message in others] == [None] * 4


@pytest.mark.parametrize(
    "message",
    [
        b"",
        RECORDED[0][:19],
        put(0, b"\xff\xff"),
        put(0, b"\x10\0"),
        put(20, b"\xff\xff"),
        RECORDED[0].replace(b"\x06\0\x02\0", b"\x06\0\x0f\0"),
        RECORDED[0].replace(b"\x08\0\x01\0", b"\x08\0\x0f\0"),
        RECORDED[2][:16] + b"\x02" + RECORDED[2][17:],
    ],
    ids=["nothing", "short", "long length", "short length", "attribute", "no port", "no address", "the other family"],
)
def test_what_is_damaged_is_an_error(message: bytes) -> None:
    with pytest.raises(FormatError):
        decode_flow(message, "little")


def test_a_kernel_of_the_other_byte_order_is_understood() -> None:
    """Ends are in network order on all."""

    def attribute(type_: int, value: bytes) -> bytes:
        return (struct.pack(">HH", 4 + len(value), type_) + value).ljust((7 + len(value)) & ~3, b"\0")

    def way(source: bytes, destination: bytes, source_port: int, destination_port: int) -> bytes:
        ends = attribute(1, b"\x11") + attribute(2, struct.pack(">H", source_port))
        ends += attribute(3, struct.pack(">H", destination_port))
        return attribute(0x8001, attribute(1, source) + attribute(2, destination)) + attribute(0x8002, ends)

    here = b"\x7f\0\0\x01"
    body = (
        b"\x02\0\0\0" + attribute(0x8001, way(here, here, 5363, 5353)) + attribute(0x8002, way(here, here, 5353, 5363))
    )
    message = struct.pack(">IHHII", 16 + len(body), 0x100, 0, 0, 0) + body
    assert decode_flow(message, "big") == UDP
