"""What every command that answers from a snapshot does: take it, select, print."""

import sys
from collections.abc import Callable

import typer

from nsagent.cli.options import Source
from nsagent.cli.read import read
from nsagent.cli.write import write_answer, write_coverage
from nsagent.model.choices import View
from nsagent.model.snapshot import Snapshot
from nsagent.report.render import OutputOptions, render_answer
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import take_snapshot

Select = Callable[[Snapshot], Snapshot]


def answer(
    view: View, request: SnapshotRequest, source: Source, select: Select, output: OutputOptions, *, strict: bool
) -> None:
    """Answer once; raises typer.Exit with the exit status, and NsagentError for what went wrong."""
    snapshot = read_snapshot(request, source)
    selected = select(snapshot)
    write_answer(render_answer(selected, view, output, whole=snapshot))
    raise typer.Exit(write_coverage(selected, strict=strict))


def read_snapshot(request: SnapshotRequest, source: Source) -> Snapshot:
    """What is asked for; what a capture lacks of it is said on stderr. The facts are let go: they may be large."""
    taken = read(take_snapshot, request, source.host)
    if taken.lacking:
        from nsagent.report.lacking import lacking_lines

        for line in lacking_lines(taken.lacking, str(request.from_file)):
            print(f"nsagent: {line}", file=sys.stderr)
    return taken.snapshot
