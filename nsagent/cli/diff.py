"""`nsagent diff A [B]`: what has changed between two captures, or between one and now."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from nsagent.cli.completion import list_change_kinds
from nsagent.cli.options import Engine, Host, Printing, Source, Texts, WhichContainers, WhichSockets
from nsagent.cli.tell import tell
from nsagent.errors import EXIT_FOUND, EXIT_PARTIAL, UsageError
from nsagent.model.choices import EngineName, View

if TYPE_CHECKING:
    from nsagent.model.change import Change
    from nsagent.model.snapshot import Snapshot
    from nsagent.query.filter import Filter


FailOn = Annotated[
    Texts,
    typer.Option(
        "--fail-on",
        metavar="CHANGE",
        help="Exit with 5 if there is such a change: new_listener, listener_gone, new_peer, holder_changed, "
        "state_changed, opened, closed, container_come or container_gone.",
        autocompletion=list_change_kinds,
    ),
]


class WhichChanges(NamedTuple):
    """Which sockets the changes are about."""

    options: WhichSockets = WhichSockets()
    filter: Annotated[
        str | None,
        typer.Option("--filter", metavar="EXPRESSION", help="Only what meets it, as the expression of nsagent scan."),
    ] = None

    def narrow(self, chosen: "Filter") -> "Filter":
        """The filter with these options too; raises UsageError."""
        wanted = self.options.narrow(chosen)
        if self.filter is None:
            return wanted
        from nsagent.cli.expression import read_expression

        return wanted._replace(expression=read_expression([self.filter]))


def diff(
    *,
    before: Annotated[Path, typer.Argument(readable=False, metavar="A", help="A capture: what was; - for stdin.")],
    after: Annotated[
        Path | None, typer.Argument(readable=False, metavar="[B]", help="A later one; without it, this host now.")
    ] = None,
    fail_on: FailOn = None,
    containers: WhichContainers,
    sockets: WhichChanges,
    engine: Engine = EngineName.AUTO,
    host: Host,
    printing: Printing,
) -> None:
    """What has come, gone and changed between two captures of a host, or between one and now.

    A listener is the same as long as it is in the same place, whichever process it is by now. What one of
    the two could not see is neither new nor gone.
    """
    from nsagent.cli.answer import read_snapshot, tell_unmet
    from nsagent.cli.changes import parse_kinds
    from nsagent.cli.write import write_answer
    from nsagent.model.change import ChangesHead
    from nsagent.report.changes import render_changes

    _check_stdin(before, after)
    kinds = parse_kinds(fail_on, "--fail-on")
    output = printing.make_options(View.CHANGES)
    wanted = sockets.narrow(containers.make_filter())
    request = host.make_request()
    request = replace(request, engine=engine, tables=request.tables._replace(protocols=wanted.named_protocols))
    (was, was_lacks, *_), (now, now_lacks, *_) = (
        read_snapshot(replace(request, from_file=file), Source(host), labels_wanted=bool(wanted.labels))
        for file in (before, after)
    )
    tell_unmet(wanted, was, now)
    changes = _diff(was, now, wanted)
    write_answer(render_changes(changes, output, head=ChangesHead(now.host, was.taken_at, now.taken_at)))
    _tell_notes(was, now, str(before), "now" if after is None else str(after))
    if any(change.kind in kinds for change in changes):
        raise typer.Exit(EXIT_FOUND)
    partial = was_lacks or now_lacks or not (was.coverage.complete and now.coverage.complete)
    raise typer.Exit(EXIT_PARTIAL if printing.strict and partial else 0)


def _diff(was: "Snapshot", now: "Snapshot", wanted: "Filter") -> "Sequence[Change]":
    """The changes of what is selected; raises NotFound for a name that neither side knows, and Ambiguous."""
    from nsagent.query.evaluate import check_names
    from nsagent.scan.diff import diff_selected

    if wanted.expression is not None:
        check_names(wanted.expression, (was, now))
    return diff_selected(was, now, wanted)


def _check_stdin(before: Path, after: Path | None) -> None:
    from nsagent.scan.capture_file import STDIO

    if before == after == STDIO:
        raise UsageError("A, B: only one of them can be read from stdin")


def _tell_notes(was: "Snapshot", now: "Snapshot", first: str, second: str) -> None:
    for line in _list_notes(was, now, first, second):
        tell(f"nsagent: {line}")


def _list_notes(was: "Snapshot", now: "Snapshot", first: str, second: str) -> Iterator[str]:
    """What makes the two hard to compare, and what each could not see."""
    from nsagent.report.coverage import coverage_lines
    from nsagent.report.escape import escape
    from nsagent.scan.same import is_same_boot

    if was.host != now.host:
        yield f"{first} is of host {escape(was.host)}, {second} of host {escape(now.host)}"
    if was.taken_at > now.taken_at:
        yield f"{first} is later than {second}: {was.taken_at}, {now.taken_at}"
    if not is_same_boot(was, now):
        yield f"{first} and {second} are of two boots: no socket is the same, listeners are told by where they are"
    for name, snapshot in ((first, was), (second, now)):
        yield from (f"{name}: {line}" for line in coverage_lines(snapshot))
