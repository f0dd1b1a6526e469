"""Interfaces, addresses and veth peers of one netns, by rtnetlink.

pyroute2 encodes and decodes, on a socket that was made inside of the netns (kernel.netns): its own
way into a netns forks, which a program with threads must not do. Importing it takes as long as a
scan of a small host, so it is imported where it is used.

Source: rtnetlink(7), if_link.h, net_namespace.h of include/uapi/linux.
"""

import os
import socket
import struct
from errno import errorcode
from typing import Any, NamedTuple, Self

from nsagent.errors import ReadFailed
from nsagent.kernel.files import translate_failure
from nsagent.model.facts import Interface

IFF_UP = 0x1
_ANSWER_SECONDS = 10


class Link(NamedTuple):
    """An interface as its netns tells; `peer_nsid` is the id that this netns has for the netns of a veth's peer.

    It is None where the peer is in the same netns, or where there is no peer.
    """

    interface: Interface
    peer_nsid: int | None


def open_route_socket() -> socket.socket:
    """An rtnetlink socket in the netns of the calling thread, for Links. Raises NotRead."""
    try:
        # A datagram socket, for netlink no other than a raw one: asyncio, below pyroute2, takes no raw one.
        route = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        route.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _ANSWER_SECONDS, 0))
    except OSError as err:
        raise translate_failure(err, "links") from err
    return route


class Links:
    """The links of the netns that `route` was made in, which it takes over; a context manager."""

    def __init__(self, route: socket.socket) -> None:
        from pyroute2 import IPRoute

        self._route = IPRoute(fileno=route.detach())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._route.close()

    def list_links(self) -> list[Link]:
        """Its interfaces by index, with their addresses; raises NotRead."""
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            addresses: dict[int, list[str]] = {}
            for message in self._route.addr("dump"):
                # IFA_ADDRESS is the far end of a point-to-point link; IPv6 has no IFA_LOCAL but there.
                address = message.get("IFA_LOCAL") or message.get("IFA_ADDRESS")
                addresses.setdefault(message["index"], []).append(f"{address}/{message['prefixlen']}")
            return sorted(
                (_make_link(message, addresses.get(message["index"], [])) for message in self._route.link("dump")),
                key=lambda link: link.interface.index,
            )
        except NetlinkError as err:
            raise ReadFailed("links", errorcode.get(err.code, str(err.code))) from err
        except OSError as err:
            raise translate_failure(err, "links") from err


def _make_link(message: Any, addresses: list[str]) -> Link:
    kind = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    peer = message.get("IFLA_LINK") if kind == "veth" else None
    return Link(
        Interface(
            index=message["index"],
            # Bytes where it is no UTF-8: whoever has a netns may call an interface as he likes.
            name=os.fsdecode(message.get("IFLA_IFNAME")),
            kind=kind,
            up=bool(message["flags"] & IFF_UP),
            mac=message.get("IFLA_ADDRESS"),
            addresses=tuple(addresses),
            peer_index=peer,
        ),
        message.get("IFLA_LINK_NETNSID") if peer is not None else None,
    )
