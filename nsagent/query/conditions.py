"""The conditions of a filter expression: a word, an operator and a value -> what is asked of a row. Pure.

Source: HOST SYNTAX of ss(8). Values of other words are read as those of the option with the same meaning.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Final

from nsagent.errors import WrongValue
from nsagent.model.net import SocketState
from nsagent.query.expression import Between, Every, Expression, Not, Number, Some
from nsagent.query.filter import (
    MAX_PORT,
    Filter,
    parse_netns,
    parse_number,
    parse_pids,
    parse_protocols,
    parse_states,
    split_values,
)
from nsagent.query.network import Network, pack, parse_network

FindPort = Callable[[str], int | None]
"""The port of a service by its name, None where there is none of it."""

AUTOBOUND: Final = "autobound"
"""The one condition without a value."""

_UNBOUNDED: Final = (1 << 32) - 1
"""The largest uid, and port: those of vsock have 32 bits."""

_MAX_COMM_BYTES: Final = 15
"""TASK_COMM_LEN without its NUL (include/linux/sched.h)."""

_HOST: Final = re.compile(r"\[(?P<bracketed>[^\[\]]+)\](?P<after>.*)|(?P<bare>[^\[\]:]*)(?P<rest>:.*)?", re.DOTALL)
_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")

_LOCAL: Final = (Number.LOCAL_PORT,)
_REMOTE: Final = (Number.REMOTE_PORT,)
_EITHER: Final = (*_LOCAL, *_REMOTE)

_HOSTS: Final = {"src": _LOCAL, "dst": _REMOTE, "addr": _EITHER}
"""Word -> the ends whose address, and port, it asks for."""

_PORTS: Final = {"sport": _LOCAL, "dport": _REMOTE, "port": _EITHER}
"""Word -> the ends whose port it asks for."""


def negate(expression: Expression) -> Expression:
    """Its contrary."""
    return expression.part if isinstance(expression, Not) else Not(expression)


def join(kind: type[Every] | type[Some], parts: list[Expression]) -> Expression:
    """One or more parts as one expression."""
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


def _read_comms(text: str) -> Expression:
    """One name, or several with commas between; a process may also call itself by all of it, commas and spaces too."""
    names = split_values([text], "comm")
    if not all(map(_is_comm, names)):
        raise WrongValue("comm", f"expected at most {_MAX_COMM_BYTES} bytes: the kernel keeps no more of a name")
    return Filter(comms=tuple(dict.fromkeys((*names, text))) if _is_comm(text) else names)


def _is_comm(name: str) -> bool:
    return len(name.encode("utf-8", "surrogateescape")) <= _MAX_COMM_BYTES


def _read_owner(text: str) -> Expression:
    if text != "none":
        raise WrongValue("owner", f"expected none, got {text[:60]!r}: ask for one by pid, comm, unit or container")
    return Filter(ownerless=True)


def _name_each(word: str, make: Callable[[str], Filter]) -> Callable[[str], Expression]:
    """Of names with commas between each alone: one may be known where another is not."""
    return lambda text: join(Some, [make(name) for name in split_values([text], word)])


_NAMES: Final[Mapping[str, Callable[[str], Expression]]] = {
    "state": lambda text: Filter(states=parse_states([text])),
    "proto": lambda text: Filter(protocols=parse_protocols([text])),
    "netns": lambda text: Filter(netns=parse_netns([text])),
    "container": _name_each("container", lambda name: Filter(containers=(name,))),
    "pod": _name_each("pod", lambda name: Filter(pods=(name,))),
    "pid": _name_each("pid", lambda pid: Filter(pids=parse_pids([pid]))),
    "comm": _read_comms,
    "unit": lambda text: Filter(units=split_values([text], "unit")),
    "dev": lambda text: Filter(interfaces=split_values([text], "dev")),
    "owner": _read_owner,
}
"""Word -> what its value asks for."""

WORDS: Final = (*_HOSTS, *_PORTS, *_NAMES, "uid", AUTOBOUND)
"""All that a condition may begin with."""


def check_word(word: str) -> str:
    """A word of a condition, in lower case; raises WrongValue for what is none, with all that there are."""
    if word.lower() in WORDS:
        return word.lower()
    near = difflib.get_close_matches(word[:60].lower(), WORDS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise WrongValue(word, f"expected one of {', '.join(WORDS)}, got {word[:60]!r}{hint}")


def read_condition(word: str, operator: str, text: str, find_port: FindPort | None) -> Expression:
    """What a condition asks for; `operator` is one of = != < > <= >=. Raises WrongValue for a value that is none."""
    if operator == "!=":
        return negate(read_condition(word, "=", text, find_port))
    if word in _PORTS:
        first, last = _range(operator, _read_port(text.removeprefix(":"), find_port))
        return join(Some, [Between(number, first, last) for number in _PORTS[word]])
    if word == "uid":
        return Between(Number.UID, *_range(operator, parse_number(text, word, _UNBOUNDED)))
    if operator != "=":
        raise WrongValue(word, f"expected = or != between {word} and its value")
    if word in _HOSTS:
        network, port = _read_host(text, find_port)
        return join(Some, [_at(number, network, port) for number in _HOSTS[word]])
    return _NAMES[word](text)


def read_states(excluded: bool, text: str, before: frozenset[SocketState] | None) -> frozenset[SocketState]:
    """The states left by one more `state X` or `exclude X` in front of an expression; None before the first."""
    named = parse_states([text])
    if excluded:
        left = (frozenset(SocketState) if before is None else before) - named
        if not left:
            raise WrongValue("exclude", "expected to leave a state")
        return left
    return named if before is None else before | named


def _range(operator: str, number: int) -> tuple[int, int]:
    """The first and the last of what is so compared to a number."""
    return {
        "=": (number, number),
        "<": (0, number - 1),
        "<=": (0, number),
        ">": (number + 1, _UNBOUNDED),
        ">=": (number, _UNBOUNDED),
    }[operator]


def _read_port(text: str, find_port: FindPort | None) -> int:
    if _may_be_port(text):
        return parse_number(text, "port", MAX_PORT)
    if find_port is None:
        expected = f"expected a port from 0 to {MAX_PORT}, got {text[:60]!r}: services have other names on other hosts"
        raise WrongValue("port", expected)
    port = find_port(text) if _SERVICE.fullmatch(text) else None
    if port is None:
        expected = f"expected a port from 0 to {MAX_PORT} or the name of a service, got {text[:60]!r}"
        raise WrongValue("port", expected)
    return port


def _read_host(text: str, find_port: FindPort | None) -> tuple[Network | None, int | None]:
    """The network and the port of `ADDRESS[/LENGTH][:PORT]`, None for any.

    An IPv6 address with a port stands in brackets, and may stand in them without one. It has to where its last
    number could be a port as well: `::1:80` is [::1]:80 to ss(8), and another address to inet_pton(3).
    """
    match = _HOST.fullmatch(text) if text.startswith("[") or text.count(":") < 2 else None
    address, after = text, ""
    if match is not None:
        address = match["bracketed"] or match["bare"] or ""
        after = match["after"] or match["rest"] or ""
    if (after and not after.startswith(":")) or text in ("", ":"):
        raise WrongValue("host", f"expected ADDRESS[/LENGTH][:PORT], got {text[:60]!r}")
    if match is None and _may_be_port((parts := address.rpartition(":"))[2]) and pack(parts[0]) and pack(address):
        expected = f"expected [{parts[0]}]:{parts[2]} for its port, or [{address}] for the address"
        raise WrongValue("host", f"{expected}, got {text[:60]!r}")
    network = None if address in ("", "*") else parse_network(address, "host")
    port = None if after[1:] in ("", "*") else _read_port(after[1:], find_port)
    return network, port


def _may_be_port(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _at(number: Number, network: Network | None, port: int | None) -> Expression:
    """That the end which has this port is in a network, at a port."""
    parts: list[Expression] = []
    if network is not None:
        ends = (network,)
        parts.append(Filter(local=ends) if number is Number.LOCAL_PORT else Filter(remote=ends))
    if port is not None:
        parts.append(Between(number, port, port))
    return join(Every, parts or [Filter()])
