"""Which tables are worth reading, and which rows are worth looking for again. Pure."""

from collections.abc import Collection
from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.sockstat import SockStat, parse_sockstat
from nsagent.model.net import Protocol

PROTOCOLS: Final = (Protocol.TCP, Protocol.UDP)

_COUNTERS: Final = {
    Protocol.TCP: (("TCP", "inuse"), ("TCP6", "inuse"), ("TCP", "tw")),
    Protocol.UDP: (("UDP", "inuse"), ("UDP6", "inuse")),
}

MAX_ROUNDS: Final = 3
"""How often ownerless rows are looked for in the processes again."""


def plan_protocols(sockstat: str | None) -> tuple[Protocol, ...]:
    """The protocols whose tables may hold a row, by the netns's own counters.

    Without counters, or with damaged ones, every table is read. `TCP tw` counts both families; a
    kernel without IPv6 has no TCP6 line.
    """
    try:
        counters: SockStat = parse_sockstat(sockstat or "")
    except FormatError:
        counters = {}
    if ("TCP", "inuse") not in counters or ("UDP", "inuse") not in counters:
        return PROTOCOLS
    return tuple(protocol for protocol in PROTOCOLS if any(counters.get(name, 0) for name in _COUNTERS[protocol]))


def plan_next_round(remaining: Collection[int], before: Collection[int], rounds: int) -> bool:
    """Whether the processes are walked once more for rows whose owner was not found.

    `remaining` and `before` are inodes without an owner after and before the last round. A socket
    of the kernel itself stays without one for ever: a round that changed nothing is the last.
    """
    return bool(remaining) and rounds < MAX_ROUNDS and (rounds == 0 or len(remaining) < len(before))
