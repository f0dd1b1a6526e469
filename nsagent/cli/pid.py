"""`nsagent pid`: the sockets of a process."""

from typing import Annotated

import typer

from nsagent.cli.completion import list_pids
from nsagent.cli.numbers import MAX_PID, whole_number
from nsagent.cli.scan import Asked, answer_sockets


def pid(
    *,
    number: Annotated[
        int,
        typer.Argument(
            metavar="PID",
            parser=whole_number("PID", MAX_PID),
            help="The process; a thread stands for its own.",
            autocompletion=list_pids,
        ),
    ],
    asked: Asked,
) -> None:
    """The sockets that a process holds, in every netns: what `scan --pid` shows, with its options."""
    options = asked.sockets.options
    options = options._replace(pid=[str(number), *(options.pid or ())])
    answer_sockets(asked._replace(sockets=asked.sockets._replace(options=options)))
