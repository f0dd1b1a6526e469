"""`-o json`: a snapshot as one JSON document, one record (netns, container, socket) per line."""

from collections.abc import Iterable, Iterator
from typing import Final

from nsagent.model.snapshot import Snapshot
from nsagent.report.accept_queues import sum_accept_queues
from nsagent.report.chunks import chunks
from nsagent.report.json_text import dump, quote
from nsagent.report.records import container_record, coverage_record, netns_record
from nsagent.report.socket_rows import SocketRows

SCHEMA: Final = "nsagent/v1"


def render_json(snapshot: Snapshot, *, sockets: bool = True, whole: Snapshot | None = None) -> Iterator[str]:
    """The document in chunks of some hundred lines, all of it ASCII and with a line end at its end.

    Without `sockets` the key is left out, as the commands about netns and containers print it.
    `whole` is the snapshot from which this one was selected: containers are told with all their sockets.
    """
    queues = sum_accept_queues((whole or snapshot).sockets) if snapshot.containers else {}
    yield (
        f'{{"schema": {quote(SCHEMA)}, "host": {quote(snapshot.host)}, "boot_id": {quote(snapshot.boot_id)}'
        f', "taken_at": {quote(snapshot.taken_at)}, "duration_seconds": {dump(round(snapshot.duration_seconds, 6))}'
        f', "engine": {quote(snapshot.engine)},\n'
    )
    yield from _list("netns", chunks(dump(netns_record(netns)) for netns in snapshot.netns))
    yield from _list(
        "containers", chunks(dump(container_record(each, queues.get(each.id))) for each in snapshot.containers)
    )
    if sockets:
        yield from _list("sockets", SocketRows().chunks(snapshot.sockets))
    yield f'"coverage": {dump(coverage_record(snapshot.coverage))}}}\n'


def _list(key: str, batches: Iterable[list[str]]) -> Iterator[str]:
    yield f'"{key}": ['
    before = "\n"
    for rows in batches:
        yield before + ",\n".join(rows)
        before = ",\n"
    yield "],\n" if before == "\n" else "\n],\n"
