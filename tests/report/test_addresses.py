"""Endpoints as ss(8) shows them, and their order."""

import pytest

from nsagent.model.net import Endpoint
from nsagent.report.addresses import endpoint_key, endpoint_text


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
    assert endpoint_text(endpoint, v6only=v6only, interface=interface) == text


def test_endpoints_sort_by_family_then_value_then_port() -> None:
    ordered = [
        Endpoint("9.0.0.1", 443),
        Endpoint("10.0.0.1", 9),
        Endpoint("10.0.0.1", 80),
        Endpoint("::1", 1),
        Endpoint("2001:db8::1", 1),
    ]
    assert sorted(sorted(ordered), key=endpoint_key) == ordered
