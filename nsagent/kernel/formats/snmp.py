"""/proc/PID/net/snmp: what the protocols of a netns have counted since it was made.

Source: net/ipv4/proc.c snmp_seq_show(); RFC 4022 for the names.
"""

from typing import Final

_TCP: Final = b"Tcp: "


def find_tcp_counters(text: bytes) -> bytes | None:
    """The line with the numbers of TCP, IPv6 included, as it stands there; None where there is none.

    It is the same as long as TCP has neither sent nor received a segment in this netns: all of them
    count, before anybody looks at whose they are (InSegs, OutSegs, RetransSegs, InErrs, OutRsts).
    """
    lines = [line for line in text.splitlines() if line.startswith(_TCP)]  # The first has the names.
    return lines[1] if len(lines) == 2 else None
