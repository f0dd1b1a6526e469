"""`nsagent containers`: the containers of the host."""

from dataclasses import replace
from typing import TYPE_CHECKING

from nsagent.cli.options import Printing, Source, WhichContainers
from nsagent.model.choices import OutputFormat, View

if TYPE_CHECKING:
    from nsagent.report.options import OutputOptions


def containers(*, which: WhichContainers, source: Source, printing: Printing) -> None:
    """The containers of this host, at which addresses and in which netns they are, and who told their names."""
    from nsagent.cli.answer import answer
    from nsagent.query.select import select_containers

    output = printing.make_options(View.CONTAINERS)
    chosen = which.make_filter()
    answer(
        View.CONTAINERS,
        replace(source.make_request(), only=chosen, interfaces=_wants_addresses(output)),
        source,
        lambda made: select_containers(made.snapshot, chosen),
        output,
        strict=printing.strict,
    )


def _wants_addresses(output: "OutputOptions") -> bool:
    """Whether addresses are told: to read those of each netns takes a while."""
    if output.columns is not None:
        return output.mentions("ip")
    return output.format not in (OutputFormat.NAME, OutputFormat.PROM)
