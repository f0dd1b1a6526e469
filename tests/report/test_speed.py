"""Writing many rows costs no more than json.dumps of the same rows as dicts, taken in the same run."""

import json
from collections.abc import Callable, Iterable
from statistics import median

import pytest

from nsagent.model.choices import View
from nsagent.model.ids import SocketCookie, SocketInode
from nsagent.model.snapshot import Snapshot
from nsagent.report.json import render_json
from nsagent.report.jsonl import render_jsonl
from nsagent.report.prom import make_families, write_families
from nsagent.report.render import OutputOptions, render_answer
from tests.cpu_time import cpu_seconds
from tests.report.rendered import render_html, render_markdown, render_table

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
    return snapshot._replace(sockets=tuple(sockets))


@pytest.mark.parametrize(
    ("render", "most"),
    [(render_json, 1.5), (render_jsonl, 1.5), (render_table, 2.0), (render_markdown, 2.0), (render_html, 3.0)],
    ids=["json", "jsonl", "table", "markdown", "html"],
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


@pytest.mark.parametrize("render", [render_json, render_jsonl, render_table, render_markdown])
def test_many_rows_come_in_chunks_of_some_hundred(
    snapshot: Snapshot, render: Callable[[Snapshot], Iterable[str]]
) -> None:
    lines = [chunk.count("\n") for chunk in render(many_rows(snapshot))]
    assert max(lines) <= 500
    assert len(lines) < 2 * ROWS / 500


def test_a_page_of_many_rows_comes_in_chunks_of_some_hundred(snapshot: Snapshot) -> None:
    rows = [chunk.count("<tr>") for chunk in render_html(many_rows(snapshot))]
    assert (max(rows), sum(rows)) == (500, 1 + ROWS)


def test_many_series_are_quick_to_write(snapshot: Snapshot) -> None:
    """It is the library that writes them; 5,000 of them take it some 40 ms."""
    families, _ = make_families(many_rows(snapshot), 1000)
    samples = [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]
    assert len(samples) > 1000
    ratios = []
    for _ in range(ROUNDS):
        ours = cpu_seconds(lambda: write_families(families))
        ratios.append(ours / cpu_seconds(lambda: json.dumps(samples)))
    assert median(ratios) <= 8


def test_many_rows_are_quick_to_count(snapshot: Snapshot) -> None:
    many = many_rows(snapshot)
    dicts = json.loads("".join(render_json(many)))["sockets"]
    options = OutputOptions(group_by=("netns", "container", "state"))
    ratios = []
    for _ in range(ROUNDS):
        ours = cpu_seconds(lambda: sum(map(len, render_answer(many, View.TOP, options))))
        ratios.append(ours / cpu_seconds(lambda: json.dumps(dicts)))
    assert median(ratios) <= 1
