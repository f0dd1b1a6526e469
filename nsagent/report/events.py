"""Events as lines of JSON: what `nsagent watch -o jsonl` prints, and reports about events."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from nsagent.model.choices import OutputFormat, View
from nsagent.model.named_event import EventsHead, EventsOf, LostEvents, NamedEvent, NamedProcessEvent
from nsagent.model.socket_event import SocketEvent
from nsagent.report.changes import change_record, render_list_json
from nsagent.report.json_text import dump
from nsagent.report.options import OutputOptions
from nsagent.report.render import check_options
from nsagent.report.times import tell_time

SCHEMA: Final = "nsagent/events/v1"

Record = dict[str, object]


def head_record(head: EventsHead) -> Record:
    """Of what the events are, and how they are known: `sockets.every_seconds` apart passes are compared."""
    return {
        "schema": SCHEMA,
        "host": head.host,
        "from": head.since,
        "to": head.until,
        "missed": head.missed,
        "processes": None if head.processes is None else {"engine": head.processes, "reason": head.process_reason},
        "sockets": None
        if head.sockets_seconds is None
        else {
            "engines": head.sockets,
            "every_seconds": head.sockets_seconds,
            "reason": head.socket_reason,
        },
    }


def event_record(event: NamedEvent) -> Record:
    """One event, its keys in their published order."""
    if isinstance(event, NamedProcessEvent):
        return _process_record(event)
    if isinstance(event, LostEvents):
        return {"type": "lost", "time": tell_time(event.at_seconds), "of": event.of, "count": event.number}
    return _socket_record(event)


def render_events(events: Iterable[NamedEvent], options: OutputOptions, head: EventsHead) -> Iterator[str]:
    """The text of events that are there already; raises UsageError as render.check_options does."""
    check_options(View.EVENTS, options)
    if options.sort_by:
        from nsagent.report.events_columns import sort_events

        events = sort_events(tuple(events), options.sort_by)
    match options.format:
        case OutputFormat.JSONL:
            lines = JsonLines()
            return chain((lines.render_head(head),), map(lines.render, events))
        case OutputFormat.JSON:
            return render_list_json(dump(head_record(head)), "events", map(_dump, events))
        case OutputFormat.YAML:
            from nsagent.report.yaml import render_document

            return render_document(dump(head_record(head)), "events", map(_dump, events))
        case _:
            from nsagent.report.events_columns import lay_out_events

            return lay_out_events(events, options, head)


def _dump(event: NamedEvent) -> str:
    return dump(event_record(event))


class JsonLines:
    """Each event as an object in a line of its own, all of it ASCII; the first line, of type `events`, is the head."""

    def render_head(self, head: EventsHead) -> str:
        """The first line."""
        return dump({"type": "events", **head_record(head)}) + "\n"

    def render(self, event: NamedEvent) -> str:
        """The line of one event."""
        return _dump(event) + "\n"


def _process_record(event: NamedProcessEvent) -> Record:
    told, who, pod = event.event, event.identity, event.pod
    return {
        "type": EventsOf.PROCESS,
        "event": told.kind,
        "time": tell_time(event.at_seconds),
        "pid": event.pid,
        "parent": event.parent,
        "start_ticks": who.start_ticks,
        "comm": who.comm,
        "uid": who.uid,
        "netns": None if who.netns is None else abs(who.netns),
        "container_id": who.container_id,
        "container_name": event.container_name,
        "image": event.image,
        "pod": None if pod is None else {"name": pod.name, "namespace": pod.kube_namespace, "uid": pod.uid},
        "unit": who.unit,
        "status": None if told.status is None else told.status._asdict(),
        "engine": told.found_by,
        "identity": who.source,
    }


def _socket_record(event: SocketEvent) -> Record:
    changed = change_record(event.change)
    return {
        "type": EventsOf.SOCKET,
        "event": event.kind,
        "time": changed["at"],
        **{key: value for key, value in changed.items() if key != "at"},
        "final": None if event.final is None else event.final._asdict(),
        "lifetime_seconds": event.lifetime_seconds,
        "engine": event.source,
        "identity": event.owner_source,
    }
