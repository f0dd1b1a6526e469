"""Writing many rows costs no more than json.dumps of the same rows as dicts, taken in the same run."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from statistics import median

import pytest

from nsagent.model.ids import SocketCookie, SocketInode
from nsagent.model.snapshot import Snapshot
from nsagent.report.json import render_json
from nsagent.report.jsonl import render_jsonl
from tests.cpu_time import cpu_seconds
from tests.report.rendered import render_table

ROWS = 10_000
ROUNDS = 5


def many_rows(snapshot: Snapshot) -> Snapshot:
    """The sample's sockets over and over, each with its own port, peer, inode and cookie."""
    sample = snapshot.sockets
    sockets = []
    for number in range(ROWS):
        socket = sample[number % len(sample)]
        row = socket.row
        peer = row.remote._replace(address=f"10.{number >> 8}.{number & 255}.1") if row.remote.port else row.remote
        inode = SocketInode(row.inode and number + 1)
        local = row.local._replace(port=number + 1)
        own = row._replace(inode=inode, cookie=SocketCookie(number), local=local, remote=peer)
        sockets.append(socket._replace(row=own))
    return replace(snapshot, sockets=tuple(sockets))


@pytest.mark.parametrize(
    ("render", "most"),
    [(render_json, 1.5), (render_jsonl, 1.5), (render_table, 2.0)],
    ids=["json", "jsonl", "table"],
)
def test_many_rows_are_quick_to_write(
    snapshot: Snapshot, render: Callable[[Snapshot], Iterable[str]], most: float
) -> None:
    many = many_rows(snapshot)
    dicts = json.loads("".join(render_json(many)))["sockets"]
    ratios = []
    for _ in range(ROUNDS):
        ours = cpu_seconds(lambda: sum(map(len, render(many))))
        ratios.append(ours / cpu_seconds(lambda: json.dumps(dicts)))
    assert median(ratios) <= most


@pytest.mark.parametrize("render", [render_json, render_jsonl, render_table])
def test_many_rows_come_in_chunks_of_some_hundred(
    snapshot: Snapshot, render: Callable[[Snapshot], Iterable[str]]
) -> None:
    lines = [chunk.count("\n") for chunk in render(many_rows(snapshot))]
    assert max(lines) <= 500
    assert len(lines) < 2 * ROWS / 500
