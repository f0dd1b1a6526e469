"""/proc/PID/net/sockstat and sockstat6: how many sockets a netns has.

Source: net/ipv4/proc.c sockstat_seq_show(), net/ipv6/proc.c sockstat6_seq_show(). `inuse` and
`tw` are per netns; `orphan`, `alloc` and `mem` are host-wide.
"""

from typing import Final

from nsagent.errors import FormatError

_MOST_CHARACTERS: Final = 200
"""In a line: the kernel's have 60, and a number of thousands of digits is slow to read."""

SockStat = dict[tuple[str, str], int]
"""(protocol, counter) -> value, as in ("TCP6", "inuse")."""


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
