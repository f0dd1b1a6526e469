"""Families of generic netlink by name."""

import struct

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.generic_netlink import decode_families, encode_command, encode_families
from nsagent.model.net import ByteOrder
from tests.kernel.diag_message import ORDER_SIGN, make_attribute
from tests.kernel.rows import FIXTURES

RECORDED = (FIXTURES / "linux-6.1" / "families.bin").read_bytes()


def make_generic(*attributes: tuple[int, bytes], byteorder: ByteOrder = "little") -> bytes:
    """One message of a family with these attributes."""
    body = bytes(4) + b"".join(make_attribute(*each, byteorder=byteorder) for each in attributes)
    return struct.pack(ORDER_SIGN[byteorder] + "IHHII", 16 + len(body), 16, 2, 1, 0) + body


def test_each_family_of_a_kernel_has_its_number() -> None:
    families = decode_families(RECORDED, "little")
    assert families[b"nlctrl"] == 16
    assert {b"fou", b"wireguard"} <= families.keys()
    assert len(set(families.values())) == len(families)


def test_a_number_is_in_the_order_of_the_machine() -> None:
    message = make_generic((2, b"fou\0"), (1, b"\0\x20"), byteorder="big")
    assert decode_families(message, "big") == {b"fou": 32}


def test_a_family_without_a_number_is_none() -> None:
    assert decode_families(make_generic((2, b"fou\0")), "little") == {}


@pytest.mark.parametrize("end", [15, 23, 40])
def test_a_dump_that_is_cut_off_is_an_error(end: int) -> None:
    with pytest.raises(FormatError):
        decode_families(RECORDED[:end], "little")


def test_requests_are_those_of_generic_netlink() -> None:
    assert encode_families() == bytes((3, 1, 0, 0))
    assert encode_command(7) == bytes((7, 1, 0, 0))
