"""One table row, as far as ss(8) and nsagent both know it, and both ways to get one.

ss rows are the output of `ss -tuanpeH` (iproute2, misc/ss.c); nsagent's are entries of `sockets`
in the JSON of a scan.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.live.capabilities import PATH

ANY = ""
MAPPED_PREFIX = "::ffff:"
_HOLDER = re.compile(r",pid=(\d+),fd=(\d+)\)")
_STATES = {
    "ESTAB": "established",
    "SYN-SENT": "syn_sent",
    "SYN-RECV": "syn_recv",
    "FIN-WAIT-1": "fin_wait1",
    "FIN-WAIT-2": "fin_wait2",
    "TIME-WAIT": "time_wait",
    "UNCONN": "close",
    "CLOSE-WAIT": "close_wait",
    "LAST-ACK": "last_ack",
    "LISTEN": "listen",
    "CLOSING": "closing",
}


class Row(NamedTuple):
    """A row of one netns; None where its source does not tell.

    Endpoints are (address, port); an IPv4 address of an IPv6 socket is IPv4 text, with `mapped`.
    The remote address of what is not connected is ANY. `holders` are (pid, fd), ascending.
    """

    protocol: str
    state: str
    local: tuple[str, int]
    remote: tuple[str, int]
    mapped: bool
    inode: int | None
    uid: int | None
    holders: tuple[tuple[int, int], ...]
    cookie: int | None
    interface: str | None
    v6only: bool | None

    def plain(self) -> "Row":
        """The same row without what /proc does not tell."""
        return self._replace(cookie=None, interface=None, v6only=None)


def parse_ss_row(line: str) -> Row:
    """One line of `ss -tuanpeH`.

    ss leaves out `uid:` for root, and prints none for what has no owner any more: a row with a
    timewait timer or in SYN-RECV has uid None. `*` is the any-address of a dual-stack socket.
    """
    protocol, state_name, _, _, local_text, remote_text, *rest = line.split(maxsplit=6)
    fields = rest[0] if rest else ""
    state = _STATES[state_name]
    (local, local_mapped, interface), (remote, remote_mapped, _) = map(_parse_endpoint, (local_text, remote_text))
    mini = "timer:(timewait" in fields or state in ("time_wait", "syn_recv")
    v6only = _find_number(fields, "v6only")
    return Row(
        protocol=protocol,
        state=state,
        local=local,
        remote=_without_any(remote),
        mapped=local_mapped or remote_mapped,
        inode=_find_number(fields, "ino") or None,
        uid=None if mini else _find_number(fields, "uid") or 0,
        holders=tuple(sorted((int(pid), int(fd)) for pid, fd in _HOLDER.findall(fields))),
        cookie=_find_number(fields, "sk", base=16),
        interface=interface,
        v6only=None if v6only is None else bool(v6only),
    )


def read_ss_rows(netns_path: str) -> list[Row]:
    """What ss says of one netns, sorted; needs root."""
    command = ["nsenter", f"--net={netns_path}", "ss", "-tuanpeH"]
    done = subprocess.run(
        command,
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=True,
    )
    return sort_rows([parse_ss_row(line) for line in done.stdout.splitlines()])


def parse_scan_row(socket: Mapping[str, Any]) -> Row:
    """One entry of `sockets` in the JSON of a scan."""
    local, remote = socket["local"], socket["remote"]
    return Row(
        protocol=socket["protocol"],
        state=socket["state"],
        local=(local["address"], local["port"]),
        remote=_without_any((remote["address"], remote["port"])),
        mapped=socket["mapped"],
        inode=socket["inode"],
        uid=socket["uid"],
        holders=tuple(sorted((owner["pid"], fd) for owner in socket["owners"] for fd in owner["fds"])),
        cookie=socket["cookie"],
        interface=socket["interface"],
        v6only=socket["v6only"],
    )


def sort_rows(rows: list[Row]) -> list[Row]:
    """The rows in an order that does not depend on the kernel's."""
    return sorted(rows, key=repr)


def explain_difference(first: list[Row], second: list[Row]) -> str:
    """The rows that only one side has, a line each; empty if both have the same ones."""
    lines = [f"only the first has {row}" for row in first if row not in second]
    lines += [f"only the second has {row}" for row in second if row not in first]
    if not lines and len(first) != len(second):
        lines = [f"{len(first)} rows against {len(second)}: repeated rows"]
    return "\n".join(lines)


def _parse_endpoint(text: str) -> tuple[tuple[str, int], bool, str | None]:
    """Address and port, whether it was a mapped address, and the interface after `%`."""
    host, port = text.rsplit(":", 1)
    host, _, interface = host.partition("%")
    address = "::" if host == "*" else host.strip("[]")
    mapped = address.startswith(MAPPED_PREFIX)
    if mapped:
        address = address.removeprefix(MAPPED_PREFIX)
    return (address, 0 if port == "*" else int(port)), mapped, interface or None


def _without_any(endpoint: tuple[str, int]) -> tuple[str, int]:
    return (ANY, 0) if endpoint in (("::", 0), ("0.0.0.0", 0)) else endpoint


def _find_number(fields: str, name: str, *, base: int = 10) -> int | None:
    """The value of `name:` after the addresses, which a comm inside users:(...) cannot forge."""
    tail = fields.rsplit("))", 1)[-1] if "users:((" in fields else fields
    found = re.search(rf"(?:^|\s){name}:([0-9a-f]+)", tail)
    return int(found.group(1), base) if found else None
