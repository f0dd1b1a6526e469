"""What is worth saying of an answer to who holds an end, beside its rows."""

from enum import StrEnum
from typing import NamedTuple

from nsagent.model.snapshot import OwnedSocket


class NoteKind(StrEnum):
    """What it is about.

    `not_local`: the address is none of this host's, or, where netns are told, none of those asked about but perhaps one
    of these; the rows are those of who talks to it. `not_connected`: there is no such connection, only what waits for
    it. `several_netns`: each netns has its own. `shadowed`: sockets that wait for the same and get nothing. `one_of`:
    the kernel chooses among several. `unrouted`: those bound to an address where it is no own one. `group`: who has
    joined a group of multicast is not told. `proxy`: the holder passes on what it gets. `behind`: the end to which it
    says that it does, and who holds that: where netns are told, who does in one of these. `v6only`: whether a socket
    takes IPv4 too is not told. `addresses`: the own addresses of netns are not known. `claimed`: only netns
    themselves say that it is an address of theirs, and the host sends them nothing for it.
    """

    NOT_LOCAL = "not_local"
    NOT_CONNECTED = "not_connected"
    SEVERAL_NETNS = "several_netns"
    SHADOWED = "shadowed"
    ONE_OF = "one_of"
    UNROUTED = "unrouted"
    GROUP = "group"
    PROXY = "proxy"
    BEHIND = "behind"
    V6ONLY = "v6only"
    ADDRESSES = "addresses"
    CLAIMED = "claimed"


class Note(NamedTuple):
    """One of them."""

    kind: NoteKind
    end: str
    """The end that was asked for, as ADDRESS:PORT."""
    netns: tuple[int, ...] = ()
    """The numbers of those that it is about."""
    sockets: tuple[OwnedSocket, ...] = ()
    """Those that it is about, which need not be in the answer."""


class Found(NamedTuple):
    """The rows that answer who holds an end, those of the very connection first, and what is to be said of them."""

    sockets: tuple[OwnedSocket, ...]
    notes: tuple[Note, ...] = ()
