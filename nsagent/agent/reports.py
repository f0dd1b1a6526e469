"""One report: what it selects of a snapshot, and how that is written; it remembers what it showed last."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from nsagent.agent.outputs.report import WrittenReport
from nsagent.config.model import Report, TextfileOutput
from nsagent.errors import NotFound
from nsagent.model.change import Change
from nsagent.model.choices import OutputFormat, View
from nsagent.model.snapshot import Snapshot
from nsagent.query.filter import Filter
from nsagent.query.select import select_containers, select_snapshot, select_view
from nsagent.report.changes import ChangesHead, render_changes
from nsagent.report.render import OutputOptions, render_answer
from nsagent.scan.diff import diff_snapshots

CONTENT_TYPES: Final = {
    OutputFormat.JSON: "application/json",
    OutputFormat.JSONL: "application/jsonl",
    OutputFormat.YAML: "application/yaml",
    OutputFormat.CSV: "text/csv; charset=utf-8",
    OutputFormat.MARKDOWN: "text/markdown; charset=utf-8",
    OutputFormat.HTML: "text/html; charset=utf-8",
    OutputFormat.PROM: "text/plain; version=0.0.4; charset=utf-8",
}
"""What is no plain text."""


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
    wanted = report.select.make_filter()
    try:
        selected = _select(report.view, snapshot, wanted)
    except NotFound:
        selected = replace(snapshot, sockets=(), containers=(), netns=(), folded=())
    return selected if report.labels or "labels" in report.columns else _leave_labels(selected)


class ReportMaker:
    """Makes one report again and again; keeps what it showed last where it tells what is new."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._before: Snapshot | None = None

    def make(self, snapshot: Snapshot) -> list[WrittenReport]:
        """The report of a snapshot, in its format first, and in that of textfiles if it goes into one.

        Raises Ambiguous for what its selection names, UsageError for what it cannot show.
        """
        report = self.report
        selected = select_report(report, snapshot)
        formats = [report.format]
        if any(isinstance(output, TextfileOutput) for output in report.outputs):
            formats.append(OutputFormat.PROM)
        written = [self._write(selected, snapshot, each) for each in dict.fromkeys(formats)]
        if self._tells_changes:
            self._before = selected
        return written

    def take_over(self, other: "ReportMaker") -> None:
        """Go on where one with the same selection was, under an earlier config."""
        if other.report.select == self.report.select:
            self._before = other._before

    @property
    def _tells_changes(self) -> bool:
        return self.report.diff or self.report.view is View.CHANGES

    def _write(self, selected: Snapshot, whole: Snapshot, format_: OutputFormat) -> WrittenReport:
        options = make_options(self.report, format_)
        if self._tells_changes and format_ is not OutputFormat.PROM:
            chunks = self._render_changes(selected, options)
        else:
            view = View.SOCKETS if format_ is OutputFormat.PROM else self.report.view
            chunks = render_answer(selected, view, options, whole=whole)
        text = "".join(chunks)
        return WrittenReport(
            self.report.name,
            format_,
            CONTENT_TYPES.get(format_, "text/plain; charset=utf-8"),
            whole.taken_at,
            text.encode("utf-8", "backslashreplace"),
            whole.host,
        )

    def _render_changes(self, selected: Snapshot, options: OutputOptions) -> Iterator[str]:
        before = self._before or selected  # The first one has nothing to be compared to: nothing is new.
        changes = [each for each in diff_snapshots(before, selected) if _is_told(self.report.view, each)]
        return render_changes(changes, options, head=make_head(before, selected))


def _is_told(view: View, change: Change) -> bool:
    """Whether a change is one of what the view shows: containers, or sockets, or both."""
    if view is View.CHANGES:
        return True
    return (change.socket is None) is (view is View.CONTAINERS)


def make_head(before: Snapshot, after: Snapshot) -> ChangesHead:
    """Of what the changes between two snapshots are."""
    return ChangesHead(after.host, before.taken_at, after.taken_at)


def _select(view: View, snapshot: Snapshot, wanted: Filter) -> Snapshot:
    if view is View.CONTAINERS:
        return select_containers(snapshot, wanted)
    selected = select_view(select_snapshot(snapshot, wanted), view)
    if view is View.CHANGES:
        # Not only those that have rows: one without comes and goes, too.
        return replace(selected, containers=select_containers(snapshot, wanted).containers)
    return selected


def _leave_labels(snapshot: Snapshot) -> Snapshot:
    """Without labels, which may hold secrets."""
    return replace(
        snapshot,
        containers=tuple(
            replace(one, labels=None, pod=one.pod and replace(one.pod, labels={})) for one in snapshot.containers
        ),
        netns=tuple(
            replace(one, pods=tuple(replace(pod, labels={}) for pod in one.pods)) if one.pods else one
            for one in snapshot.netns
        ),
    )
