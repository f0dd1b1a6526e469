"""What every command that answers from a snapshot does: read, attribute, select, print."""

import os
from collections.abc import Callable

import typer

from nsagent.cli.answer import About, OutputOptions, render_answer
from nsagent.cli.read import ReadOptions, read_facts
from nsagent.cli.write import write_answer, write_coverage
from nsagent.errors import Aborted
from nsagent.model.snapshot import Snapshot

Select = Callable[[Snapshot], Snapshot]


def answer(about: About, reading: ReadOptions, output: OutputOptions, select: Select, *, strict: bool) -> None:
    """Answer once; raises typer.Exit with the exit status, and NsagentError for what went wrong."""
    from nsagent.scan.attribute import attribute

    try:
        snapshot = attribute(read_facts(reading, os.environ))
        write_answer(render_answer(select(snapshot), about, output))
        status = write_coverage(snapshot, strict=strict)
    except KeyboardInterrupt as err:
        raise Aborted("interrupted") from err
    raise typer.Exit(status)
