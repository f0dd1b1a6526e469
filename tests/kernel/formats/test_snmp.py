"""What the protocols of a netns have counted: the line of TCP."""

from pathlib import Path

import pytest

from nsagent.kernel.formats.snmp import find_counters, find_ipv6_counters

TEXT = b"""Ip: Forwarding DefaultTTL InReceives
Ip: 2 64 120
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens CurrEstab InSegs OutSegs RetransSegs
Tcp: 1 200 120000 -1 4 2 2 61 60 0
Udp: InDatagrams NoPorts InErrors OutDatagrams
Udp: 3 0 0 3
"""


def test_the_line_with_the_numbers_of_tcp_is_found() -> None:
    assert find_counters(TEXT, "Tcp") == b"Tcp: 1 200 120000 -1 4 2 2 61 60 0"


def test_the_line_of_another_protocol_is_its_own() -> None:
    assert find_counters(TEXT, "Ip") == b"Ip: 2 64 120"
    assert find_counters(TEXT, "Udp") == b"Udp: 3 0 0 3"


def test_this_kernel_counts_segments_there() -> None:
    line = find_counters(Path("/proc/self/net/snmp").read_bytes(), "Tcp")
    assert line is not None
    assert len(line.split()) > 10


@pytest.mark.parametrize("text", [b"", b"Udp: InDatagrams\nUdp: 3\n", TEXT[:140], TEXT + TEXT], ids=len)
def test_where_there_is_no_such_line_none_is_found(text: bytes) -> None:
    assert find_counters(text, "Tcp") is None


def test_of_ipv6_packets_that_came_or_went_count_and_those_of_udp() -> None:
    text = b"Ip6InReceives   \t12\nIp6InHdrErrors\t1\nIp6InDelivers \t11\nIcmp6InMsgs\t3\nUdp6InDatagrams \t4\n"
    assert find_ipv6_counters(text) == b"Ip6InReceives   \t12\nIp6InDelivers \t11\nUdp6InDatagrams \t4"
    assert find_ipv6_counters(b"Icmp6InMsgs 3\n") is None


def test_this_kernel_counts_packets_of_ipv6_there() -> None:
    found = find_ipv6_counters(Path("/proc/self/net/snmp6").read_bytes())
    assert found is not None
    names = {line.split()[0] for line in found.splitlines()}
    assert {b"Ip6InReceives", b"Ip6InDelivers", b"Udp6InDatagrams"} <= names
