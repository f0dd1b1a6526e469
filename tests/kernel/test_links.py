"""Interfaces, addresses and veth peers on the live kernel, in netns made for it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nsagent.kernel.links import Link, Links, open_route_socket
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns_ids import NetnsIds
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.facts import Interface
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.kernel.inside import make_inside
from tests.live.capabilities import Capability, require

VETH_WITHIN = """
for command in (
    "link set lo up",
    "link add left address 02:00:00:00:00:01 type veth peer name right address 02:00:00:00:00:02",
    "addr add 10.1.2.3/24 dev left",
    "addr add 2001:db8::1/64 dev left nodad",
    "addr add 10.5.0.1 peer 10.5.0.2/32 dev right",
):
    assert os.system(f"ip {command}") == 0
ready(); wait()
"""


@contextmanager
def open_links(pid: int) -> Iterator[Links]:
    """The links of the netns of a child."""
    with Links(make_inside(pid, open_route_socket)) as links:
        yield links


def test_interfaces_have_their_addresses_and_the_peers_of_a_veth() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS, Capability.IPV6)
    with start_child(VETH_WITHIN, *IN_NEW_NETNS) as child, open_links(child.pid) as links:
        found = {link.interface.name: link for link in links.list_links()}
        left, right = (found[name].interface for name in ("left", "right"))
        assert found["left"] == Link(
            Interface(
                left.index,
                "left",
                "veth",
                up=False,
                mac="02:00:00:00:00:01",
                addresses=("10.1.2.3/24", "2001:db8::1/64"),
                peer_index=right.index,
            ),
            None,
        )
        assert (right.peer_index, right.addresses) == (left.index, ("10.5.0.1/32",))


def test_the_loopback_has_no_peer_and_says_whether_it_is_up() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    with start_child("ready(); wait()", *IN_NEW_NETNS) as child, open_links(child.pid) as links:
        loopback = next(link for link in links.list_links() if link.interface.name == "lo")
        assert loopback == Link(Interface(1, "lo", None, up=False, mac="00:00:00:00:00:00", addresses=()), None)


def test_a_name_that_is_no_utf_8_is_text_all_the_same() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    rename = r"os.system(b'ip link set lo name \xff\x1c'); ready(); wait()"
    with start_child(rename, *IN_NEW_NETNS) as child, open_links(child.pid) as links:
        assert [link.interface.name for link in links.list_links()] == ["\udcff\x1c"]
        with make_inside(child.pid, SockDiag) as diag:
            assert diag.read_interface_name(1) == "\udcff\x1c"


def test_links_ascend_by_index() -> None:
    with Links(open_route_socket()) as links:
        indexes = [link.interface.index for link in links.list_links()]
    assert indexes == sorted(index for index, _ in socket.if_nameindex())


def test_the_peer_of_a_veth_across_netns_is_named_by_the_id_of_its_netns() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    with start_child("ready(); wait()", *IN_NEW_NETNS) as there:
        move = f"os.system('ip link add here type veth peer name there netns {there.pid}'); ready(); wait()"
        with start_child(move, *IN_NEW_NETNS) as here, open_links(here.pid) as links:
            veth = next(link for link in links.list_links() if link.interface.name == "here")
            fd = os.open(f"/proc/{there.pid}/ns/net", os.O_RDONLY)
            try:
                assert veth.peer_nsid is not None
                with make_inside(here.pid, NetnsIds) as ids:
                    assert ids.read_nsid(fd, make_buffer()) == veth.peer_nsid
            finally:
                os.close(fd)


@pytest.mark.usefixtures("same_fds")
def test_no_fd_is_left_behind() -> None:
    with Links(open_route_socket()) as links:
        links.list_links()
