"""Addresses of table rows as text."""

import pytest

from nsagent.kernel.formats.inet_address import Ipv4Texts, Ipv6Texts, is_mapped, mapped_endpoint
from nsagent.model.net import Endpoint

MAPPED_LOOPBACK = bytes(10) + b"\xff\xff\x7f\0\0\1"
UNSPECIFIED = bytes(16)
GLOBAL = bytes.fromhex("20010db8000000000000000000000001")


@pytest.mark.parametrize(
    ("local", "remote", "expected"),
    [
        (MAPPED_LOOPBACK, MAPPED_LOOPBACK, True),
        (MAPPED_LOOPBACK, UNSPECIFIED, True),
        (UNSPECIFIED, MAPPED_LOOPBACK, True),
        (UNSPECIFIED, UNSPECIFIED, False),
        (GLOBAL, GLOBAL, False),
        (bytes(12) + b"\x7f\0\0\1", UNSPECIFIED, False),
    ],
)
def test_a_socket_is_mapped_if_one_end_is(local: bytes, remote: bytes, expected: bool) -> None:
    assert is_mapped(local, remote) is expected


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        (MAPPED_LOOPBACK, Endpoint("127.0.0.1", 80, "::ffff:127.0.0.1")),
        (UNSPECIFIED, Endpoint("0.0.0.0", 80, "::")),
        (GLOBAL, Endpoint("2001:db8::1", 80, "2001:db8::1")),
    ],
)
def test_an_end_of_a_mapped_socket_is_shown_as_ipv4_where_it_can_be(packed: bytes, expected: Endpoint) -> None:
    assert mapped_endpoint(packed, 80) == expected


def test_ipv4_texts_look_at_the_first_four_bytes_only() -> None:
    assert Ipv4Texts()[b"\x0a\0\0\1" + b"\xff" * 12] == "10.0.0.1"


def test_a_text_is_the_same_the_second_time() -> None:
    texts = Ipv6Texts()
    assert [texts[GLOBAL], texts[GLOBAL]] == ["2001:db8::1", "2001:db8::1"]
