"""`nsagent scan`: every socket of the host, with its owners."""

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
    from nsagent.cli.answer import answer
    from nsagent.cli.threads import name_processes
    from nsagent.query.select import select_snapshot

    view = View.SOCKETS if count_by is None else View.TOP
    output = printing.make_options(view, count_by)
    chosen = containers.make_filter()
    wanted = sockets.narrow(chosen)
    if owning.owners is OwnersWanted.CONTAINER and wanted.asks_for_owners:
        what = "--pid" if wanted.pids else "pid, comm, unit and owner of an expression"
        raise UsageError(f"{what}: with --owners container nobody is looked for who holds a socket; use --owners pid")
    request = replace(
        source.make_request(),
        engine=engine,
        tables=how_far.make_wanted(wanted.named_protocols),
        owners=owning.owners,
        only=chosen,
        since=owning.since,
    )
    answer(
        view,
        request,
        source,
        lambda snapshot: select_snapshot(snapshot, name_processes(wanted, snapshot, source)),
        output,
        strict=printing.strict,
        named=wanted.named_containers,
    )
