"""Filter expressions for tests: trees as the grammar makes them, and the text of each."""

from collections.abc import Sequence
from socket import AF_INET, AF_INET6, inet_ntop

from hypothesis import strategies as st

from nsagent.model.ids import Pid
from nsagent.model.net import Protocol, SocketState
from nsagent.query.conditions import join, negate
from nsagent.query.expression import Autobound, Between, Every, Expression, Not, Number, Some
from nsagent.query.filter import Filter
from nsagent.query.network import Network

LAST = (1 << 32) - 1
WORDS = {Number.LOCAL_PORT: "sport", Number.REMOTE_PORT: "dport", Number.UID: "uid"}

names = st.text(st.characters(exclude_characters=",\"'", exclude_categories=["Cs"]), min_size=1, max_size=15).filter(
    lambda name: name == name.strip() and len(name.encode()) <= 15
)
ports = st.integers(0, 65535)
uids = st.integers(0, LAST)
pids = st.integers(0, 1 << 31)
networks = st.one_of(
    st.integers(0, 32).flatmap(
        lambda bits: st.builds(Network, st.integers(0, (1 << bits) - 1), st.just(bits), st.just(4))
    ),
    st.integers(0, 128).flatmap(
        lambda bits: st.builds(Network, st.integers(0, (1 << bits) - 1), st.just(bits), st.just(16))
    ),
)


def betweens(number: Number, values: st.SearchStrategy[int]) -> st.SearchStrategy[Between]:
    """What one comparison of this number asks for."""
    return st.one_of(
        values.map(lambda value: Between(number, value, value)),
        values.map(lambda value: Between(number, 0, value - 1)),
        values.map(lambda value: Between(number, value, LAST)),
    )


def conditions(
    *,
    ports: st.SearchStrategy[int] = ports,
    uids: st.SearchStrategy[int] = uids,
    pids: st.SearchStrategy[int] = pids,
    containers: st.SearchStrategy[str] = names,
    pods: st.SearchStrategy[str] = names,
    netns: st.SearchStrategy[str] = names,
    comms: st.SearchStrategy[str] = names,
    within: st.SearchStrategy[Network] = networks,
) -> st.SearchStrategy[Expression]:
    """Single conditions, with these values."""
    return st.one_of(
        betweens(Number.LOCAL_PORT, ports),
        betweens(Number.REMOTE_PORT, ports),
        betweens(Number.UID, uids),
        st.just(Autobound()),
        st.just(Filter()),
        st.just(Filter(ownerless=True)),
        within.map(lambda network: Filter(local=(network,))),
        within.map(lambda network: Filter(remote=(network,))),
        st.frozensets(st.sampled_from(SocketState), min_size=1).map(lambda states: Filter(states=states)),
        st.frozensets(st.sampled_from(Protocol), min_size=1).map(lambda protocols: Filter(protocols=protocols)),
        pids.map(lambda pid: Filter(pids=(Pid(pid),))),
        containers.map(lambda name: Filter(containers=(name,))),
        pods.map(lambda name: Filter(pods=(name,))),
        netns.map(lambda name: Filter(netns=(name,))),
        st.lists(comms, min_size=1, max_size=3, unique=True).map(lambda found: Filter(comms=tuple(found))),
        st.lists(names, min_size=1, max_size=3, unique=True).map(lambda found: Filter(units=tuple(found))),
        st.lists(names, min_size=1, max_size=3, unique=True).map(lambda found: Filter(interfaces=tuple(found))),
    )


def trees(leaves: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """Conditions joined by not, and, or, in few enough parentheses."""

    def deepen(parts: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        several = st.lists(parts, min_size=2, max_size=3)
        return st.one_of(
            parts.map(negate),
            several.map(lambda found: join(Every, found)),
            several.map(lambda found: join(Some, found)),
        )

    return st.recursive(leaves, deepen, max_leaves=8)


def write(expression: Expression) -> str:
    """The text that means this; every part of more than one condition stands in parentheses."""
    if isinstance(expression, Every | Some):
        word = " and " if isinstance(expression, Every) else " or "
        return word.join(_enclose(part) for part in expression.parts)
    if isinstance(expression, Not):
        return f"not {_enclose(expression.part)}"
    if isinstance(expression, Autobound):
        return "autobound"
    if isinstance(expression, Between):
        return _write_between(expression)
    return _write_filter(expression)


def write_network(network: Network) -> str:
    """`10.0.0.0/8`."""
    bits = 8 * network.address_bytes
    packed = (network.prefix << (bits - network.length)).to_bytes(network.address_bytes, "big")
    return f"{inet_ntop(AF_INET if bits == 32 else AF_INET6, packed)}/{network.length}"


def _enclose(expression: Expression) -> str:
    text = write(expression)
    return f"( {text} )" if isinstance(expression, Every | Some) else text


def _write_between(between: Between) -> str:
    word, first, last = WORDS[between.number], between.first, between.last
    sign = "" if between.number is Number.UID else ":"
    if last == LAST:
        return f"{word} >= {sign}{first}"
    if first == last:
        return f"{word} = {sign}{first}"
    return f"{word} < {sign}{last + 1}"


def _write_filter(wanted: Filter) -> str:
    values: dict[str, Sequence[str]] = {
        "state": sorted(wanted.states),
        "proto": sorted(wanted.protocols),
        "pid": list(map(str, wanted.pids)),
        "container": wanted.containers,
        "pod": wanted.pods,
        "netns": wanted.netns,
        "comm": wanted.comms,
        "unit": wanted.units,
        "dev": wanted.interfaces,
        "src": list(map(write_network, wanted.local)),
        "dst": list(map(write_network, wanted.remote)),
        "owner": ["none"] if wanted.ownerless else [],
    }
    conditions = [f'{word} = "{",".join(texts)}"' for word, texts in values.items() if texts]
    return conditions[0] if conditions else "src *"
