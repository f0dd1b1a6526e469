"""Transports of the RPC client, as the kernel tells them."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.sunrpc_xprt import make_flow, parse_ports
from nsagent.model.facts import Flow
from nsagent.model.net import Endpoint, Family

INFO = (
    "last_used=4294907561\ncur_cong=0\ncong_win=256\nmax_num_slots=65536\nmin_num_slots=2\nnum_reqs=2\n"
    "binding_q_len=0\nsending_q_len=0\npending_q_len=0\nbacklog_q_len=0\nmain_xprt=1\nsrc_port=805\n"
    "tasks_queuelen=0\ndst_port=2049\n"
)
"""As Linux 6.1 prints it."""
PORTS = (805, 2049)


@pytest.mark.parametrize(
    ("info", "ports"),
    [
        (INFO, PORTS),
        ("<closed>\n", None),
        (INFO.replace("src_port=805", "src_port=0").replace("dst_port=2049", "dst_port=0"), None),
    ],
    ids=["connected", "closed", "backchannel"],
)
def test_ports_are_those_of_a_connection_that_is_there(info: str, ports: tuple[int, int] | None) -> None:
    assert parse_ports(info) == ports


@pytest.mark.parametrize("info", ["", "src_port=805\n", INFO.replace("805", "x"), INFO.replace("dst_port", "port")])
def test_a_text_without_both_ports_is_an_error(info: str) -> None:
    with pytest.raises(FormatError):
        parse_ports(info)


@pytest.mark.parametrize(
    ("source", "destination", "flow"),
    [
        ("10.0.0.2\n", "10.0.0.9\n", Flow(Family.IPV4, Endpoint("10.0.0.2", 805), Endpoint("10.0.0.9", 2049))),
        ("fd00::2\n", "fd00:0::9\n", Flow(Family.IPV6, Endpoint("fd00::2", 805), Endpoint("fd00::9", 2049))),
        ("<closed>\n", "10.0.0.9\n", None),
        ("<not a socket>\n", "10.0.0.9\n", None),
    ],
)
def test_a_flow_is_between_both_addresses_while_there_is_a_socket(
    source: str, destination: str, flow: Flow | None
) -> None:
    assert make_flow(PORTS, source, destination) == flow


@pytest.mark.parametrize(
    ("source", "destination"), [("10.0.0.2\n", "fd00::9\n"), ("", "10.0.0.9"), ("1\0", "10.0.0.9")]
)
def test_addresses_that_are_none_are_an_error(source: str, destination: str) -> None:
    with pytest.raises(FormatError):
        make_flow(PORTS, source, destination)
