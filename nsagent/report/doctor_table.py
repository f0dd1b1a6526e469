"""What `nsagent doctor` prints: a list for people, and a JSON document of its own schema."""

from collections.abc import Iterator, Sequence
from typing import Final

from nsagent.model.check import Check, CheckState
from nsagent.report.display import wrap
from nsagent.report.escape import escape
from nsagent.report.json_text import dump, quote

SCHEMA: Final = "nsagent/doctor/v1"
WIDTH: Final = 80
"""The character cells of a line: that of a terminal that nobody has made wider."""

_SGR: Final = {
    CheckState.USED: "32",
    CheckState.FAILED: "31",
    CheckState.UNUSED: "2",
    CheckState.ABSENT: "2",
}
_HEADERS: Final = ("STATE", "KIND", "WHAT")


def render_doctor_table(checks: Sequence[Check], *, headers: bool = True, colour: bool = False) -> Iterator[str]:
    """A line for each check, and below it what does not fit there and what would help: nothing is ever shortened.

    What is merely absent has one line together.
    """
    present = [check for check in checks if check.state is not CheckState.ABSENT]
    rows = [(str(check.state), check.kind, _list_lines(check)) for check in present]
    if absent := len(checks) - len(present):
        places = "1 place" if absent == 1 else f"{absent} places"
        rows.append((str(CheckState.ABSENT), "", [f"{places} where no engine is (-o json names them)"]))
    first = max(len(each) for each in (_HEADERS[0], *(state for state, _, _ in rows)))
    second = max(len(each) for each in (_HEADERS[1], *(kind for _, kind, _ in rows)))
    if headers:
        yield _line(_HEADERS[0].ljust(first), _HEADERS[1].ljust(second), _HEADERS[2])
    for state, kind, texts in rows:
        indent = first + second + 4
        lines = [each for text in texts for each in wrap(text, WIDTH - indent)]
        shown = state.ljust(first)
        if colour:
            shown = f"\x1b[{_SGR[CheckState(state)]}m{shown}\x1b[0m"
        yield _line(shown, kind.ljust(second), f"\n{' ' * indent}".join(lines))


def _line(*cells: str) -> str:
    return "  ".join(cells).rstrip() + "\n"


def _list_lines(check: Check) -> list[str]:
    """What there is to say of a check, printable: the subject with what was found, and what would help."""
    parts = [
        None if check.containers is None else f"{check.containers} containers",
        None if check.seconds is None else f"{check.seconds * 1000:.1f} ms",
        check.detail,
    ]
    told = ", ".join(filter(None, parts))
    first = f"{check.subject}: {told}" if told else check.subject
    return [escape(first), *([f"fix: {escape(check.fix)}"] if check.fix else [])]


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
