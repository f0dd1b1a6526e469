"""`-o jsonl`: a snapshot as lines: the pass and its netns, each socket with its container, the coverage."""

from collections.abc import Iterator

from nsagent.model.snapshot import Snapshot
from nsagent.report.accept_queues import sum_accept_queues
from nsagent.report.chunks import chunks
from nsagent.report.json_text import dump
from nsagent.report.records import container_record, coverage_record, head_record, netns_record
from nsagent.report.socket_rows import SocketRows


def render_jsonl(snapshot: Snapshot, *, sockets: bool = True, whole: Snapshot | None = None) -> Iterator[str]:
    """The lines in chunks of some hundred, all of them ASCII; every line is one JSON object with a `type`.

    Without `sockets`, as the commands about netns and containers print it, each container has a
    line of its own, of type `container`. `whole` is as for the document.
    """
    queues = sum_accept_queues((whole or snapshot).sockets) if snapshot.containers else {}
    head = head_record(snapshot)
    del head["duration_seconds"]
    yield _line({"type": "snapshot", **head, "netns": [netns_record(netns) for netns in snapshot.netns]})
    if sockets:
        by_id = {container.id: container for container in snapshot.containers}
        rows = SocketRows('"type": "socket", ', by_id, queues, snapshot.command_lines)
        for chunk in rows.chunks(snapshot.sockets):
            yield "\n".join(chunk) + "\n"
    else:
        for containers in chunks(snapshot.containers):
            records = [container_record(each, queues.get(each.id)) for each in containers]
            yield "".join([_line({"type": "container", **record}) for record in records])
    yield _line({"type": "coverage", **coverage_record(snapshot.coverage)})


def _line(record: dict[str, object]) -> str:
    return dump(record) + "\n"
