"""/proc/PID/net/sockstat and sockstat6: how many sockets a netns has.

Source: net/ipv4/proc.c sockstat_seq_show(), net/ipv6/proc.c sockstat6_seq_show(). `inuse` and
`tw` are per netns; `orphan`, `alloc` and `mem` are host-wide.
"""

from nsagent.errors import FormatError
from nsagent.kernel.formats.numbers import parse_decimal

SockStat = dict[tuple[str, str], int]
"""(protocol, counter) -> value, as in ("TCP6", "inuse")."""


def parse_sockstat(text: str) -> SockStat:
    """The counters of sockstat and sockstat6 one after the other; raises FormatError."""
    counters: SockStat = {}
    for line in text.splitlines():
        protocol, colon, rest = line.partition(": ")
        words = rest.split()
        if not colon or len(words) % 2:
            raise FormatError("a line of sockstat", line)
        for name, value in zip(words[::2], words[1::2], strict=True):
            # "inuse" can pass below zero for a moment: the kernel sums per-CPU counters.
            try:
                number = parse_decimal(value.removeprefix("-"), 128)
            except ValueError as err:
                raise FormatError("a number in sockstat", line) from err
            counters[protocol, name] = -number if value.startswith("-") else number
    return counters
