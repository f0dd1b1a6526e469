"""Passes by hand, as an agent makes them one after the other, and what a history tells of them."""

from contextlib import closing
from itertools import pairwise
from pathlib import Path

from nsagent.agent.history import History, HistoryReader
from nsagent.agent.history_read import Wanted
from nsagent.model.change import Change
from nsagent.model.container import Container
from nsagent.model.net import Endpoint, SocketState
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.scan.diff import diff_snapshots, list_open
from tests.scan.snapshots import HOST, WEB, container, listener, make_netns, pod, process, snapshot, socket

ALL = Wanted()
WEB_POD = container("web", "a", pod("web-1", "11-22"))


def at(minute: int) -> str:
    day, rest = divmod(minute, 1440)
    return f"2026-01-{1 + day:02}T{rest // 60:02}:{rest % 60:02}:00.000Z"


def connection(number: int) -> OwnedSocket:
    local, remote = Endpoint("10.0.0.1", 10000 + number % 20000), Endpoint("10.0.0.9", 443)
    return socket(SocketState.ESTABLISHED, local, remote, process(20), cookie=1000 + number, inode=1000 + number)


def taken(minute: int, *rows: OwnedSocket, containers: tuple[Container, ...] = (WEB_POD,)) -> Snapshot:
    web = listener(80, process(30, "httpd", container=WEB_POD), netns=WEB)
    return snapshot(
        web, *rows, taken_at=at(minute), containers=containers, netns=[make_netns(HOST, cookie=1), make_netns(WEB)]
    )


def passes(count: int, rows: int = 3) -> list[Snapshot]:
    """One a minute, with so many connections, of which each time one has gone and one has come."""
    return [taken(minute, *map(connection, range(minute, minute + rows))) for minute in range(count)]


def record_all(history: History, snapshots: list[Snapshot]) -> None:
    """As an agent does from its start: the first one has none before it."""
    history.record(snapshots[0], ())
    for before, after in pairwise(snapshots):
        history.record(after, diff_snapshots(before, after))


def told(path: Path, minute: int) -> tuple[str | None, set[object]]:
    """What a history tells of a time, whoever writes to it meanwhile: the run that it is told by, what was open."""
    with closing(HistoryReader.open(path)) as reader:
        folded = reader.fold(at(minute), ALL)
    return folded.as_of, {change.socket for change in folded.open}


def list_changes(path: Path, wanted: Wanted = ALL) -> list[Change]:
    """The changes that a history tells, whoever writes to it meanwhile."""
    with closing(HistoryReader.open(path)) as reader:
        return list(reader.list_changes(wanted))


def shown(snapshot: Snapshot) -> set[object]:
    return {change.socket for change in list_open(snapshot) if change.socket is not None}
