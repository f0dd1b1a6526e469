"""/proc/PID/net/protocols: how many sockets of each protocol a netns has.

Source: net/core/sock.c proto_seq_printf(). The count of AF_VSOCK is always 0 and that of NETLINK
leaves out the kernel's own sockets.
"""

import re

from nsagent.errors import FormatError
from nsagent.kernel.formats.release import is_at_least

_LINE = re.compile(r"^(\S+) +[0-9]+ +(-?[0-9]{1,10}) .*$", re.ASCII | re.MULTILINE)
"""The name, the size of one socket, how many sockets, and more."""


def parse_net_protocols(text: str) -> dict[str, int]:
    """Sockets by the kernel's name of the protocol; the text with its header line.

    A count can pass below zero for a moment: the kernel sums per-CPU counters. Raises FormatError
    if a line is malformed.
    """
    header, _, body = text.partition("\n")
    found = _LINE.findall(body)
    if not header.startswith("protocol") or len(found) != body.count("\n") + (body[-1:] not in ("", "\n")):
        raise FormatError("a table of /proc/PID/net/protocols", text)
    return {name: int(count) for name, count in found}


def count_mptcp(counts: dict[str, int], release: str | None) -> int | None:
    """How many MPTCP sockets there are, of both families; 0 on a kernel without MPTCP.

    None where 0 means nothing: before Linux 6.2 the kernel has MPTCP and counts none (net/mptcp/protocol.c).
    """
    known = [counts[name] for name in ("MPTCP", "MPTCPv6") if name in counts]
    counted = max(0, sum(known))
    return counted if counted or not known or is_at_least(release, 6, 2) else None
