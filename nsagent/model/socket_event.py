"""A socket that has come, gone or changed, and how that is known."""

from enum import StrEnum
from typing import NamedTuple

from nsagent.model.change import Change


class SocketEventKind(StrEnum):
    """`change`: other processes hold it, or its state is another one."""

    OPEN = "open"
    CLOSE = "close"
    CHANGE = "change"


class SocketEventSource(StrEnum):
    """How the event is known.

    `diff`: two passes differ, so it happened some time between them. `destroy`: sock_diag told of it as the socket
    died. `conntrack`: the netns's connection tracking did.
    """

    DIFF = "diff"
    DESTROY = "destroy"
    CONNTRACK = "conntrack"


class OwnerSource(StrEnum):
    """How it is known whose socket it was.

    `snapshot`: the last one that has it shows who holds it; found by cookie. `listener`: a connection that no pass
    saw came in by a listener that one did. `netns`: all processes of its netns are of one container or pod.
    `none`: nobody is named.
    """

    SNAPSHOT = "snapshot"
    LISTENER = "listener"
    NETNS = "netns"
    NONE = "none"


class FinalTcp(NamedTuple):
    """What TCP had counted when the socket died; None where this kernel does not count it. TCP_INFO, tcp(7).

    All is 0 of a connection that its own end has reset.
    """

    sent_bytes: int | None
    """Acknowledged by the peer; a client's SYN may count as one where the connection did not end in order."""
    received_bytes: int | None
    """The peer's FIN counts as one where it came before this end was closed."""
    rtt_microseconds: int | None
    """None where nothing was measured."""
    retransmits: int | None
    """Segments sent again in its whole life."""


class SocketEvent(NamedTuple):
    """One event; `change` tells when, of which socket, and whose it was as far as `owner_source` says."""

    kind: SocketEventKind
    change: Change
    source: SocketEventSource
    owner_source: OwnerSource
    final: FinalTcp | None = None
    """Of a TCP socket whose end sock_diag told."""
    lifetime_seconds: float | None = None
    """How long it was open at least: since a pass saw it first."""
