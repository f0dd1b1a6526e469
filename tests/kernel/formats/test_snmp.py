"""What the protocols of a netns have counted: the line of TCP."""

from pathlib import Path

import pytest

from nsagent.kernel.formats.snmp import find_counters

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
