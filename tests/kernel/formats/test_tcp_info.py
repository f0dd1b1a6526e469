"""struct tcp_info as old and new kernels give it."""

import struct

import pytest

from nsagent.kernel.formats.tcp_info import decode_tcp_info
from nsagent.model.net import ByteOrder, TcpInfo
from tests.kernel.diag_message import ORDER_SIGN

WHOLE = TcpInfo(
    rtt_us=17,
    rtt_variation_us=18,
    min_rtt_us=37,
    retransmits=2,
    total_retransmits=25,
    lost=8,
    congestion_window=20,
    mss=4,
    bytes_sent=1 << 40,
    bytes_acked=1 << 41,
    bytes_received=1 << 42,
    bytes_retransmitted=1 << 43,
    delivery_rate_bytes_per_second=1 << 44,
)


def make_info(byteorder: ByteOrder = "little", *, min_rtt: int = 37) -> bytes:
    """The struct of Linux 6.x: each u32 is its own place, as 4 for tcpi_snd_mss at offset 16."""
    order = ORDER_SIGN[byteorder]
    info = bytes([1, 0, 2, 0, 0, 0, 0, 0]) + struct.pack(order + "24I", *range(2, 26))
    info += struct.pack(order + "4Q", 1, 2, 1 << 41, 1 << 42)
    info += struct.pack(order + "6I", 34, 35, 36, min_rtt, 38, 39) + struct.pack(order + "4Q", 1 << 44, 0, 0, 0)
    info += struct.pack(order + "2I", 0, 0) + struct.pack(order + "2Q", 1 << 40, 1 << 43)
    return info + bytes(64)


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_every_field_is_read_in_the_byte_order_of_the_kernel(byteorder: ByteOrder) -> None:
    assert decode_tcp_info(make_info(byteorder), byteorder) == WHOLE


@pytest.mark.parametrize(
    ("length", "unknown"),
    [
        (216, ()),
        (215, ("bytes_retransmitted",)),
        (207, ("bytes_retransmitted", "bytes_sent")),
        (160, ("bytes_retransmitted", "bytes_sent", "delivery_rate_bytes_per_second")),
        (148, ("bytes_retransmitted", "bytes_sent", "delivery_rate_bytes_per_second", "min_rtt_us")),
        (
            104,
            (
                "bytes_retransmitted",
                "bytes_sent",
                "delivery_rate_bytes_per_second",
                "min_rtt_us",
                "bytes_acked",
                "bytes_received",
            ),
        ),
    ],
)
def test_what_the_struct_of_an_older_kernel_lacks_is_unknown(length: int, unknown: tuple[str, ...]) -> None:
    expected = TcpInfo(**{**WHOLE._asdict(), **dict.fromkeys(unknown)})
    assert decode_tcp_info(make_info()[:length], "little") == expected


def test_a_struct_that_is_too_short_for_any_kernel_is_nothing() -> None:
    assert decode_tcp_info(make_info()[:103], "little") is None


def test_a_connection_without_a_round_trip_has_no_smallest_one() -> None:
    info = decode_tcp_info(make_info(min_rtt=0xFFFFFFFF), "little")
    assert info == WHOLE._replace(min_rtt_us=None)
