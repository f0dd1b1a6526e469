"""What rows are asked for: the filter options of `scan`, and what expressions name, as values. Pure."""

import difflib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from nsagent.errors import WrongValue
from nsagent.model.ids import Pid
from nsagent.model.net import Protocol, SocketState
from nsagent.query.labels import LabelSelector, parse_labels
from nsagent.query.network import Network, parse_network

if TYPE_CHECKING:
    from nsagent.query.expression import Expression

E = TypeVar("E", bound=StrEnum)
Texts = Sequence[str]

_PROTOCOL_ALIASES: Final = {
    "icmp6": "icmp",
    "icmpv6": "icmp",
    "ping": "icmp",
    "udp-lite": "udplite",
}
"""Other names of a protocol; ping sockets of IPv4 and IPv6 stand in one table."""

_STATE_ALIASES: Final = {
    "listening": "listen",
    "estab": "established",
    "closed": "close",
    "fin_wait_1": "fin_wait1",
    "fin_wait_2": "fin_wait2",
    "unconn": "close",
    "unconnected": "close",
}
"""Names that ss prints or takes, beside the kernel's."""

_ALL_STATES: Final = frozenset(SocketState)
_CONNECTED: Final = _ALL_STATES - {SocketState.LISTEN, SocketState.CLOSE, SocketState.BOUND_INACTIVE}
_MINI_SOCKETS: Final = frozenset((SocketState.TIME_WAIT, SocketState.SYN_RECV))
_STATE_GROUPS: Final = {
    "all": _ALL_STATES,
    "connected": _CONNECTED,
    "synchronized": _CONNECTED - {SocketState.SYN_SENT},
    "bucket": _MINI_SOCKETS,
    "big": _ALL_STATES - _MINI_SOCKETS,
}
"""Names of several states, as ss has them."""

MAX_PORT: Final = 65535


class Filter(NamedTuple):
    """Values of one field are alternatives, different fields must all match; an empty field matches all."""

    containers: tuple[str, ...] = ()
    """Names as typed, resolved against a snapshot, like those of pods and netns."""
    pods: tuple[str, ...] = ()
    kube_namespaces: tuple[str, ...] = ()
    labels: tuple[LabelSelector, ...] = ()
    netns: tuple[str, ...] = ()
    """Values as typed: see query.netns."""
    pids: tuple[Pid, ...] = ()
    ports: frozenset[int] = frozenset()
    """Local or remote, of the protocols that have ports."""
    local: tuple[Network, ...] = ()
    remote: tuple[Network, ...] = ()
    protocols: frozenset[Protocol] = frozenset()
    states: frozenset[SocketState] = frozenset()
    listening: bool = False
    """What `ss -l` shows."""
    ownerless: bool = False
    """Rows with a verdict: owners were looked for, and there are none."""
    accept_queue_above: float | None = None
    """The part of its accept queue beyond which a listener is wanted: 0.8 is four fifths. None for any row."""
    comms: tuple[str, ...] = ()
    """Names of processes that hold the socket."""
    units: tuple[str, ...] = ()
    """systemd units in which processes that hold it are."""
    interfaces: tuple[str, ...] = ()
    """Names or indexes of the interface that it is bound to."""
    expression: "Expression | None" = None
    """Must be met too."""

    def list_parts(self) -> Iterator["Filter"]:
        """Itself, and every filter in its expression."""
        yield self
        if self.expression is not None:
            from nsagent.query.expression import list_filters

            yield from list_filters(self.expression)

    @property
    def named_protocols(self) -> frozenset[Protocol]:
        """Those that are named anywhere in it: their tables are to be read."""
        return frozenset[Protocol]().union(*(part.protocols for part in self.list_parts()))

    @property
    def named_containers(self) -> tuple[str, ...]:
        """The names of containers anywhere in it."""
        return tuple(name for part in self.list_parts() for name in part.containers)

    @property
    def asks_for_owners(self) -> bool:
        """Whether anything in it asks who holds a socket."""
        return any(part.pids or part.comms or part.units or part.ownerless for part in self.list_parts())

    @property
    def chooses_containers(self) -> bool:
        """Whether only rows of certain containers are asked for."""
        return bool(self.containers or self.pods or self.kube_namespaces or self.labels)


def make_filter(
    *,
    container: Texts | None = None,
    pod: Texts | None = None,
    kube_namespace: Texts | None = None,
    label: Texts | None = None,
) -> Filter:
    """Which containers are asked for, by the texts of the options of these names; raises WrongValue."""
    return Filter(
        containers=split_values(container, "--container"),
        pods=split_values(pod, "--pod"),
        kube_namespaces=split_values(kube_namespace, "--kube-namespace"),
        labels=parse_labels(label),
    )


def narrow_filter(
    chosen: Filter,
    *,
    netns: Texts | None = None,
    pid: Texts | None = None,
    port: Texts | None = None,
    protocol: Texts | None = None,
    state: Texts | None = None,
    local: Texts | None = None,
    remote: Texts | None = None,
    listening: bool = False,
    ownerless: bool = False,
    accept_queue_above: float | None = None,
) -> Filter:
    """The filter with which sockets are asked for, by the texts of the options of these names; raises WrongValue."""
    return chosen._replace(
        netns=parse_netns(netns),
        pids=parse_pids(pid),
        ports=parse_ports(port),
        protocols=parse_protocols(protocol),
        states=parse_states(state),
        local=parse_networks(local, "--local"),
        remote=parse_networks(remote, "--remote"),
        listening=listening,
        ownerless=ownerless,
        accept_queue_above=accept_queue_above,
    )


def split_values(texts: Sequence[str] | None, option: str) -> tuple[str, ...]:
    """The values of an option that may be repeated and hold commas, each once, in order.

    None of them if the option was not given; given without a value it raises WrongValue, which names it.
    """
    values = dict.fromkeys(value.strip() for text in texts or () for value in text.split(","))
    values.pop("", None)
    if texts and not values:
        raise WrongValue(option, f"expected a value, got {texts[0]!r}")
    return tuple(values)


def parse_netns(texts: Sequence[str] | None) -> tuple[str, ...]:
    """Names of netns, each value as typed: a name may hold commas (query.netns); WrongValue where there is none."""
    split_values(texts, "--netns")
    return tuple(texts or ())


def parse_ports(texts: Sequence[str] | None) -> frozenset[int]:
    """Port numbers; raises WrongValue."""
    return frozenset(parse_number(value, "--port", MAX_PORT) for value in split_values(texts, "--port"))


def parse_pids(texts: Sequence[str] | None) -> tuple[Pid, ...]:
    """Process ids; raises WrongValue."""
    return tuple(Pid(parse_number(value, "--pid", 1 << 31)) for value in split_values(texts, "--pid"))


def parse_protocols(texts: Sequence[str] | None) -> frozenset[Protocol]:
    """Protocol names; raises WrongValue with those that there are."""
    names = (value.lower() for value in split_values(texts, "--protocol"))
    return frozenset(_parse_name(_PROTOCOL_ALIASES.get(name, name), "--protocol", Protocol) for name in names)


def parse_states(texts: Sequence[str] | None) -> frozenset[SocketState]:
    """State names, in any case, with `-` or `_`, also those of several; raises WrongValue with those that there are."""
    names = (value.lower().replace("-", "_") for value in split_values(texts, "--state"))
    return frozenset[SocketState]().union(*map(_parse_state, names))


def parse_networks(texts: Sequence[str] | None, option: str) -> tuple[Network, ...]:
    """Addresses and prefixes; raises WrongValue."""
    return tuple(parse_network(value, option) for value in split_values(texts, option))


def parse_number(text: str, option: str, most: int) -> int:
    """A number from 0 to `most`; raises WrongValue, which names the option."""
    if not (text.isascii() and text.isdigit() and len(text) < 20) or int(text) > most:
        raise WrongValue(option, f"expected a number from 0 to {most}, got {text!r}")
    return int(text)


def _parse_state(name: str) -> frozenset[SocketState]:
    return _STATE_GROUPS.get(name) or frozenset({_parse_name(_STATE_ALIASES.get(name, name), "--state", SocketState)})


def _parse_name(text: str, option: str, names: type[E]) -> E:
    known = [str(name) for name in names]
    if text not in known:
        near = difflib.get_close_matches(text, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise WrongValue(option, f"expected one of {', '.join(known)}, got {text!r}{hint}")
    return names(text)
