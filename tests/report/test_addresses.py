"""The ends of a socket as ss(8) shows them, and their order."""

import pytest

from nsagent.model.net import Endpoint, Family, Protocol, SocketState
from nsagent.report.addresses import endpoint_key, local_text, remote_text
from tests.report.conftest import row

NOBODY = Endpoint("*", 0)


@pytest.mark.parametrize(
    ("endpoint", "v6only", "interface", "text"),
    [
        (Endpoint("1.2.3.4", 80), None, None, "1.2.3.4:80"),
        (Endpoint("0.0.0.0", 80), None, None, "0.0.0.0:80"),
        (Endpoint("0.0.0.0", 0), None, None, "0.0.0.0:*"),
        (Endpoint("2001:db8::1", 80), None, None, "[2001:db8::1]:80"),
        (Endpoint("::", 80), False, None, "*:80"),
        (Endpoint("::", 80), True, None, "[::]:80"),
        (Endpoint("::", 80), None, None, "[::]:80"),
        (Endpoint("::1", 80), False, None, "[::1]:80"),
        (Endpoint("::", 0), False, None, "*:*"),
        (Endpoint("10.0.0.2", 80, "::ffff:10.0.0.2"), None, None, "10.0.0.2:80"),
        (Endpoint("1.2.3.4", 80), None, "eth0", "1.2.3.4%eth0:80"),
        (Endpoint("fe80::1", 22), None, "eth0", "[fe80::1]%eth0:22"),
        (Endpoint("::", 22), False, "eth0", "*%eth0:22"),
    ],
)
def test_an_endpoint_reads_as_in_ss(endpoint: Endpoint, v6only: bool | None, interface: str | None, text: str) -> None:
    socket = row(SocketState.LISTEN, endpoint, endpoint, v6only=v6only)
    assert local_text(socket, interface) == text
    assert interface is not None or remote_text(socket) == text


@pytest.mark.parametrize(
    ("protocol", "local", "interface", "text"),
    [
        (Protocol.UDPLITE, Endpoint("1.2.3.4", 9), None, "1.2.3.4:9"),
        (Protocol.SCTP, Endpoint("::1", 9), None, "[::1]:9"),
        (Protocol.ICMP, Endpoint("0.0.0.0", 7), None, "0.0.0.0:7"),
        (Protocol.RAW, Endpoint("0.0.0.0", 1), None, "0.0.0.0:icmp"),
        (Protocol.RAW, Endpoint("::", 58), None, "[::]:ipv6-icmp"),
        (Protocol.RAW, Endpoint("10.0.0.1", 6), "eth0", "10.0.0.1%eth0:tcp"),
        (Protocol.RAW, Endpoint("0.0.0.0", 253), None, "0.0.0.0:253"),
        (Protocol.RAW, Endpoint("0.0.0.0", 0), None, "0.0.0.0:*"),
        (Protocol.PACKET, Endpoint("0003", 0), None, "*"),
        (Protocol.PACKET, Endpoint("0003", 0), "eth0", "*%eth0"),
        (Protocol.PACKET, Endpoint("0806", 0), "eth0", "arp%eth0"),
        (Protocol.PACKET, Endpoint("0800", 0), None, "ip"),
        (Protocol.PACKET, Endpoint("86dd", 0), None, "ipv6"),
        (Protocol.PACKET, Endpoint("88cc", 0), "eth0", "lldp%eth0"),
        (Protocol.PACKET, Endpoint("888e", 0), None, "eapol"),
        (Protocol.PACKET, Endpoint("1234", 0), None, "1234"),
        (Protocol.NETLINK, Endpoint("route", 1234), None, "route:1234"),
        (Protocol.NETLINK, Endpoint("route", 0), None, "route:kernel"),
        (Protocol.VSOCK, Endpoint("2", 1024), None, "2:1024"),
        (Protocol.VSOCK, Endpoint("*", 1024), None, "*:1024"),
        (Protocol.VSOCK, Endpoint("*", 0), None, "*:*"),
    ],
)
def test_the_local_end_of_other_protocols(
    protocol: Protocol, local: Endpoint, interface: str | None, text: str
) -> None:
    assert local_text(row(SocketState.CLOSE, local, NOBODY, protocol=protocol), interface) == text


@pytest.mark.parametrize(
    ("protocol", "remote", "text"),
    [
        (Protocol.PACKET, NOBODY, "*"),
        (Protocol.NETLINK, NOBODY, "*"),
        (Protocol.NETLINK, Endpoint("route", 0), "route:kernel"),
        (Protocol.VSOCK, NOBODY, "*:*"),
        (Protocol.RAW, Endpoint("0.0.0.0", 0), "0.0.0.0:*"),
    ],
)
def test_the_remote_end_of_other_protocols(protocol: Protocol, remote: Endpoint, text: str) -> None:
    assert remote_text(row(SocketState.CLOSE, NOBODY, remote, protocol=protocol)) == text


def test_endpoints_sort_by_family_then_value_then_port() -> None:
    ordered = [
        (Family.IPV4, Endpoint("9.0.0.1", 443)),
        (Family.IPV4, Endpoint("10.0.0.1", 9)),
        (Family.IPV4, Endpoint("10.0.0.1", 80)),
        (Family.IPV6, Endpoint("::1", 1)),
        (Family.IPV6, Endpoint("2001:db8::1", 1)),
        (Family.PACKET, Endpoint("*", 0)),
        (Family.PACKET, Endpoint("0003", 0)),
        (Family.PACKET, Endpoint("86dd", 0)),
        (Family.NETLINK, Endpoint("route", 1)),
        (Family.VSOCK, Endpoint("*", 0)),
        (Family.VSOCK, Endpoint("2", 9)),
        (Family.VSOCK, Endpoint("10", 1)),
    ]
    assert sorted(sorted(ordered), key=lambda each: endpoint_key(*each)) == ordered
