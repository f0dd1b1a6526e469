"""Rows of SCTP as text; few kernels have it, so the lines are by hand, after net/sctp/proc.c."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.net_sctp import (
    parse_association,
    parse_associations,
    parse_endpoint,
    parse_endpoints,
)
from nsagent.model.net import Endpoint, Family, Protocol, SocketState
from tests.kernel.rows import ANY, ANY6, four, make_row, six
from tests.kernel.sctp_rows import ASSOCIATIONS, ENDPOINTS


def test_endpoints_are_shown_with_their_first_address() -> None:
    rows, errors = parse_endpoints(ENDPOINTS.encode())
    sctp = Protocol.SCTP
    listener = make_row(
        SocketState.LISTEN, four(36412, "10.0.0.1"), ANY, protocol=sctp, inode=4711, queues=(None, None),
        interface=None, cgroup_id=None,
    )  # fmt: skip
    bound = make_row(
        SocketState.CLOSE, six(38412, "::"), ANY6, protocol=sctp, family=Family.IPV6, inode=4712, uid=1000,
        queues=(None, None), interface=None, cgroup_id=None,
    )  # fmt: skip
    assert ([row for _, row in rows], errors) == ([listener, bound], [])


def test_associations_are_shown_with_the_primary_address_of_the_peer() -> None:
    rows, errors = parse_associations(ASSOCIATIONS.encode())
    sctp = Protocol.SCTP
    first = make_row(
        SocketState.ESTABLISHED, four(2905, "10.0.0.1"), four(30000, "10.0.2.2"), protocol=sctp, inode=4713,
        queues=(20, 10), interface=None, cgroup_id=None,
    )  # fmt: skip
    second = make_row(
        SocketState.LAST_ACK, six(2905, "2001:db8::1"), six(30101, "2001:db8::2"), protocol=sctp, family=Family.IPV6,
        inode=4714, uid=1000, queues=(0, 0), interface=None, cgroup_id=None,
    )  # fmt: skip
    assert ([row for _, row in rows], errors) == ([first, second], [])


def test_a_mapped_association_is_shown_as_ipv4() -> None:
    mapped = "0000:0000:0000:0000:0000:ffff:0a00:0001"
    line = ASSOCIATIONS.splitlines()[0].replace("*10.0.0.1 10.0.1.1", mapped).replace("10.0.2.1 *10.0.2.2", mapped)
    row = parse_association(line)
    end = Endpoint("10.0.0.1", 2905, "::ffff:10.0.0.1")
    assert (row.family, row.mapped, row.local, row.remote.address) == (Family.IPV4, True, end, "10.0.0.1")


def test_an_endpoint_that_has_no_address_is_bound_to_any() -> None:
    assert parse_endpoint("0 0 2 10 25 36412 0 4711").local == Endpoint("0.0.0.0", 36412)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "0 0 2 10 25 36412 0",
        "0 0 2 99 25 36412 0 4711 10.0.0.1",
        "0 0 2 10 25 65536 0 4711 10.0.0.1",
        "0 0 2 10 25 36412 0 4711 10.0.0",
    ],
    ids=["empty", "no inode", "an unknown state", "a port of 17 bits", "no address"],
)
def test_a_bad_line_of_eps_is_a_format_error(line: str) -> None:
    with pytest.raises(FormatError):
        parse_endpoint(line)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<->", ""),
        ("1   1   3 ", "1   1   8 "),
        (" *10.0.0.1 10.0.1.1 ", " "),
        ("10.0.2.1 *10.0.2.2", "x"),
        ("4713", "-"),
    ],
    ids=["no arrow", "an unknown state", "no own address", "no address of the peer", "no inode"],
)
def test_a_bad_line_of_assocs_is_a_format_error(old: str, new: str) -> None:
    line = ASSOCIATIONS.splitlines()[0]
    assert old in line
    with pytest.raises(FormatError):
        parse_association(line.replace(old, new))
