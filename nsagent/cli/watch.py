"""`nsagent watch`: processes and sockets as they come and go, a line each."""

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from nsagent.cli.completion import list_column_names
from nsagent.cli.numbers import whole_number
from nsagent.cli.options import (
    Debug,
    Engine,
    Host,
    HowFar,
    NoHeaders,
    Source,
    Texts,
    WhichContainers,
    output_option,
    settle_output,
)
from nsagent.cli.scan import WhichRows
from nsagent.cli.tell import tell
from nsagent.errors import EXIT_INTERRUPTED, NotFound, ProcessGone, UsageError
from nsagent.model.choices import EngineName, OwnersWanted

if TYPE_CHECKING:
    from nsagent.agent.processes import Processes
    from nsagent.cli.selection import Selection
    from nsagent.events.process_events import ProcessEvents
    from nsagent.events.socket_events import SocketEvents
    from nsagent.model.named_event import EventsHead
    from nsagent.model.snapshot import Snapshot
    from nsagent.report.events import JsonLines
    from nsagent.report.events_columns import TableLines
    from nsagent.scan.request import SnapshotRequest

    Lines = TableLines | JsonLines

_LEAST_SECONDS: Final = 0.1
_POLL_SECONDS: Final = 1.0
"""How far apart looks at /proc are at most, where the kernel tells nothing."""
_LOOK_SECONDS: Final = 1.0
"""How often it is seen whether anybody reads still, where nothing is to be told."""


class WhichEvents(NamedTuple):
    """What is told of, and for how long."""

    processes: Annotated[
        bool, typer.Option("--processes", help="Only processes: when they fork, execute a program, and exit.")
    ] = False
    sockets: Annotated[
        bool, typer.Option("--sockets", help="Only sockets: when they open, close, and change holders or states.")
    ] = False
    flows: Annotated[
        bool,
        typer.Option("--flows", help="Also flows that pass through this host without a socket on it, by conntrack."),
    ] = False
    follow: Annotated[
        bool, typer.Option("--follow", help="With --pid: its children too, and theirs, also those to come.")
    ] = False
    interval: Annotated[
        str, typer.Option("--interval", metavar="DURATION", help="How far apart passes are that are compared.")
    ] = "2s"
    duration: Annotated[
        str | None, typer.Option("--duration", metavar="DURATION", help="End after this time, as 30s or 5m.")
    ] = None
    most: Annotated[
        int | None,
        typer.Option("--count", metavar="N", parser=whole_number("--count"), help="End after so many events."),
    ] = None


class PrintingEvents(NamedTuple):
    """How events are printed."""

    output: Annotated[str, output_option("table", "jsonl")] = "table"
    columns: Annotated[
        Texts,
        typer.Option("--columns", metavar="COLUMN", help="Columns of the table.", autocompletion=list_column_names),
    ] = None
    no_headers: NoHeaders = False
    debug: Debug = False

    def make_lines(self, context: typer.Context) -> "Lines":
        """How each event is printed; raises UsageError."""
        from nsagent.cli.columns import split_columns
        from nsagent.report.events import JsonLines
        from nsagent.report.events_columns import TableLines

        columns = split_columns(self.columns, "--columns") or None
        table = TableLines(columns, headers=not self.no_headers)
        if settle_output(context, self.output, "table", "jsonl") == "table":
            return table
        if columns is not None:
            raise UsageError("--columns: jsonl has none; they are of table")
        return JsonLines()


def watch(
    *,
    containers: WhichContainers,
    sockets: WhichRows,
    events: WhichEvents,
    engine: Engine = EngineName.AUTO,
    host: Host,
    printing: PrintingEvents,
    context: typer.Context,
) -> None:
    """Processes and sockets as they come and go, a line each, until Ctrl-C.

    Processes are told of by the kernel as it happens; where it may not tell, /proc is looked at again and again.
    Sockets are told of by what differs between one pass and the next.
    """
    from nsagent.cli.durations import parse_seconds
    from nsagent.cli.read import interruptible
    from nsagent.cli.selection import Selection
    from nsagent.cli.write import leave_output, write_answer

    if events.processes and events.sockets:
        raise UsageError("--processes, --sockets: expected one of them; without, both are told")
    wanted = sockets.narrow(containers.make_filter())
    if events.follow and not wanted.pids:
        raise UsageError("--follow: expected --pid, whose children are to be followed")
    asked = _Asked(
        request=replace(
            host.make_request(),
            engine=engine,
            tables=HowFar().make_wanted(wanted.named_protocols)._replace(own_addresses=True),
            only=wanted,
            owners=OwnersWanted.CONTAINER if events.processes else OwnersWanted.PID,
        ),
        host=host,
        events=events,
        every_seconds=parse_seconds(events.interval, "--interval", _LEAST_SECONDS),
        seconds=None if events.duration is None else parse_seconds(events.duration, "--duration", 0),
    )
    selection = Selection(wanted, processes=events.processes, sockets=events.sockets, follow=events.follow)
    show = printing.make_lines(context)
    try:
        with interruptible() as stop:
            write_answer(_watch(asked, selection, show, stop), at_once=True)
    except KeyboardInterrupt as err:
        leave_output()
        raise typer.Exit(EXIT_INTERRUPTED) from err


class _Asked(NamedTuple):
    """What is asked for, as values."""

    request: "SnapshotRequest"
    host: Host
    events: WhichEvents
    every_seconds: float
    seconds: float | None
    """After which it ends."""


def _watch(asked: _Asked, selection: "Selection", show: "Lines", stop: threading.Event) -> Iterator[str]:
    """The lines of what happens, in pieces that are complete; raises NotFound for what nobody knows at the start."""
    from nsagent.agent.processes import Processes
    from nsagent.cli.answer import check_named, explained, tell_unmet
    from nsagent.cli.watching import Watching
    from nsagent.cli.write import has_reader, write_coverage

    lodging = Processes()
    processes = _open_processes(asked, selection) if selection.needs_processes else None
    sockets = _open_sockets(asked, lodging) if selection.sockets_wanted else None
    with Watching(asked.request, asked.host, asked.every_seconds, processes, sockets, lodging) as watching:
        snapshot = watching.begin()
        tell_unmet(asked.request.only, snapshot)
        source = Source(asked.host)
        with explained(source):
            selection.learn(snapshot)
            check_named(snapshot, asked.request, source, ())
        write_coverage(snapshot, strict=False)
        head = _make_head(asked, snapshot, processes if selection.processes_wanted else None, sockets)
        _tell_limits(head)
        yield show.render_head(head)
        now = time.monotonic()
        until = math.inf if asked.seconds is None else now + asked.seconds
        left = asked.events.most
        while left != 0 and now < until and not selection.is_over and has_reader():
            told = watching.take(min(_LOOK_SECONDS, until - now))
            if stop.is_set():
                raise KeyboardInterrupt
            chosen = [] if told is None else selection.choose(told)[:left]
            left = None if left is None else left - len(chosen)
            if chosen:
                yield "".join(map(show.render, chosen))
            now = time.monotonic()


def _open_processes(asked: _Asked, selection: "Selection") -> "ProcessEvents":
    """The events of the processes that are asked for; raises NotFound for one that is not there, and NotRead."""
    from nsagent.events.process_events import ProcessEvents
    from nsagent.model.named_event import LIFE

    events = ProcessEvents(proc_root=asked.request.proc_root, poll_seconds=min(asked.every_seconds, _POLL_SECONDS))
    try:
        for pid in selection.pids:
            events.watch(pid, LIFE, follow=asked.events.follow)
    except ProcessGone as err:
        events.close()
        raise NotFound("process", str(pid)) from err
    if not selection.pids:
        events.watch_all(LIFE)
    selection.follow(events.list_watched())
    return events


def _open_sockets(asked: _Asked, lodging: "Processes") -> "SocketEvents":
    from nsagent.events.socket_events import SocketEvents
    from nsagent.kernel.socket_notices import open_socket_notices

    connect = partial(open_socket_notices, flows=asked.events.flows)
    return SocketEvents(proc_root=asked.request.proc_root, connect=connect, list_lodgers=lodging.list_lodgers)


def _make_head(
    asked: _Asked, snapshot: "Snapshot", processes: "ProcessEvents | None", sockets: "SocketEvents | None"
) -> "EventsHead":
    from nsagent.model.named_event import EventsHead
    from nsagent.model.socket_event import SocketEventSource

    hindered = None if sockets is None else sockets.failure or sockets.limit or sockets.flows_failure
    engines = [] if sockets is None else [SocketEventSource.DIFF]
    if sockets is not None and sockets.failure is None:
        engines.append(SocketEventSource.DESTROY)
        engines += [SocketEventSource.CONNTRACK] if asked.events.flows and sockets.flows_failure is None else []
    return EventsHead(
        snapshot.host,
        snapshot.taken_at,
        processes=None if processes is None else processes.engine,
        process_reason=None if processes is None or processes.failure is None else str(processes.failure),
        sockets_seconds=None if sockets is None else asked.every_seconds,
        sockets=tuple(engines),
        socket_reason=None if hindered is None else str(hindered),
    )


def _tell_limits(head: "EventsHead") -> None:
    """Say on stderr what the kernel does not tell, and what that means."""
    if head.process_reason is not None:
        tell(f"nsagent: processes: {head.process_reason}: what ends between two looks at /proc is not seen")
    if head.socket_reason is not None:
        where = " there" if len(head.sockets) > 1 else ""
        tell(f"nsagent: sockets: {head.socket_reason}: what opens and closes between two passes is not seen{where}")
