"""Changes in the format asked for: what `nsagent diff` and `nsagent history` print, and reports about changes."""

from collections.abc import Iterable, Iterator
from typing import Final

from nsagent.model.change import Change, ChangedSocket, ChangesHead, Holders
from nsagent.model.choices import OutputFormat, View
from nsagent.report.chunks import chunks
from nsagent.report.json_text import dump
from nsagent.report.options import OutputOptions
from nsagent.report.records import endpoint_record
from nsagent.report.render import check_options

SCHEMA: Final = "nsagent/changes/v1"

Record = dict[str, object]


def render_changes(
    changes: Iterable[Change], options: OutputOptions, *, head: ChangesHead, timed: bool = False
) -> Iterator[str]:
    """The text in chunks of some hundred changes; only a table, and what is sorted, needs all at once.

    `timed`: they are of several times, which a table tells too.
    Raises UsageError as render.check_options does.
    """
    check_options(View.CHANGES, options)
    if options.sort_by:
        from nsagent.report.changes_columns import sort_changes

        changes = sort_changes(tuple(changes), options.sort_by)
    match options.format:
        case OutputFormat.JSONL:
            return _render_jsonl(changes, head)
        case OutputFormat.JSON:
            return render_list_json(dump(_head_record(head)), "changes", _dump_each(changes))
        case OutputFormat.YAML:
            from nsagent.report.yaml import render_document

            return render_document(dump(_head_record(head)), "changes", _dump_each(changes))
        case _:
            from nsagent.report.changes_columns import lay_out_changes

            return lay_out_changes(changes, options, head, timed=timed)


def change_record(change: Change) -> Record:
    """One change, its keys in their published order."""
    pod = change.pod
    return {
        "at": change.at,
        "kind": change.kind,
        "socket": None if change.socket is None else _socket_record(change.socket),
        "container_id": change.container_id,
        "container_name": change.container_name,
        "image": change.image,
        "pod": None if pod is None else {"name": pod.name, "namespace": pod.kube_namespace, "uid": pod.uid},
        "unit": change.unit,
        "before": holder_records(change.before),
        "state_before": change.state_before,
    }


def holder_records(holders: Holders) -> list[Record]:
    """Who holds, or held, a socket."""
    return [{"pid": pid, "start_ticks": start_ticks, "comm": comm} for pid, start_ticks, comm in holders]


def _dump_each(changes: Iterable[Change]) -> Iterator[str]:
    return (dump(change_record(change)) for change in changes)


def _socket_record(socket: ChangedSocket) -> Record:
    return {
        "netns": abs(socket.netns) or None,
        "netns_name": socket.netns_name,
        "protocol": socket.protocol,
        "state": socket.state,
        "local": endpoint_record(socket.local),
        "remote": endpoint_record(socket.remote),
        "interface": socket.interface,
        "inode": socket.inode or None,
        "cookie": socket.cookie,
        "uid": socket.uid,
        "v6only": socket.v6only,
        "holders": holder_records(socket.holders),
    }


def _head_record(head: ChangesHead) -> Record:
    return {"schema": SCHEMA, "host": head.host, "from": head.since, "to": head.until}


def _render_jsonl(changes: Iterable[Change], head: ChangesHead) -> Iterator[str]:
    yield dump({"type": "changes", **_head_record(head)}) + "\n"
    for batch in chunks(changes):
        yield "".join([dump({"type": "change", **change_record(change)}) + "\n" for change in batch])


def render_list_json(head: str, name: str, records: Iterable[str]) -> Iterator[str]:
    """An object of JSON with one member more, the list of these records, each of them in a line of its own."""
    yield f'{head.removesuffix("}")},\n"{name}": ['
    before = "\n"
    for batch in chunks(records):
        yield before + ",\n".join(batch)
        before = ",\n"
    yield "]}\n" if before == "\n" else "\n]}\n"
