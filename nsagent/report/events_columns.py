"""The columns of events, and lines of them that need not wait for the next one."""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from nsagent.model.change import Change, ChangedSocket, Holders, make_row
from nsagent.model.container import Pod
from nsagent.model.ids import ContainerId, tell_netns
from nsagent.model.named_event import EventsHead, EventsOf, LostEvents, NamedEvent, NamedProcessEvent
from nsagent.model.net import SocketState
from nsagent.model.process_event import ExitStatus
from nsagent.model.socket_event import SocketEvent
from nsagent.report.addresses import local_text, remote_text
from nsagent.report.changes_columns import join_brief, join_least
from nsagent.report.context import Context, empty_context, pod_text, short_id
from nsagent.report.display import pad
from nsagent.report.escape import escape
from nsagent.report.fit import GAP
from nsagent.report.layout import ABSENT, Column, number_column, pick_columns, sort_rows, text_column
from nsagent.report.options import OutputOptions
from nsagent.report.row_list import UsualColumns, lay_out_rows
from nsagent.report.summary import Summary
from nsagent.report.times import tell_time

_WIDTHS: Final = {
    "time": 12,
    "event": 6,
    "pid": 7,
    "command": 15,
    "what": 43,
    "container": 20,
    "pod": 24,
    "proto": 7,
    "local": 21,
    "remote": 21,
}
"""Character cells of a column in a line that is printed before the next one is known."""
_WIDTH: Final = 10


class TableLines:
    """A table that never ends: every line has its columns where they are usually wide enough for."""

    def __init__(self, columns: Sequence[str] | None, *, headers: bool = True) -> None:
        """Raises UsageError for a name that is no column; None for the usual ones."""
        self._columns = pick_columns(EVENT_COLUMNS, EVENTS_DEFAULT if columns is None else columns)
        self._headers = headers
        self._context = empty_context()

    def render_head(self, _: EventsHead) -> str:
        """What stands above the lines, "" where no headers are wanted."""
        return self._lay_out([column.header for column in self._columns]) if self._headers else ""

    def render(self, event: NamedEvent) -> str:
        """The line of one event."""
        cells = (escape((column.least or column.cell)(event, self._context)) for column in self._columns)
        return self._lay_out([cell or ABSENT for cell in cells])

    def _lay_out(self, cells: Sequence[str]) -> str:
        widths = (_WIDTHS.get(column.name, _WIDTH) for column in self._columns)
        return GAP.join(pad(cell, width) for cell, width in zip(cells, widths, strict=True)).rstrip() + "\n"


def lay_out_events(events: Iterable[NamedEvent], options: OutputOptions, head: EventsHead) -> Iterator[str]:
    """Events that are there already, in a format that has columns."""
    usual = UsualColumns(EVENTS_DEFAULT, EVENTS_WIDE)
    return lay_out_rows(events, EVENT_COLUMNS, usual, options, lambda rows: _summarize(rows, head))


def sort_events(events: Sequence[NamedEvent], column_names: Sequence[str]) -> tuple[NamedEvent, ...]:
    """The events in the order of these columns; see columns.sort_sockets."""
    return sort_rows(events, EVENT_COLUMNS, column_names, empty_context())


def _summarize(events: Sequence[NamedEvent], head: EventsHead) -> Summary:
    counts = ((len(events), "event" if len(events) == 1 else "events"),)
    reasons = [reason for reason in (head.process_reason, head.socket_reason) if reason is not None]
    return Summary(
        "Events", head.host, head.until or "", counts, f"Since {head.since}.", not reasons, tuple(map(escape, reasons))
    )


def _at(event: NamedEvent) -> str:
    return event.change.at if isinstance(event, SocketEvent) else tell_time(event.at_seconds)


def _event(event: NamedEvent) -> str:
    if isinstance(event, LostEvents):
        return "lost"
    return event.kind if isinstance(event, SocketEvent) else event.event.kind


def _type(event: NamedEvent) -> str:
    if isinstance(event, LostEvents):
        return event.of
    return EventsOf.SOCKET if isinstance(event, SocketEvent) else EventsOf.PROCESS


def _of_socket(value: Callable[[ChangedSocket], str]) -> Callable[[NamedEvent, Context], str]:
    """What `value` gives of a socket, "" of all else."""

    def cell(event: NamedEvent, _: Context) -> str:
        socket = event.change.socket if isinstance(event, SocketEvent) else None
        return "" if socket is None else value(socket)

    return cell


def _of_process(value: Callable[[NamedProcessEvent], Any]) -> Callable[[NamedEvent, Context], Any]:
    """What `value` gives of an event of a process, None of all else."""
    return lambda event, _: value(event) if isinstance(event, NamedProcessEvent) else None


def _local(socket: ChangedSocket) -> str:
    return local_text(make_row(socket), socket.interface)


def _remote(socket: ChangedSocket) -> str:
    return remote_text(make_row(socket))


def _pids(event: NamedEvent) -> list[str]:
    if isinstance(event, SocketEvent):
        return [str(pid) for pid, _, _ in _list_holders(event.change)]
    return [str(event.pid)] if isinstance(event, NamedProcessEvent) else []


def _comms(event: NamedEvent) -> list[str]:
    if isinstance(event, SocketEvent):
        return [comm for _, _, comm in _list_holders(event.change)]
    return [event.identity.comm or ""] if isinstance(event, NamedProcessEvent) else []


def _state_before(event: NamedEvent) -> str:
    return (event.change.state_before or "") if isinstance(event, SocketEvent) else ""


def _list_holders(change: Change) -> Holders:
    return () if change.socket is None else change.socket.holders


def _what(event: NamedEvent, _: Context) -> str:
    """What a socket connects, how a process ended or whose child it is, or how many events were lost.

    A socket in another state is told with that, and with the one before.
    """
    if isinstance(event, LostEvents):
        return f"{event.number or 'some'} events of {'processes' if event.of is EventsOf.PROCESS else 'sockets'}"
    if isinstance(event, NamedProcessEvent):
        if event.parent is not None:
            return f"child of {event.parent}"
        return "" if event.event.status is None else _tell_status(event.event.status)
    socket, state_before = event.change.socket, event.change.state_before
    if socket is None:
        return ""
    ends = _local(socket)
    if socket.state is SocketState.LISTEN:
        ends = f"listen {ends}"
    elif socket.remote.port:
        ends = f"{ends} > {_remote(socket)}"
    if state_before is not None:
        ends = f"{socket.state} {ends}, was {state_before}"
    return f"{socket.protocol} {ends}"


def _tell_status(status: ExitStatus) -> str:
    """How wait(2) tells it; a signal by its name, where Python has one for it."""
    if not status.signal:
        return f"code {status.code}"
    try:
        name = signal.Signals(status.signal).name
    except ValueError:
        name = str(status.signal)
    return f"signal {name}{', core dumped' if status.core_dumped else ''}"


def _container(event: NamedEvent, _: Context) -> str:
    if isinstance(event, LostEvents):
        return ""
    name: str | None
    id_: ContainerId | None
    if isinstance(event, SocketEvent):
        name, id_ = event.change.container_name, event.change.container_id
    else:
        name, id_ = event.container_name, event.identity.container_id
    return name or ("" if id_ is None else short_id(id_))


def _pod(event: NamedEvent, _: Context) -> str:
    if isinstance(event, LostEvents):
        return ""
    pod: Pod | None = event.change.pod if isinstance(event, SocketEvent) else event.pod
    return pod_text(pod)


def _unit(event: NamedEvent, _: Context) -> str:
    if isinstance(event, LostEvents):
        return ""
    return (event.change.unit if isinstance(event, SocketEvent) else event.identity.unit) or ""


def _netns(event: NamedEvent, context: Context) -> str:
    if isinstance(event, NamedProcessEvent):
        return "" if event.identity.netns is None else tell_netns(event.identity.netns)
    return _of_socket(lambda socket: socket.netns_name or tell_netns(socket.netns))(event, context)


def _by(event: NamedEvent, _: Context) -> str:
    if isinstance(event, LostEvents):
        return ""
    return event.source if isinstance(event, SocketEvent) else event.event.found_by


def _identity(event: NamedEvent, _: Context) -> str:
    if isinstance(event, LostEvents):
        return ""
    return event.owner_source if isinstance(event, SocketEvent) else event.identity.source


EVENT_COLUMNS: Final[tuple[Column[NamedEvent], ...]] = (
    text_column("time", lambda event, _: _at(event), least=lambda event, _: _at(event)[11:23]),
    text_column("event", lambda event, _: _event(event)),
    text_column(
        "pid",
        lambda event, _: ",".join(_pids(event)),
        brief=lambda event, _: join_brief(_pids(event)),
        least=lambda event, _: join_least(_pids(event)),
    ),
    text_column(
        "command",
        lambda event, _: ",".join(_comms(event)),
        free_text=True,
        brief=lambda event, _: join_brief(_comms(event)),
        least=lambda event, _: join_least(_comms(event)),
    ),
    text_column("what", _what, free_text=True),
    text_column("container", _container, free_text=True),
    text_column("pod", _pod, free_text=True, spare=1),
    text_column("by", _by),
    text_column("type", lambda event, _: _type(event)),
    text_column("proto", _of_socket(lambda socket: socket.protocol)),
    text_column("local", _of_socket(_local)),
    text_column("remote", _of_socket(_remote)),
    text_column("state", _of_socket(lambda socket: socket.state)),
    text_column("state_before", lambda event, _: _state_before(event)),
    text_column("netns", _netns, free_text=True),
    number_column("parent", _of_process(lambda event: event.parent)),
    number_column("code", _of_process(lambda event: event.event.status and event.event.status.code)),
    number_column("signal", _of_process(lambda event: event.event.status and event.event.status.signal)),
    text_column("unit", _unit, free_text=True),
    text_column("identity", _identity),
)  # fmt: skip
"""Every column of an event."""

EVENTS_WIDE: Final = tuple(column.name for column in EVENT_COLUMNS)
"""What `-o wide` and `-o csv` show."""

EVENTS_DEFAULT: Final = ("time", "event", "pid", "command", "what", "container", "pod", "by")
"""What `nsagent watch` prints, and a table of events has."""
