"""/proc/PID/net/sockstat and sockstat6: how many sockets a netns has.

`inuse` and `tw` are per netns; `orphan`, `alloc` and `mem` are host-wide.

Source: net/ipv4/proc.c sockstat_seq_show(), net/ipv6/proc.c sockstat6_seq_show().
"""

from collections.abc import Mapping
from typing import Final

from nsagent.errors import FormatError
from nsagent.model.net import Protocol, SocketState

_MOST_CHARACTERS: Final = 200
"""In a line: the kernel's have 60, and a number of thousands of digits is slow to read."""

SockStat = dict[tuple[str, str], int]
"""(protocol, counter) -> value, as in ("TCP6", "inuse")."""

TIME_WAIT: Final = SocketState.TIME_WAIT.value

COUNTERS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    Protocol.TCP.value: (("TCP", "inuse"), ("TCP6", "inuse")),
    TIME_WAIT: (("TCP", "tw"),),
    Protocol.UDP.value: (("UDP", "inuse"), ("UDP6", "inuse")),
    Protocol.UDPLITE.value: (("UDPLITE", "inuse"), ("UDPLITE6", "inuse")),
    Protocol.RAW.value: (("RAW", "inuse"), ("RAW6", "inuse")),
}
"""The counters that add up to rows: to those of a protocol (of TCP without NOT_IN_USE), and to TIME_WAIT.

`tw` counts both families. Measured: the sums are exact while nothing opens or closes; the accept
queue, orphans and the subflows of MPTCP are in use.
"""

NOT_IN_USE: Final = (SocketState.TIME_WAIT, SocketState.SYN_RECV, SocketState.BOUND_INACTIVE)
"""What `inuse` of TCP leaves out: counted by `tw`, or, handshakes in progress and what is only bound, by nothing."""


def list_row_counters(protocol: Protocol) -> tuple[tuple[str, str], ...]:
    """The counters that add up to the least rows that the table of a protocol has; none where nothing counts them."""
    return COUNTERS.get(protocol, ()) + (COUNTERS[TIME_WAIT] if protocol is Protocol.TCP else ())


def parse_sockstat(text: str) -> SockStat:
    """The counters of sockstat and sockstat6 one after the other; raises FormatError."""
    counters: SockStat = {}
    for line in text.splitlines():  # Of each netns of a host: 8 us for both files.
        protocol, colon, rest = line.partition(": ")
        words = rest.split()
        if not colon or len(words) % 2 or not line.isascii() or len(line) > _MOST_CHARACTERS:
            raise FormatError("a line of sockstat", line)
        for name, value in zip(words[::2], words[1::2], strict=True):
            # "inuse" can pass below zero for a moment: the kernel sums per-CPU counters.
            if not (value.isdigit() or (value[:1] == "-" and value[1:].isdigit())):
                raise FormatError("a number in sockstat", line)
            counters[protocol, name] = int(value)
    return counters
