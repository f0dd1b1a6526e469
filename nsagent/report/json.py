"""`-o json`: a snapshot as one JSON document, one record (netns, container, socket) per line."""

from collections.abc import Iterable, Iterator

from nsagent.model.found import Note
from nsagent.model.snapshot import Snapshot
from nsagent.report.accept_queues import sum_accept_queues
from nsagent.report.chunks import chunks
from nsagent.report.json_text import dump
from nsagent.report.records import container_record, coverage_record, head_record, netns_record
from nsagent.report.socket_rows import SocketRows


def render_json(
    snapshot: Snapshot, *, sockets: bool = True, whole: Snapshot | None = None, notes: Iterable[Note] | None = None
) -> Iterator[str]:
    """The document in chunks of some hundred lines, all of it ASCII and with a line end at its end.

    Without `sockets` the key is left out, as the commands about netns and containers print it.
    `whole` is the snapshot from which this one was selected: containers are told with all their sockets. With `notes`
    there is a key more, before the coverage.
    """
    queues = sum_accept_queues((whole or snapshot).sockets) if snapshot.containers else {}
    yield f"{dump(head_record(snapshot)).removesuffix('}')},\n"
    yield from _list("netns", chunks(dump(netns_record(netns)) for netns in snapshot.netns))
    yield from _list(
        "containers", chunks(dump(container_record(each, queues.get(each.id))) for each in snapshot.containers)
    )
    if sockets:
        yield from _list("sockets", SocketRows(command_lines=snapshot.command_lines).chunks(snapshot.sockets))
    if notes is not None:
        from nsagent.report.notes import note_records

        yield from _list("notes", chunks(dump(note) for note in note_records(notes, whole or snapshot)))
    yield f'"coverage": {dump(coverage_record(snapshot.coverage))}}}\n'


def _list(key: str, batches: Iterable[list[str]]) -> Iterator[str]:
    yield f'"{key}": ['
    before = "\n"
    for rows in batches:
        yield before + ",\n".join(rows)
        before = ",\n"
    yield "],\n" if before == "\n" else "\n],\n"
