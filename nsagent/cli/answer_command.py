"""What every command that answers from a snapshot does: read, attribute, select, print."""

import os
import sys
from collections.abc import Callable

import typer

from nsagent.cli.answer import About, OutputOptions, render_answer
from nsagent.cli.read import ReadOptions, list_lacking, read_earlier, read_facts
from nsagent.cli.write import write_answer, write_coverage
from nsagent.errors import Aborted
from nsagent.model.snapshot import Snapshot
from nsagent.report.escape import escape

Select = Callable[[Snapshot], Snapshot]


def answer(about: About, reading: ReadOptions, output: OutputOptions, select: Select, *, strict: bool) -> None:
    """Answer once; raises typer.Exit with the exit status, and NsagentError for what went wrong."""
    try:
        snapshot = read_snapshot(reading)
        selected = select(snapshot)
        write_answer(render_answer(selected, about, output, whole=snapshot))
        status = write_coverage(selected, strict=strict)
    except KeyboardInterrupt as err:
        raise Aborted("interrupted") from err
    raise typer.Exit(status)


def read_snapshot(reading: ReadOptions) -> Snapshot:
    """What the facts asked for mean; what a capture lacks of them is said on stderr."""
    from nsagent.scan.attribute import attribute
    from nsagent.scan.memory import Memory, remember

    facts = read_facts(reading, os.environ)
    memory = Memory()
    if reading.since:
        earlier = read_earlier(reading.since, facts)
        memory = remember(earlier, attribute(earlier))
    snapshot = attribute(facts, memory)
    lacking = list_lacking(reading, facts)
    if reading.from_file and reading.tcp_info and not any(socket.row.tcp_info for socket in snapshot.sockets):
        lacking.append(f"{reading.from_file} holds no TCP_INFO: capture it with --tcp-info")
    for line in lacking:
        print(f"nsagent: {escape(line)}", file=sys.stderr)
    return snapshot
