"""The rows of one netns, decoded, with what was damaged on the way. Pure."""

from operator import attrgetter
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.raw_table import decode_netns
from nsagent.model.facts import NetnsReading, RawTable
from nsagent.model.net import ByteOrder, SocketRow, SocketState, is_listening

_LISTEN: Final = SocketState.LISTEN
_CLOSE: Final = SocketState.CLOSE


class NetnsRows(NamedTuple):
    """A netns and its rows; `damage` has the table of each row that could not be decoded, and why."""

    reading: NetnsReading
    rows: list[SocketRow]
    damage: list[tuple[RawTable, FormatError]]


def decode_rows(reading: NetnsReading, byteorder: ByteOrder) -> NetnsRows:
    """The rows of all tables of a netns in the order in which they are told: what listens first, then by local port."""
    rows, damage = decode_netns(reading, byteorder)
    listening: list[SocketRow] = []
    others: list[SocketRow] = []
    # 10^4 to 10^6 rows: 0.2 us each, and 0.4 us later, as they no longer lie in memory one after the other.
    # Most are told by their state alone.
    for row in rows:
        state = row.state
        ((listening if is_listening(row) else others) if state is _LISTEN or state is _CLOSE else others).append(row)
    by_port = attrgetter("local.port")
    listening.sort(key=by_port)
    others.sort(key=by_port)
    return NetnsRows(reading, listening + others, damage)
