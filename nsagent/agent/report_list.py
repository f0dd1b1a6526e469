"""The reports of a config as a list: when each is due, what it shows, where it goes, what came of it last. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from nsagent.agent.schedule import Moment, list_times
from nsagent.config.model import Config, HttpOutput, Output, Report, StdoutOutput
from nsagent.config.units import tell_seconds
from nsagent.report.context import Context, empty_context
from nsagent.report.layout import Column, text_column
from nsagent.report.text_table import TellLeftOut, render_text_table
from nsagent.report.times import brief_time, tell_time

_TIMES: Final = 3
"""So many of the next ones are told."""

ReportRecord = Mapping[str, Any]


def list_reports(
    config: Config, host: str, now: Moment, status: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """A plain record for each report; `status` is the document of the running agent."""
    told = {one["name"]: one for one in (status or {}).get("reports", ())}
    return [_make_record(report, host, now, told.get(report.name)) for report in config.reports]


def render_report_list(records: Sequence[ReportRecord], width: int | None, tell_left_out: TellLeftOut) -> Iterator[str]:
    """A table, a line for each report; `width` and `tell_left_out` as for render_text_table."""
    return render_text_table(
        records, _COLUMNS, empty_context(), headers=True, width=width, colour=False, tell_left_out=tell_left_out
    )


def tell_when(report: Report) -> str:
    """As in `every 5m` or `cron 0 6 * * * Europe/Berlin`."""
    if report.every is not None:
        return f"every {tell_seconds(report.every)}"
    return f"cron {report.cron} {report.timezone or 'UTC'}"


def tell_output(output: Output) -> str:
    """As in `file /var/lib/nsagent/listeners.jsonl`."""
    if isinstance(output, StdoutOutput):
        return "stdout"
    if isinstance(output, HttpOutput):
        from nsagent.agent.outputs.http_post import describe_url

        return f"{output.type} {describe_url(output.url)}"
    return f"{output.type} {output.path}"


def _make_record(report: Report, host: str, now: Moment, told: Mapping[str, Any] | None) -> dict[str, Any]:
    last = told or {}
    return {
        "name": report.name,
        "when": tell_when(report),
        "next": [tell_time(each) for each in list_times(report, host, now, _TIMES)],
        "view": report.view,
        "format": report.format,
        "diff": report.diff,
        "outputs": [tell_output(each) for each in report.outputs],
        "runs": last.get("runs"),
        "failed": last.get("failed"),
        "last_success_at": last.get("last_success_at"),
        "error": last.get("error"),
    }


def _tell(
    key: str, *, free_text: bool = False, spare: int = 0, least: Callable[[ReportRecord, Context], str] | None = None
) -> Column[ReportRecord]:
    def cell(record: ReportRecord, _: Context) -> str:
        value = record[key]
        return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)

    return text_column(key, cell, free_text=free_text, spare=spare, least=least)


def _tell_next(record: ReportRecord, _: Context) -> str:
    return str(record["next"][0]) if record["next"] else "never"


def _tell_next_briefly(record: ReportRecord, _: Context) -> str:
    return brief_time(record["next"][0]) if record["next"] else "never"


_COLUMNS: Final = [
    _tell("name", free_text=True),
    _tell("when", free_text=True),
    text_column("next", _tell_next, least=_tell_next_briefly),
    _tell("view", spare=6),
    _tell("format", spare=7),
    _tell("outputs", free_text=True, spare=4),
    _tell("runs", spare=5),
    _tell("failed", spare=2),
    _tell("last_success_at", spare=3, least=lambda record, _: brief_time(record["last_success_at"])),
    _tell("error", free_text=True, spare=1),
]
