"""What each tool printed, as rows. Pure: one parser for each tool, text in, rows out.

The peers see one netns at a time: their outputs are a series of sections, each after a line
`netns INODE` (NETNS_LINE). A parser tells no more than the tool does; FIELDS says which fields of a
row its tool can be held to.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tests.bench.score import Row
from tests.bench.truth import parse_socket

NETNS_LINE: Final = "netns "
_MAPPED_PREFIX: Final = "::ffff:"
_SS_PID: Final = re.compile(r"pid=(\d+)")
_SS_INODE: Final = re.compile(r"\bino:(\d+)")


def parse_nsagent(text: str) -> list[Row]:
    """The document of `nsagent scan -o json`."""
    # A hook, because the rows of a million sockets as dicts would take many gigabytes at once.
    rows: list[Row] = json.loads(text, object_hook=_socket_or_record)["sockets"]
    return rows


def parse_ss(text: str) -> list[Row]:
    """Sections of `ss -tunapeH` (iproute2, misc/ss.c): columns, then users:(...) and ino:N."""
    rows = []
    for netns, line in _sections(text):
        protocol, _, _, _, local, remote, *rest = line.split(maxsplit=6)
        details = rest[0] if rest else ""
        inode = _SS_INODE.search(details)
        rows.append(
            Row(
                netns=netns,
                inode=int(inode[1]) if inode else 0,
                protocol=protocol,
                local_port=_port(local),
                remote_port=_port(remote),
                pids=frozenset(map(int, _SS_PID.findall(details))),
            )
        )
    return rows


def parse_lsof(text: str) -> list[Row]:
    """Sections of `lsof -F pfd`: a line `pPID`, then for each of its files `fFD` and `dINODE`."""
    holders: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    pid = 0
    for netns, line in _sections(text):
        if line[0] == "p":
            pid = int(line[1:])
        elif line[0] == "d":
            holders[netns, int(line[1:])].add(pid)
    return [Row(netns=netns, inode=inode, pids=frozenset(pids)) for (netns, inode), pids in holders.items()]


def parse_psutil(text: str) -> list[Row]:
    """Sections of what psutil_rows.py prints: protocol, local, remote and pid, `-` where it has none.

    psutil has a row for each holder of a socket, so equal rows with other pids are one socket; it
    knows no inodes.
    """
    holders: defaultdict[Row, set[int]] = defaultdict(set)
    for netns, line in _sections(text):
        protocol, local, local_port, remote_port, pid = line.split()
        row = Row(
            netns=netns,
            protocol=protocol,
            local_address=local.removeprefix(_MAPPED_PREFIX),
            local_port=int(local_port),
            remote_port=int(remote_port),
        )
        holders[row] |= set() if pid == "-" else {int(pid)}
    return [row._replace(pids=frozenset(pids)) for row, pids in holders.items()]


PARSERS: Final[Mapping[str, Callable[[str], list[Row]]]] = {
    "nsagent": parse_nsagent,
    "ss": parse_ss,
    "lsof": parse_lsof,
    "psutil": parse_psutil,
}

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "nsagent": tuple(field for field in Row._fields if field != "pids"),
    "ss": ("netns", "inode", "protocol", "local_port", "remote_port"),
    "lsof": ("netns", "inode"),
    "psutil": ("netns", "protocol", "local_address", "local_port", "remote_port"),
}


def _socket_or_record(record: dict[str, Any]) -> Row | dict[str, Any]:
    if "owners" not in record:
        return record
    return parse_socket(record, pids=(owner["pid"] for owner in record["owners"]))


def _sections(text: str) -> Iterator[tuple[int, str]]:
    """Each line with the netns of its section; empty lines are left out."""
    netns = 0
    for line in text.splitlines():
        if line.startswith(NETNS_LINE):
            netns = int(line.removeprefix(NETNS_LINE))
        elif line:
            yield netns, line


def _port(endpoint: str) -> int:
    """The port of `address:port`, 0 for `*`."""
    port = endpoint.rpartition(":")[2]
    return 0 if port == "*" else int(port)
