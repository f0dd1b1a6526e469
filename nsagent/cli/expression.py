"""Filter expressions as they are typed, and what is wrong with them as it is shown."""

import socket
from collections.abc import Sequence
from typing import Final

from nsagent.errors import WrongExpression
from nsagent.query.expression import Expression
from nsagent.query.grammar import parse_expression
from nsagent.report.display import display_width
from nsagent.report.escape import escape

_ROOM: Final = 60
"""Characters that are shown on each side of the place."""


def read_expression(words: Sequence[str]) -> Expression:
    """The expression of these arguments, in one or in many, with the names of services that this host knows.

    Raises WrongExpression.
    """
    return parse_expression(" ".join(words), _find_port)


def point_at(err: WrongExpression) -> list[str]:
    """The expression, and below it a caret at what is wrong; of a long one what stands around that."""
    first, last = max(err.position - _ROOM, 0), err.position + _ROOM
    before = ("..." if first else "") + escape(err.text[first : err.position])
    after = escape(err.text[err.position : last]) + ("..." if last < len(err.text) else "")
    return [f"  {before}{after}", f"  {' ' * display_width(before)}^"]


def _find_port(service: str) -> int | None:
    """The port of a service of any protocol, by /etc/services or what else getservbyname(3) asks."""
    try:
        return socket.getservbyname(service)
    except OSError:
        return None
