"""Tunnels among the interfaces of a netns, as the kernel tells them."""

import struct

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.route_link import (
    Tunnel,
    decode_nsid,
    decode_nsid_notice,
    decode_tunnels,
    encode_links,
    encode_new_nsid,
    encode_nsid,
)
from nsagent.model.facts import TunnelEnd
from nsagent.model.net import ByteOrder, Family
from tests.kernel.diag_message import ORDER_SIGN, make_attribute

UP, DOWN = 0x11043, 0x1002
LINKINFO, LINK_NETNSID, KIND, DATA = 18, 37, 1, 2
NESTED = 0x8000
FOUR, SIX = TunnelEnd(Family.IPV4, 4789), TunnelEnd(Family.IPV6, 4789)
VXLAN_PORT = (15, struct.pack(">H", 4789))
GENEVE_PORT = (5, struct.pack(">H", 4789))


def make_link(
    kind: bytes,
    *options: tuple[int, bytes],
    flags: int = UP,
    nsid: int | None = None,
    nested: int = 0,
    byteorder: ByteOrder = "little",
) -> bytes:
    """One RTM_NEWLINK message, laid out after include/uapi/linux/if_link.h."""
    order = ORDER_SIGN[byteorder]
    data = b"".join(make_attribute(type_, value, byteorder=byteorder) for type_, value in options)
    info = make_attribute(KIND, kind + b"\0", byteorder=byteorder)
    info += make_attribute(DATA | nested, data, byteorder=byteorder)
    body = struct.pack(order + "BxHiII", 0, 1, 5, flags, 0) + make_attribute(3, b"tunnel\0", byteorder=byteorder)
    body += make_attribute(LINKINFO | nested, info, byteorder=byteorder)
    if nsid is not None:
        body += make_attribute(LINK_NETNSID, struct.pack(order + "i", nsid), byteorder=byteorder)
    return struct.pack(order + "IHHII", 16 + len(body), 16, 2, 1, 0) + body


@pytest.mark.parametrize(
    ("message", "tunnels"),
    [
        (make_link(b"vxlan", VXLAN_PORT, (4, b"\x7f\0\0\1")), [Tunnel(None, (FOUR,))]),
        (make_link(b"vxlan", VXLAN_PORT, (17, bytes(16))), [Tunnel(None, (SIX,))]),
        (make_link(b"vxlan", VXLAN_PORT, (16, bytes(16))), [Tunnel(None, (SIX,))]),
        (make_link(b"vxlan", VXLAN_PORT, (25, b"\1")), [Tunnel(None, (FOUR, SIX))]),
        (make_link(b"vxlan", VXLAN_PORT, (25, b"\0")), [Tunnel(None, (FOUR,))]),
        (make_link(b"vxlan", VXLAN_PORT, nsid=3), [Tunnel(3, (FOUR,))]),
        (make_link(b"vxlan", VXLAN_PORT, nsid=-1), [Tunnel(-1, (FOUR,))]),
        (make_link(b"vxlan", VXLAN_PORT, nested=NESTED), [Tunnel(None, (FOUR,))]),
        (make_link(b"vxlan", VXLAN_PORT, flags=DOWN), []),
        (make_link(b"vxlan", (15, b"\x12")), []),
        (make_link(b"vxlan"), []),
        (make_link(b"geneve", GENEVE_PORT, (2, b"\x7f\0\0\1")), [Tunnel(None, (FOUR,))]),
        (make_link(b"geneve", GENEVE_PORT, (7, bytes(16))), [Tunnel(None, (SIX,))]),
        (make_link(b"geneve", GENEVE_PORT, (6, b"")), [Tunnel(None, (FOUR, SIX))]),
        (make_link(b"bareudp", (1, struct.pack(">H", 4789))), [Tunnel(None, (FOUR, SIX))]),
        (make_link(b"veth", VXLAN_PORT), []),
        (make_link(b"dummy", (1, b"vxlan")), []),
    ],
)
def test_a_tunnel_that_is_up_has_the_sockets_that_its_options_ask_for(message: bytes, tunnels: list[Tunnel]) -> None:
    assert decode_tunnels(message, "little") == tunnels


def test_all_links_of_a_dump_are_looked_at_in_either_byte_order() -> None:
    dump = make_link(b"veth", byteorder="big") + make_link(b"vxlan", VXLAN_PORT, nsid=1, byteorder="big")
    assert decode_tunnels(dump, "big") == [Tunnel(1, (FOUR,))]


@pytest.mark.parametrize("end", [15, 40, 70])
def test_a_dump_that_is_cut_off_is_an_error(end: int) -> None:
    with pytest.raises(FormatError):
        decode_tunnels(make_link(b"vxlan", VXLAN_PORT)[:end], "little")


@pytest.mark.parametrize(("value", "nsid"), [(7, 7), (0, 0), (-1, None)])
def test_the_id_of_a_netns_is_none_where_it_was_not_given_one(value: int, nsid: int | None) -> None:
    assert decode_nsid(bytes(4) + make_attribute(1, struct.pack("<i", value)), "little") == nsid
    assert decode_nsid(bytes(4), "little") is None


def test_requests_are_those_of_rtnetlink() -> None:
    assert encode_links() == bytes(16) + struct.pack("=HHI", 8, 29, 8)
    assert encode_nsid(12) == bytes(4) + struct.pack("=HHI", 8, 3, 12)
    assert encode_new_nsid(12) == encode_nsid(12) + struct.pack("=HHi", 8, 1, -1)


def make_notice(type_: int, *attributes: tuple[int, bytes]) -> bytes:
    """One message of RTNLGRP_NSID, as net/core/net_namespace.c rtnl_net_notifyid() sends it."""
    body = bytes(4) + b"".join(make_attribute(*each) for each in attributes)
    return struct.pack("<IHHII", 16 + len(body), type_, 0, 1, 1000) + body


GIVEN, TAKEN = make_notice(88, (1, b"\7\0\0\0")), make_notice(89, (1, b"\7\0\0\0"))


def test_notices_tell_which_id_was_given_and_which_taken_back() -> None:
    assert [decode_nsid_notice(each, "little") for each in (GIVEN, TAKEN, make_notice(90), make_notice(2))] == [
        (7, True),
        (7, False),
        None,
        None,
    ]


@pytest.mark.parametrize(
    "notice", [b"", GIVEN[:15], GIVEN[:-1], make_notice(88), make_notice(89, (1, b"\xff\xff\xff\xff")), bytes(28)]
)
def test_a_notice_without_an_id_is_an_error(notice: bytes) -> None:
    with pytest.raises(FormatError):
        decode_nsid_notice(notice, "little")
