"""The own addresses of a netns and the ports of its clients: they tell whether a closed connection came in or went out.

Read right after its tables, where these have rows that no fd can hold, or where it is asked for.
"""

import sys
from typing import Final

from nsagent.errors import FormatError, NotRead, Reason
from nsagent.kernel.formats.fib_trie import parse_broadcasts, parse_fib_trie
from nsagent.kernel.formats.if_inet6 import parse_if_inet6
from nsagent.kernel.formats.net_route import parse_ipv6_route, parse_route
from nsagent.kernel.formats.numbers import parse_decimal
from nsagent.model.gap import Kind, Stage, Subject
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.state import NetnsState
from nsagent.scan.collect.text_tables import ReadNet

CLIENT_PORTS: Final = "net/ipv4/ip_local_port_range"
"""The file of /proc/sys: it shows whoever reads it the netns that it is in (net/sysctl_net.c)."""

MOST_BYTES: Final = 4 << 20
"""Of fib_trie, which has every route: a router with more of them is not asked for its addresses."""


def read_ends(state: NetnsState, read_net: ReadNet, client_ports: str | None, gaps: GapSink) -> None:
    """Note the own addresses of a netns and those of broadcast, and its client ports by the text of CLIENT_PORTS."""
    try:
        routes = read_net("fib_trie") or b""
        if len(routes) > MOST_BYTES:
            raise NotRead("its routes", Reason.TOO_LARGE)
        interfaces = read_net("if_inet6") or b""
        text = routes.decode("ascii", "replace")
        state.broadcasts = parse_broadcasts(text)
        state.own_addresses = (*parse_fib_trie(text), *parse_if_inet6(interfaces.decode("ascii", "replace")))
    except (NotRead, FormatError) as err:
        # Not of the netns: its tables are read, and what has changed in them is told.
        gaps.note(Stage.TABLES, Subject(Kind.ADDRESSES, state.met.subject.id), err)
    try:
        first, last = (parse_decimal(word, 16) for word in (client_ports or "").split())
    except ValueError:
        return
    state.client_ports = first, last


def read_links(state: NetnsState, read_net: ReadNet, gaps: GapSink) -> None:
    """Note to which networks a netns sends packets by a link of its own; after its own addresses.

    Of a route through one of these, as CNI plugins set up, the netns itself is the gateway.
    """
    own = {text.partition("/")[0] for text in state.own_addresses or ()}
    try:
        texts = [(read_net(name) or b"").decode("ascii", "replace") for name in ("route", "ipv6_route")]
        if max(map(len, texts)) > MOST_BYTES:
            raise NotRead("its routes", Reason.TOO_LARGE)
        routes = (*parse_route(texts[0], byteorder=sys.byteorder), *parse_ipv6_route(texts[1]))
    except (NotRead, FormatError) as err:
        gaps.note(Stage.TABLES, Subject(Kind.ADDRESSES, state.met.subject.id), err)
        return
    state.linked = tuple(sorted({one.network for one in routes if one.gateway is None or one.gateway in own}))
