"""`-o jsonl`: a snapshot as lines: the pass and its netns, each socket with its container, the coverage."""

from collections.abc import Iterator

from nsagent.model.snapshot import Snapshot
from nsagent.report.chunks import chunks
from nsagent.report.json import SCHEMA
from nsagent.report.json_text import dump
from nsagent.report.records import container_record, coverage_record, netns_record
from nsagent.report.socket_rows import SocketRows


def render_jsonl(snapshot: Snapshot, *, sockets: bool = True) -> Iterator[str]:
    """The lines in chunks of some hundred, all of them ASCII; every line is one JSON object with a `type`.

    Without `sockets`, as the commands about netns and containers print it, each container has a
    line of its own, of type `container`.
    """
    yield _line(
        {
            "type": "snapshot",
            "schema": SCHEMA,
            "host": snapshot.host,
            "boot_id": snapshot.boot_id,
            "taken_at": snapshot.taken_at,
            "engine": snapshot.engine,
            "netns": [netns_record(netns) for netns in snapshot.netns],
        }
    )
    if sockets:
        rows = SocketRows('"type": "socket", ', {container.id: container for container in snapshot.containers})
        for chunk in rows.chunks(snapshot.sockets):
            yield "\n".join(chunk) + "\n"
    else:
        for containers in chunks(snapshot.containers):
            yield "".join([_line({"type": "container", **container_record(each)}) for each in containers])
    yield _line({"type": "coverage", **coverage_record(snapshot.coverage)})


def _line(record: dict[str, object]) -> str:
    return dump(record) + "\n"
