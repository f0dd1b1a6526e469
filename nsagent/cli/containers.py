"""`nsagent containers`: the containers of the host."""

from dataclasses import replace

from nsagent.cli.options import Printing, Source, WhichContainers
from nsagent.model.choices import View


def containers(*, which: WhichContainers, source: Source, printing: Printing) -> None:
    """The containers of this host, in which netns they are, and who told their names."""
    from nsagent.cli.answer import answer
    from nsagent.query.select import select_containers

    output = printing.make_options(View.CONTAINERS)
    chosen = which.make_filter()
    answer(
        View.CONTAINERS,
        replace(source.make_request(), only=chosen),
        source,
        lambda snapshot: select_containers(snapshot, chosen),
        output,
        strict=printing.strict,
    )
