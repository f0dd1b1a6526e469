"""`nsagent scan`: every socket of the host, with its owners."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from nsagent.cli.command import is_of_environment
from nsagent.cli.completion import list_expression_words
from nsagent.cli.options import (
    CountBy,
    Engine,
    HowFar,
    Owning,
    Printing,
    Source,
    Texts,
    WhichContainers,
    WhichSockets,
)
from nsagent.errors import UsageError
from nsagent.model.choices import EngineName, OutputFormat, OwnersWanted, View
from nsagent.model.snapshot import Snapshot

if TYPE_CHECKING:
    from nsagent.query.filter import Filter
    from nsagent.scan.request import SnapshotRequest

_LEAST_SECONDS: Final = 0.1
"""Between two passes of a live table."""


class WhichRows(NamedTuple):
    """Which sockets the answer is about."""

    expression: Annotated[
        Texts,
        typer.Argument(
            metavar="[EXPRESSION]",
            help="Only sockets that meet it, in the words of ss: sport = :443 and not dst 10.0.0.0/8.",
            autocompletion=list_expression_words,
        ),
    ] = None
    options: WhichSockets = WhichSockets()

    def narrow(self, chosen: "Filter") -> "Filter":
        """The filter with the options and the expression too; raises UsageError."""
        wanted = self.options.narrow(chosen)
        if not self.expression:
            return wanted
        from nsagent.cli.expression import read_expression

        return wanted._replace(expression=read_expression(self.expression))


class Showing(NamedTuple):
    """What is shown of the sockets, and whether that goes on."""

    count_by: CountBy = None
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="A live table on this terminal, by one pass after the other.")
    ] = False
    interval: Annotated[
        str, typer.Option("--interval", metavar="DURATION", help="With --watch: how far apart passes are.")
    ] = "2s"

    @property
    def interval_seconds(self) -> float:
        """From the end of a pass to the start of the next; raises UsageError."""
        from nsagent.cli.durations import parse_seconds

        return parse_seconds(self.interval, "--interval", _LEAST_SECONDS)

    def settle_printing(self, asked: "Asked") -> Printing:
        """How the live table is printed; raises UsageError for what has no use in one, and says what has."""
        source, printing = asked.source, asked.printing
        if source.from_file is not None:
            raise UsageError("--from: a capture does not change, and --watch has nothing to show; leave --watch out")
        if source.capture is not None:
            raise UsageError("--capture: --watch makes one pass after the other; use nsagent capture")
        if printing.output in (OutputFormat.TABLE, OutputFormat.WIDE):
            return printing
        if not is_of_environment(printing.context, "output"):
            raise UsageError(
                f"--output: --watch has table and wide, got {printing.output}; use nsagent watch -o jsonl for programs"
            )
        return printing._replace(output=OutputFormat.TABLE)


class Asked(NamedTuple):
    """The options of `scan`, as a theme for what is short for it."""

    containers: WhichContainers
    sockets: WhichRows
    how_far: HowFar
    owning: Owning
    source: Source
    showing: Showing
    printing: Printing
    engine: Engine = EngineName.AUTO


def scan(
    *,
    containers: WhichContainers,
    sockets: WhichRows,
    how_far: HowFar,
    owning: Owning,
    engine: Engine = EngineName.AUTO,
    source: Source,
    showing: Showing,
    printing: Printing,
) -> None:
    """Every TCP and UDP socket in every netns, with the processes and containers that hold it.

    Other protocols are read if --protocol names them, and all of them with --all.

    Options repeat or take commas: values of one option are alternatives, different options must
    all match, and so must an expression. A pass about some containers only reads the netns in which they
    have something.
    """
    answer_sockets(Asked(containers, sockets, how_far, owning, source, showing, printing, engine))


def answer_sockets(asked: Asked, narrow: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot) -> None:
    """Answer as `scan` does; of the rows that the options select only those that `narrow` leaves."""
    source, owning, showing = asked.source, asked.owning, asked.showing
    view = View.SOCKETS if showing.count_by is None else View.TOP
    printing = showing.settle_printing(asked) if showing.watch else asked.printing
    output = printing.make_options(view, showing.count_by)
    chosen = asked.containers.make_filter()
    wanted = asked.sockets.narrow(chosen)
    check_owners(wanted, owning.owners)

    def make_request() -> "SnapshotRequest":
        return replace(
            source.make_request(),
            engine=asked.engine,
            tables=asked.how_far.make_wanted(wanted.named_protocols),
            owners=owning.owners,
            only=chosen,
            since=owning.since,
        )

    def select(snapshot: Snapshot, *, again: bool = False) -> Snapshot:
        from nsagent.cli.threads import name_processes
        from nsagent.query.select import select_snapshot

        named = name_processes(wanted, snapshot, source)
        if again:
            from nsagent.query.evaluate import take_unknown_for_nothing

            named = take_unknown_for_nothing(named, snapshot)
        return narrow(select_snapshot(snapshot, named))

    names, strict = wanted.named_containers, printing.strict
    if showing.watch:
        from nsagent.cli.live.passes import Watched
        from nsagent.cli.live.table import watch

        labels = bool(chosen.labels) or output.mentions("labels")
        watch(Watched(view, make_request, select, source, output, names, labels, showing.interval_seconds, strict))
        return
    from nsagent.cli.answer import answer

    answer(view, make_request(), source, lambda made: select(made.snapshot), output, strict=strict, named=names)


def check_owners(wanted: "Filter", owners: OwnersWanted) -> None:
    """Raises UsageError for a filter that asks who holds a socket, where nobody is looked for."""
    if owners is OwnersWanted.CONTAINER and wanted.asks_for_owners:
        what = "--pid" if wanted.pids else "pid, comm, unit and owner of an expression"
        raise UsageError(f"{what}: with --owners container nobody is looked for who holds a socket; use --owners pid")
