"""Ports of foo over UDP, as the kernel tells them."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.fou import decode_ports
from nsagent.model.facts import TunnelEnd
from nsagent.model.net import Family
from tests.kernel.formats.test_generic_netlink import make_generic
from tests.kernel.rows import FIXTURES

RECORDED = (FIXTURES / "linux-6.1" / "fou.bin").read_bytes()
PORT, OVER_IPV4 = (1, b"\x15\xb3"), (2, b"\2")
END = TunnelEnd(Family.IPV4, 5555)


def test_a_kernel_tells_its_ports_and_the_one_bound_to_an_address_is_left_out() -> None:
    assert decode_ports(RECORDED, "little") == [TunnelEnd(Family.IPV6, 5556), END]


@pytest.mark.parametrize(
    ("message", "ends"),
    [
        (make_generic(PORT, OVER_IPV4), [END]),
        (make_generic(PORT, (2, b"\x0a")), [TunnelEnd(Family.IPV6, 5555)]),
        (make_generic(PORT, OVER_IPV4, (6, bytes(4)), (8, bytes(4)), (10, bytes(2)), (11, bytes(4))), [END]),
        (make_generic(PORT, OVER_IPV4, (6, b"\x7f\0\0\1")), []),
        (make_generic(PORT, (2, b"\x0a"), (7, bytes(15) + b"\1")), []),
        (make_generic(PORT, OVER_IPV4, (8, b"\x7f\0\0\1")), []),
        (make_generic(PORT, (2, b"\x0a"), (9, bytes(15) + b"\1")), []),
        (make_generic(PORT, OVER_IPV4, (10, b"\0\1")), []),
        (make_generic(PORT, OVER_IPV4, (11, b"\2\0\0\0")), []),
        (make_generic(PORT, (2, b"\7")), []),
        (make_generic(PORT), []),
        (make_generic((1, b"\x15"), OVER_IPV4), []),
        (make_generic(OVER_IPV4), []),
    ],
)
def test_only_what_is_bound_to_any_address_is_an_end(message: bytes, ends: list[TunnelEnd]) -> None:
    assert decode_ports(message, "little") == ends


@pytest.mark.parametrize("end", [15, 23])
def test_a_dump_that_is_cut_off_is_an_error(end: int) -> None:
    with pytest.raises(FormatError):
        decode_ports(RECORDED[:end], "little")
