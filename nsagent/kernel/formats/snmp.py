"""/proc/PID/net/snmp and snmp6: what the protocols of a netns have counted since it was made.

Source: net/ipv4/proc.c snmp_seq_show(), net/ipv6/proc.c snmp6_seq_show(); RFC 4022 and its like for the names.
"""

import re
from typing import Final

_OF_IPV6: Final = re.compile(rb"^(?:Ip6InReceives|Ip6InDelivers|Ip6OutRequests|Udp6\w+)\s.*$", re.MULTILINE)


def find_counters(text: bytes, protocol: str) -> bytes | None:
    """The line with the numbers of a protocol, as `Tcp`, as it stands there; None where there is none.

    That of `Tcp`, which has those of IPv6 too, is the same as long as not a segment was sent or received: all of them
    count, before anybody looks at whose they are (InSegs, OutSegs, RetransSegs, InErrs, OutRsts). That of `Ip`
    is the same as long as no packet of IPv4 was.
    """
    start = f"{protocol}: ".encode()
    lines = [line for line in text.splitlines() if line.startswith(start)]  # The first has the names.
    return lines[1] if len(lines) == 2 else None


def find_ipv6_counters(text: bytes) -> bytes | None:
    """The lines of snmp6 that are the same as long as no packet of IPv6 was received or sent, and UDP counted nothing.

    None where there are none.
    """
    return b"\n".join(_OF_IPV6.findall(text)) or None
