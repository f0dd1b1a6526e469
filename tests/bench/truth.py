"""The ground truth of a state: from the lines of holder.c to JSON and back. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.bench.score import Row


def parse_truth(lines: Iterable[str]) -> list[Row]:
    """The sockets in the lines that holder.c writes, one for each holder of a socket.

    Lines with the same netns and inode are one socket with several holders; each line with
    inode 0 is a row of its own, without holders. Raises ValueError on a malformed line.
    """
    held: dict[tuple[int, int], Row] = {}
    unheld: list[Row] = []
    for line in lines:
        row, pid = _parse_line(line)
        if row.inode == 0:
            unheld.append(row)
            continue
        before = held.get((row.netns, row.inode), row)
        if before._replace(pids=frozenset()) != row._replace(pids=frozenset()):
            raise ValueError(f"two holders see {row.inode} differently: {line!r}")
        held[row.netns, row.inode] = row._replace(pids=before.pids | {pid})
    return [*held.values(), *unheld]


def parse_makers(lines: Iterable[str]) -> list[int]:
    """The pids of the processes that made TIME_WAIT rows, ascending: those that can renew them."""
    fields = (line.split() for line in lines)
    return sorted({int(field[10]) for field in fields if field[5] == "time_wait"})


def truth_document(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The truth as it is written to JSON; `inode` is null where no descriptor can hold the row."""
    return {
        "state": name,
        "sockets": [
            {
                "netns": row.netns,
                "inode": row.inode or None,
                "protocol": row.protocol,
                "family": row.family,
                "mapped": row.mapped,
                "state": row.state,
                "local": {"address": row.local_address, "port": row.local_port},
                "remote": {"address": row.remote_address, "port": row.remote_port},
                "holders": sorted(row.pids),
            }
            for row in rows
        ],
    }


def parse_document(document: Mapping[str, Any]) -> list[Row]:
    """The sockets of a truth_document."""
    return [parse_socket(socket, pids=socket["holders"]) for socket in document["sockets"]]


def parse_socket(socket: Mapping[str, Any], *, pids: Iterable[int]) -> Row:
    """A socket as JSON, here and in `nsagent scan -o json`, held by `pids`."""
    return Row(
        netns=socket["netns"],
        inode=socket["inode"] or 0,
        protocol=socket["protocol"],
        family=socket["family"],
        mapped=socket["mapped"],
        state=socket["state"],
        local_address=socket["local"]["address"],
        local_port=socket["local"]["port"],
        remote_address=socket["remote"]["address"],
        remote_port=socket["remote"]["port"],
        pids=frozenset(pids),
    )


def _parse_line(line: str) -> tuple[Row, int]:
    """The row of a line, held by nobody yet, and the pid in it."""
    fields = line.split()
    if len(fields) != 12:
        raise ValueError(f"not a line of the truth: {line!r}")
    netns, inode, protocol, family, mapped, state, local, local_port, remote, remote_port, pid, _ = fields
    row = Row(
        netns=int(netns),
        inode=int(inode),
        protocol=protocol,
        family=family,
        mapped=mapped == "1",
        state=state,
        local_address=local,
        local_port=int(local_port),
        remote_address=remote,
        remote_port=int(remote_port),
    )
    return row, int(pid)
