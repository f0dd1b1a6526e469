"""What `nsagent doctor` prints: a table, and a JSON document of its own schema."""

from collections.abc import Iterator, Sequence
from typing import Final

from nsagent.model.check import Check, CheckState
from nsagent.report.context import Context, empty_context
from nsagent.report.json_text import dump, quote
from nsagent.report.layout import Column, text_column
from nsagent.report.text_table import render_text_table

SCHEMA: Final = "nsagent/doctor/v1"

_SGR: Final = {
    CheckState.USED: "32",
    CheckState.FAILED: "31",
    CheckState.UNUSED: "2",
    CheckState.ABSENT: "2",
}


def render_doctor_table(checks: Sequence[Check], *, headers: bool = True, colour: bool = False) -> Iterator[str]:
    """One line per check; see text_table. Nothing is ever shortened: half a fix does not help."""
    # Checks stand for themselves: their cells look nothing up.
    return render_text_table(checks, DOCTOR_COLUMNS, empty_context(), headers=headers, width=None, colour=colour)


def render_doctor_json(checks: Sequence[Check], *, host: str) -> Iterator[str]:
    """The document, one check per line, all of it ASCII and with a line end at its end."""
    yield f'{{"schema": {quote(SCHEMA)}, "host": {quote(host)},\n"checks": [\n'
    yield ",\n".join(dump(check_record(check)) for check in checks)
    yield "\n]}\n"


def check_record(check: Check) -> dict[str, object]:
    """One check as a plain dict, keys in their published order."""
    return {
        "kind": check.kind,
        "subject": check.subject,
        "state": check.state,
        "seconds": None if check.seconds is None else round(check.seconds, 6),
        "containers": check.containers,
        "detail": check.detail,
        "fix": check.fix,
    }


def _milliseconds(check: Check, _: Context) -> str:
    return "" if check.seconds is None else f"{check.seconds * 1000:.1f}"


def _containers(check: Check, _: Context) -> str:
    return "" if check.containers is None else str(check.containers)


DOCTOR_COLUMNS: Final[tuple[Column[Check], ...]] = (
    text_column("kind", lambda check, _: check.kind),
    text_column("subject", lambda check, _: check.subject),
    text_column("state", lambda check, _: check.state, sgr=lambda check: _SGR[check.state]),
    text_column("ms", _milliseconds),
    text_column("containers", _containers),
    text_column("detail", lambda check, _: check.detail or ""),
    text_column("fix", lambda check, _: check.fix or ""),
)
"""Every column, as `-o table` shows them."""
