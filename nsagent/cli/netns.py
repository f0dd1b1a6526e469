"""`nsagent netns`: the network namespaces of the host."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from nsagent.cli.completion import list_netns_names
from nsagent.cli.options import Engine, Printing, Source
from nsagent.model.choices import EngineName, OutputFormat, View
from nsagent.model.snapshot import Snapshot

if TYPE_CHECKING:
    from nsagent.cli.answer import Read


def netns(
    *,
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="[NETNS]",
            help="Only this one, by inode, name, path, key:N or 'host'.",
            autocompletion=list_netns_names,
        ),
    ] = None,
    engine: Engine = EngineName.AUTO,
    source: Source,
    printing: Printing,
) -> None:
    """The netns of this host: names, how each was found, its processes and containers.

    With -o wide or json also its interfaces with their addresses, and where its veths lead.
    """
    from nsagent.cli.answer import answer
    from nsagent.cli.threads import name_netns
    from nsagent.query.select import select_netns

    def select(made: "Read") -> Snapshot:
        snapshot = made.snapshot
        return snapshot if which is None else select_netns(snapshot, name_netns(which, snapshot, source))

    output = printing.make_options(View.NETNS)
    with_interfaces = output.format in (OutputFormat.WIDE, OutputFormat.JSON, OutputFormat.YAML)
    answer(
        View.NETNS,
        replace(source.make_request(), engine=engine, interfaces=with_interfaces or output.mentions("interfaces")),
        source,
        select,
        output,
        strict=printing.strict,
    )
