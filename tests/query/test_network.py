"""Addresses and prefixes as they are typed, and which ends are in them."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import WrongValue
from nsagent.model.net import Endpoint
from nsagent.query.network import Network, make_end_test, parse_network
from tests.query.expressions import networks, write_network


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", Network(0x0A000001, 32, 4)),
        ("10.0.0.1/8", Network(10, 8, 4)),
        ("10/8", Network(10, 8, 4)),
        ("193.233.7/24", Network(0xC1E907, 24, 4)),
        ("0.0.0.0/0", Network(0, 0, 4)),
        ("::1", Network(1, 128, 16)),
        ("fd00::/8", Network(0xFD, 8, 16)),
        ("::/0", Network(0, 0, 16)),
        ("::ffff:10.0.0.1", Network(0xFFFF0A000001, 128, 16)),
    ],
)
def test_an_address_is_a_prefix_of_all_its_bits(text: str, expected: Network) -> None:
    assert parse_network(text, "--local") == expected


@pytest.mark.parametrize(
    "text", ["", "10", "10.0.0", "10.0.0.256", "web", "::g", "fe80::1%eth0", "[::1]", "1.2.3.4.5/8"]
)
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(WrongValue, match=r"^--local: expected an address or a prefix like 10\.0\.0\.0/8"):
        parse_network(text, "--local")


@pytest.mark.parametrize("text", ["10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "10/8/8", "::/129", "10.0.0.0/٨"])
def test_a_length_is_a_number_of_bits(text: str) -> None:
    with pytest.raises(WrongValue, match=r"^--local: expected a prefix length from 0 to (32|128), got"):
        parse_network(text, "--local")


@given(network=networks, number=st.integers(0, (1 << 128) - 1))
def test_an_end_is_in_a_prefix_where_python_says_so(network: Network, number: int) -> None:
    texts = [str(ip_address(number >> 96)), str(ip_address(number))]
    inside = ip_network(write_network(network))
    texts += [str(inside[0]), str(inside[-1])]
    is_in = make_end_test([network])
    for text in texts * 2:  # The second time from memory.
        assert is_in(Endpoint(text, 80)) is (ip_address(text) in inside), text


def test_a_mapped_address_is_in_the_prefixes_of_both_of_its_forms() -> None:
    mapped, plain = Endpoint("10.0.0.1", 80, "::ffff:10.0.0.1"), Endpoint("10.0.0.1", 80)
    ten, all_v6 = parse_network("10/8", ""), parse_network("::/0", "")
    assert [make_end_test([ten])(end) for end in (mapped, plain)] == [True, True]
    assert [make_end_test([all_v6])(end) for end in (mapped, plain)] == [True, False]


@pytest.mark.parametrize("address", ["*", "route", "0003", "2", "10"])
def test_what_is_no_address_of_ip_is_in_no_prefix(address: str) -> None:
    everything = [parse_network("0.0.0.0/0", ""), parse_network("::/0", "")]
    assert not make_end_test(everything)(Endpoint(address, 0))


def test_one_of_several_prefixes_is_enough() -> None:
    is_in = make_end_test([parse_network("10/8", ""), parse_network("fd00::/8", "")])
    assert [is_in(Endpoint(text, 0)) for text in ("10.1.1.1", "fd00::1", "11.0.0.1")] == [True, True, False]
