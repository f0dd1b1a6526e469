"""`nsagent scan`: every socket of the host, with its owners."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

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
from nsagent.model.choices import EngineName, OwnersWanted, View
from nsagent.model.snapshot import Snapshot

if TYPE_CHECKING:
    from nsagent.query.filter import Filter


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

        return replace(wanted, expression=read_expression(self.expression))


class Asked(NamedTuple):
    """The options of `scan`, as a theme for what is short for it."""

    containers: WhichContainers
    sockets: WhichRows
    how_far: HowFar
    owning: Owning
    source: Source
    printing: Printing
    engine: Engine = EngineName.AUTO
    count_by: CountBy = None


def scan(
    *,
    containers: WhichContainers,
    sockets: WhichRows,
    how_far: HowFar,
    owning: Owning,
    engine: Engine = EngineName.AUTO,
    source: Source,
    count_by: CountBy = None,
    printing: Printing,
) -> None:
    """Every TCP and UDP socket in every netns, with the processes and containers that hold it.

    Other protocols are read if --protocol names them, and all of them with --all.

    Options repeat or take commas: values of one option are alternatives, different options must
    all match, and so must an expression. A pass about some containers only reads the netns in which they
    have something.
    """
    answer_sockets(Asked(containers, sockets, how_far, owning, source, printing, engine, count_by))


def answer_sockets(asked: Asked, narrow: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot) -> None:
    """Answer as `scan` does; of the rows that the options select only those that `narrow` leaves."""
    from nsagent.cli.answer import answer
    from nsagent.cli.threads import name_processes
    from nsagent.query.select import select_snapshot

    source, owning = asked.source, asked.owning
    view = View.SOCKETS if asked.count_by is None else View.TOP
    output = asked.printing.make_options(view, asked.count_by)
    chosen = asked.containers.make_filter()
    wanted = asked.sockets.narrow(chosen)
    if owning.owners is OwnersWanted.CONTAINER and wanted.asks_for_owners:
        what = "--pid" if wanted.pids else "pid, comm, unit and owner of an expression"
        raise UsageError(f"{what}: with --owners container nobody is looked for who holds a socket; use --owners pid")
    request = replace(
        source.make_request(),
        engine=asked.engine,
        tables=asked.how_far.make_wanted(wanted.named_protocols),
        owners=owning.owners,
        only=chosen,
        since=owning.since,
    )
    answer(
        view,
        request,
        source,
        lambda snapshot: narrow(select_snapshot(snapshot, name_processes(wanted, snapshot, source))),
        output,
        strict=asked.printing.strict,
        named=wanted.named_containers,
    )
