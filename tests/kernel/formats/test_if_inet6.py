"""The IPv6 addresses of a netns."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.if_inet6 import parse_if_inet6

ADDRESSES = """\
fe80000000000000a87265fffec7e091 03 40 20 c0       v0
00000000000000000000000000000001 01 80 10 80       lo
"""
"""What Linux 6.18 shows of a netns with one interface beside its loopback."""


def test_each_address_is_own_by_itself() -> None:
    assert parse_if_inet6(ADDRESSES) == ("::1/128", "fe80::a872:65ff:fec7:e091/128")


def test_a_name_that_whoever_made_the_interface_has_chosen_ends_no_line() -> None:
    assert parse_if_inet6(ADDRESSES.replace("v0", "v\x1c0\x1d\x1e")) == parse_if_inet6(ADDRESSES)


def test_a_netns_without_ipv6_addresses_has_an_empty_file() -> None:
    assert parse_if_inet6("") == ()


@pytest.mark.parametrize("line", ["", "zz 01 80 10 80 lo", "00 01 80 10 80 lo"])
def test_a_damaged_row_is_refused(line: str) -> None:
    with pytest.raises(FormatError, match="if_inet6"):
        parse_if_inet6(f"{line}\n")
