"""The own addresses of a netns in its routes."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.fib_trie import parse_broadcasts, parse_fib_trie

ROUTES = """\
Id 100:
  |-- 0.0.0.0
     /0 host LOCAL
Main:
  |-- 10.9.0.0
     /24 link UNICAST
Local:
  +-- 0.0.0.0/0 3 0 5
     +-- 10.9.0.0/24 2 0 2
        |-- 10.9.0.1
           /32 host LOCAL
        |-- 10.9.0.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     |-- 198.51.100.0
        /24 host LOCAL
"""
"""What Linux 6.18 shows of a netns with one address, a local route, and the table of a transparent proxy."""

OWN = ("10.9.0.1/32", "127.0.0.0/8", "127.0.0.1/32", "198.51.100.0/24")


def test_own_are_the_local_routes_of_the_table_local_alone() -> None:
    assert parse_fib_trie(ROUTES) == OWN


def test_the_addresses_of_broadcast_are_told_apart() -> None:
    assert parse_broadcasts(ROUTES) == ("10.9.0.255", "127.255.255.255")


def test_a_table_behind_it_tells_nothing() -> None:
    assert parse_fib_trie(f"{ROUTES}Id 300:\n  |-- 192.0.2.0\n     /24 host LOCAL\n") == OWN


def test_a_table_with_a_number_above_the_signed_ones_tells_nothing() -> None:
    assert parse_fib_trie(ROUTES.replace("Id 100", "Id -6")) == OWN


def test_a_local_route_to_everything_makes_no_address_the_own_one() -> None:
    assert parse_fib_trie("Local:\n  |-- 0.0.0.0\n     /0 host LOCAL\n") == ()


def test_a_netns_without_addresses_has_an_empty_file() -> None:
    assert parse_fib_trie("") == ()


def test_what_is_no_table_of_routes_is_refused() -> None:
    with pytest.raises(FormatError, match="fib_trie"):
        parse_fib_trie("Iface\tDestination\n")
