"""How the agent fares, as text: for `nsagent status` and /v1/status. Pure."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Final, NamedTuple

from nsagent.agent.status import AgentStatus, EventsStatus, OutputStatus, PassStatus, ReportStatus
from nsagent.model.gap import AlikeGaps
from nsagent.model.process_event import EventEngine
from nsagent.report.context import empty_context
from nsagent.report.display import wrap
from nsagent.report.escape import escape
from nsagent.report.gaps import gap_record, tell_reason, tell_subjects
from nsagent.report.json_text import dump
from nsagent.report.layout import Column, text_column
from nsagent.report.text_table import render_text_table
from nsagent.report.times import brief_time

SCHEMA: Final = "nsagent/status/v1"

WIDTH: Final = 80
_INDENT: Final = 10


def render_status(status: AgentStatus, format_: str) -> str:
    """The text of it, with a line end at its end; `format_` is json, yaml or table, which fits 80 columns."""
    if format_ == "table":
        return "".join(_list_lines(status))
    record = {"schema": SCHEMA, **_record(status)}
    if format_ == "yaml":
        from nsagent.report.yaml import render_record

        return render_record(record)
    return f"{dump(record)}\n"


def _record(value: Any) -> Any:
    """Records as plain values, keys in the order of the fields."""
    if isinstance(value, AlikeGaps):
        return gap_record(value)
    if is_dataclass(value):
        return {field.name: _field(field.name, getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_record(each) for each in value]
    return value


def _field(name: str, value: Any) -> Any:
    return dict(value) if name == "runtimes" else _record(value)


def _list_lines(status: AgentStatus) -> Iterator[str]:
    config = status.config
    memory = "" if status.rss_bytes is None else f", {status.rss_bytes / (1 << 20):.0f} MiB"
    yield _line("agent", f"{status.version} on {status.host}, pid {status.pid}{memory}, since {status.started_at}")
    yield _line("config", f"{config.path}, loaded {config.loaded_at}")
    if not config.last_reload_ok:
        yield from _list_problems("the last reload failed:", config.error or "no reason told")
    if status.blind is not None:
        yield _line("not ready", status.blind)
    passes = f"{status.passes} finished, {status.passes_failed} failed, {status.passes_skipped} skipped"
    yield _line("passes", passes)
    if status.pass_error is not None:
        yield _line("", f"the last one failed: {status.pass_error}")
    if status.last_pass is not None:
        yield from _list_of_pass(status.last_pass)
    if status.events is not None:
        yield _line("events", _tell_events(status.events))
    if status.runtimes:
        yield _line("names", ", ".join(f"{name} {'answers' if up else 'does not'}" for name, up in status.runtimes))
    if status.reports:
        yield "\n"
        yield from _list_reports(status.reports)
        yield "\n"
        yield from _list_outputs(status.reports)


def _list_problems(what: str, error: str) -> Iterator[str]:
    """What has failed and why; of several reasons, as a config may have, each on a line of its own."""
    problems = error.splitlines()
    if len(problems) == 1:
        yield _line("", f"{what} {error}")
        return
    yield _line("", what)
    for problem in problems:
        yield _line("", problem)


def _list_of_pass(last: PassStatus) -> Iterator[str]:
    seen = f"{last.sockets} sockets, {last.netns} netns, {last.processes} processes"
    times = f"{last.duration_seconds:.3f} s, {last.cpu_seconds:.3f} s of CPU"
    yield _line("last pass", f"{last.taken_at}, {times}, {last.engine}: {seen}")
    if not last.complete:
        yield _line("", "not complete")
    for gap in last.gaps:
        yield _line("gap", f"{gap.stage}: {tell_subjects(gap)}: {tell_reason(gap)} ({gap.count})")


def _line(name: str, text: str) -> str:
    """A name and its text, on as many lines as it takes."""
    lines = wrap(escape(text), WIDTH - _INDENT)
    return name.ljust(_INDENT) + f"\n{' ' * _INDENT}".join(lines) + "\n"


def _tell_events(events: EventsStatus) -> str:
    """How it is known which processes come and go."""
    if events.engine is EventEngine.POLL:
        return "of processes: by passes alone" + ("" if events.error is None else f", {events.error}")
    lost = "" if not events.gaps else f", {events.gaps} gaps in which at least {events.lost} were lost"
    found = f", {events.found_by_passes} found by passes" if events.found_by_passes else ""
    unknown = f", {events.not_looked_at} too fast to be looked at" if events.not_looked_at else ""
    return f"of processes: {events.events} told by the kernel{lost}{found}{unknown}"


class _Output(NamedTuple):
    report: str
    output: OutputStatus


_REPORT_COLUMNS: Final[tuple[Column[ReportStatus], ...]] = (
    text_column("report", lambda report, _: report.name, free_text=True),
    text_column("next", lambda report, _: brief_time(report.next_at)),
    text_column("last_good", lambda report, _: brief_time(report.last_success_at)),
    text_column("runs", lambda report, _: str(report.runs)),
    text_column("failed", lambda report, _: str(report.failed)),
    text_column("skipped", lambda report, _: str(report.skipped)),
)

_OUTPUT_COLUMNS: Final[tuple[Column[_Output], ...]] = (
    text_column("report", lambda row, _: row.report, free_text=True),
    text_column("output", lambda row, _: row.output.output, free_text=True),
    text_column("written", lambda row, _: str(row.output.written)),
    text_column("failed", lambda row, _: str(row.output.failed)),
    text_column("dropped", lambda row, _: str(row.output.dropped)),
    text_column("spooled", lambda row, _: str(row.output.spooled)),
)


def _list_reports(reports: tuple[ReportStatus, ...]) -> Iterator[str]:
    yield from render_text_table(reports, _REPORT_COLUMNS, empty_context(), headers=True, width=WIDTH, colour=False)
    for report in reports:
        if report.quarantined:
            yield _line("", f"{report.name}: failed again and again, and is tried more rarely")
        if report.error is not None:
            yield _line("", f"{report.name}: {report.error}")


def _list_outputs(reports: tuple[ReportStatus, ...]) -> Iterator[str]:
    rows = [_Output(report.name, output) for report in reports for output in report.outputs]
    yield from render_text_table(rows, _OUTPUT_COLUMNS, empty_context(), headers=True, width=WIDTH, colour=False)
    for row in rows:
        if row.output.error is not None:
            yield _line("", f"{row.report}, {row.output.output}: {row.output.error}")
