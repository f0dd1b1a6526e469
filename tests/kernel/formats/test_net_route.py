"""Where a netns sends packets."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.net_route import Route, parse_ipv6_route, parse_route

_HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT   \n"
ROUTES = (
    _HEADER
    + """\
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0   \n\
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0   \n\
a\x1cb\t020011AC\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0   \n\
*\t00000A0A\t00000000\t0201\t0\t0\t0\t0000FFFF\t0\t0\t0   \n"""
)
"""Of Linux 6.18, with one to a veth by a name that is odd, and an unreachable one."""

ROUTES6 = """\
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 \
00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 \
00000400 00000003 00000000 00000003     eth0
fd000000000000000000000000000002 80 00000000000000000000000000000000 00 00000000000000000000000000000000 \
00000000 00000004 00000000 80200001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 \
ffffffff 00000001 00000000 00200200       lo
"""


def test_routes_by_an_interface_and_through_a_gateway_are_told_apart() -> None:
    """What cannot be reached, and what comes in, is no route of what leaves."""
    assert parse_route(ROUTES, byteorder="little") == (
        Route("0.0.0.0/0", "192.0.2.1"),
        Route("192.0.2.0/24", None),
        Route("172.17.0.2/32", None),
    )
    assert parse_ipv6_route(ROUTES6) == (Route("fd00::/64", None), Route("::/0", "fd00::1"))


def test_a_netns_without_routes_has_none() -> None:
    assert parse_route(_HEADER, byteorder="little") == parse_route("", byteorder="little") == parse_ipv6_route("") == ()


@pytest.mark.parametrize(
    "line", ["eth0", "eth0\tzz\t0\t1\t0\t0\t0\t0", "e\t0\t0\t1\t0\t0\t0\tz", "e\t1FFFFFFFF\t0\t1\t0\t0\t0\t0"]
)
def test_a_damaged_row_is_refused(line: str) -> None:
    with pytest.raises(FormatError, match="route"):
        parse_route(f"{_HEADER}{line}\n", byteorder="little")
    with pytest.raises(FormatError, match="ipv6_route"):
        parse_ipv6_route(f"{line}\n")
