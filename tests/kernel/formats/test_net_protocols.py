"""Counts of sockets by protocol."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.net_protocols import count_mptcp, parse_net_protocols
from tests.kernel.rows import FIXTURES

HEADER = (
    "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp\n"
)


def test_a_recorded_table_gives_every_count() -> None:
    text = (FIXTURES / "proc" / "tables" / "protocols").read_text()
    assert parse_net_protocols(text) == {
        "AF_VSOCK": 0,
        "PACKET": 3,
        "MPTCPv6": 0,
        "PINGv6": 1,
        "RAWv6": 1,
        "UDPLITEv6": 1,
        "UDPv6": 0,
        "TCPv6": 0,
        "XDP": 0,
        "UNIX-STREAM": 0,
        "UNIX": 0,
        "UDP-Lite": 1,
        "MPTCP": 3,
        "PING": 1,
        "RAW": 1,
        "UDP": 0,
        "TCP": 6,
        "NETLINK": 2,
    }


def test_mptcp_sockets_of_both_families_are_counted() -> None:
    assert count_mptcp({"MPTCP": 3, "MPTCPv6": 2, "TCP": 9}, None) == 5


def test_a_kernel_without_mptcp_has_none() -> None:
    assert count_mptcp({"TCP": 9}, None) == 0


@pytest.mark.parametrize(("release", "counted"), [("6.2.0", 0), ("6.1.0-56-amd64", None), (None, None)])
def test_that_none_is_counted_means_something_on_kernels_that_count(release: str | None, counted: int | None) -> None:
    assert count_mptcp({"MPTCP": 0, "MPTCPv6": 0, "TCP": 9}, release) == counted


def test_a_count_may_pass_below_zero_for_a_moment() -> None:
    assert parse_net_protocols(HEADER + "TCP       2304     -1      61   no     192   yes  kernel\n") == {"TCP": -1}


@pytest.mark.parametrize("line", ["TCP", "TCP 2304", "TCP 2304 x", "TCP 2304 --1"])
def test_a_bad_line_is_a_format_error(line: str) -> None:
    with pytest.raises(FormatError):
        parse_net_protocols(HEADER + line)
