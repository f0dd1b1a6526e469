"""One report: what it selects of a snapshot, and how that is written; it remembers what it showed last."""

from collections.abc import Callable, Iterator
from typing import Final

from nsagent.agent.event_log import EventLog
from nsagent.agent.outputs.report import WrittenReport
from nsagent.agent.pending_events import PendingEvents
from nsagent.config.model import Report, TextfileOutput
from nsagent.errors import NotFound
from nsagent.model.change import ChangeKind, ChangesHead
from nsagent.model.choices import Cmdline, OutputFormat, View
from nsagent.model.named_event import EventsHead
from nsagent.model.snapshot import Snapshot
from nsagent.query.evaluate import take_unknown_for_nothing
from nsagent.query.filter import Filter
from nsagent.query.select import leave_labels, select_containers, select_snapshot, select_view
from nsagent.report.changes import render_changes
from nsagent.report.events import render_events
from nsagent.report.render import OutputOptions, render_answer
from nsagent.scan.diff import diff_selected
from nsagent.scan.follow import follow

CONTENT_TYPES: Final = {
    OutputFormat.JSON: "application/json",
    OutputFormat.JSONL: "application/x-ndjson",
    OutputFormat.YAML: "application/yaml",
    OutputFormat.CSV: "text/csv; charset=utf-8",
    OutputFormat.MARKDOWN: "text/markdown; charset=utf-8",
    OutputFormat.HTML: "text/html; charset=utf-8",
    OutputFormat.PROM: "text/plain; version=0.0.4; charset=utf-8",
}
"""What is no plain text."""

AddCommandLines = Callable[[Snapshot, Cmdline], Snapshot]
"""scan.collect.command_lines: adds those of the owners of rows."""

_OF_CONTAINERS: Final = frozenset((ChangeKind.CONTAINER_COME, ChangeKind.CONTAINER_GONE))
_OF_LISTENERS: Final = frozenset((ChangeKind.NEW_LISTENER, ChangeKind.LISTENER_GONE))
_TELLS: Final = {
    View.CONTAINERS: _OF_CONTAINERS,
    View.LISTENERS: _OF_LISTENERS,
    View.CONNECTIONS: frozenset((ChangeKind.OPENED, ChangeKind.CLOSED, ChangeKind.NEW_PEER)),
    View.SOCKETS: frozenset(ChangeKind) - _OF_CONTAINERS,
}
"""View -> which changes a report of it tells with `diff`."""


def wants_labels(report: Report) -> bool:
    """Whether runtimes are to be asked for labels, for this report to show them or to select by them."""
    return report.labels or "labels" in report.columns or bool(report.select.label)


def make_options(report: Report, format_: OutputFormat) -> OutputOptions:
    """How a report is printed in a format, which may be another one than its own."""
    own = format_ is report.format
    return OutputOptions(
        format=format_,
        columns=report.columns or None if own else None,
        sort_by=report.sort_by if own else (),
        group_by=report.group_by if own or report.view is View.TOP else (),
        limit=report.limit,
    )


def select_report(report: Report, snapshot: Snapshot) -> Snapshot:
    """What a report is about; nothing where what it names is not there now, and no labels that it does not ask for."""
    wanted = take_unknown_for_nothing(report.select.make_filter(), snapshot)
    try:
        selected = _select(report.view, snapshot, wanted)
    except NotFound:
        selected = snapshot._replace(sockets=(), containers=(), netns=(), folded=())
    return selected if report.labels or "labels" in report.columns else leave_labels(selected)


class ReportMaker:
    """Makes one report again and again; keeps what it showed last where it tells what is new."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._before: Snapshot | None = None
        self._events = PendingEvents(report.select.make_filter()) if report.view is View.EVENTS else None

    def see_events(self, snapshot: Snapshot, log: EventLog, head: EventsHead) -> None:
        """Take what has happened up to a pass, if it is a report of events."""
        if self._events is not None:
            self._events.see(snapshot, log, head)

    def make(
        self, snapshot: Snapshot, add_command_lines: AddCommandLines = lambda snapshot, _: snapshot
    ) -> list[WrittenReport]:
        """The report of a snapshot, in its format first, and in that of textfiles if it goes into one.

        Raises Ambiguous for what its selection names, UsageError for what it cannot show.
        """
        report = self.report
        selected = add_command_lines(select_report(report, snapshot), report.cmdline)
        formats = [report.format]
        if any(isinstance(output, TextfileOutput) for output in report.outputs):
            formats.append(OutputFormat.PROM)
        written = [self._write(selected, snapshot, each) for each in dict.fromkeys(formats)]
        if self._tells_changes:
            self._before = follow(self._before, snapshot)
        return written

    def take_over(self, other: "ReportMaker") -> None:
        """Go on where one of this name was, under an earlier config."""
        if self._tells_changes:
            self._before = other._before
        if self.report.select == other.report.select and self._events is not None and other._events is not None:
            self._events = other._events

    @property
    def _tells_changes(self) -> bool:
        return self.report.diff or self.report.view is View.CHANGES

    def _write(self, selected: Snapshot, whole: Snapshot, format_: OutputFormat) -> WrittenReport:
        options = make_options(self.report, format_)
        if self._events is not None and format_ is not OutputFormat.PROM:
            head, events = self._events.take()
            chunks = render_events(events, options, head or EventsHead(whole.host, whole.taken_at))
        elif self._tells_changes and format_ is not OutputFormat.PROM:
            chunks = self._render_changes(whole, options)
        else:
            view = self.report.view
            if format_ is OutputFormat.PROM and view is not View.CONTAINERS:
                view = View.SOCKETS
            chunks = render_answer(selected, view, options, whole=whole)
        # Reports of YAML that follow each other, in a file or on stdout, are documents of their own.
        text = "".join(("---\n" if format_ is OutputFormat.YAML else "", *chunks))
        return WrittenReport(
            self.report.name,
            format_,
            CONTENT_TYPES.get(format_, "text/plain; charset=utf-8"),
            whole.taken_at,
            text.encode("utf-8", "backslashreplace"),
            whole.host,
        )

    def _render_changes(self, after: Snapshot, options: OutputOptions) -> Iterator[str]:
        """Of whole snapshots: what only one of them selects need not have come or gone."""
        before = self._before or after  # The first one has nothing to be compared to: nothing is new.
        head = ChangesHead(after.host, before.taken_at, after.taken_at)
        try:
            changes = diff_selected(before, after, self.report.select.make_filter())
        except NotFound:
            changes = ()
        told = _TELLS.get(self.report.view, frozenset(ChangeKind))
        return render_changes([each for each in changes if each.kind in told], options, head=head)


def _select(view: View, snapshot: Snapshot, wanted: Filter) -> Snapshot:
    if view is View.CONTAINERS:
        return select_containers(snapshot, wanted)
    return select_view(select_snapshot(snapshot, wanted), view)
