"""`nsagent port`: the sockets with a local port."""

from typing import Annotated

import typer

from nsagent.cli.numbers import whole_number
from nsagent.cli.scan import Asked, answer_sockets
from nsagent.model.snapshot import Snapshot


def port(
    *,
    number: Annotated[int, typer.Argument(metavar="PORT", parser=whole_number("PORT", 65535), help="The local port.")],
    asked: Asked,
) -> None:
    """The sockets with this local port, in every netns: what `scan` shows of them, with its options."""

    def narrow(snapshot: Snapshot) -> Snapshot:
        from nsagent.query.select import select_local_port

        return select_local_port(snapshot, number)

    answer_sockets(asked, narrow)
