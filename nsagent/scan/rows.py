"""The rows of one netns, decoded, with what was damaged on the way, and the order in which they are told. Pure."""

from operator import attrgetter
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.raw_table import decode_netns
from nsagent.model.facts import NetnsReading, RawTable
from nsagent.model.net import ByteOrder, SocketRow, SocketState, is_listening
from nsagent.model.snapshot import OwnedSocket

_LISTEN: Final = SocketState.LISTEN
_CLOSE: Final = SocketState.CLOSE


class NetnsRows(NamedTuple):
    """A netns and its rows; `damage` has the table of each row that could not be decoded, and why."""

    reading: NetnsReading
    rows: list[SocketRow]
    damage: list[tuple[RawTable, FormatError]]


def decode_rows(reading: NetnsReading, byteorder: ByteOrder) -> NetnsRows:
    """The rows of all tables of a netns, as the kernel gave them."""
    return NetnsRows(reading, *decode_netns(reading, byteorder))


def sort_sockets(sockets: list[OwnedSocket]) -> list[OwnedSocket]:
    """The sockets of a netns in the order in which they are told: what listens first, then by local port.

    Last of all, when nobody but a renderer goes through them again: rows that no longer lie in memory
    one after the other cost 0.4 us more in each loop.
    """
    listening: list[OwnedSocket] = []
    others: list[OwnedSocket] = []
    for socket in sockets:  # 10^4 to 10^6 times: 0.2 us each. Most are told by their state alone.
        row = socket.row
        state = row.state
        is_first = (state is _LISTEN or state is _CLOSE) and is_listening(row)
        (listening if is_first else others).append(socket)
    by_port = attrgetter("row.local.port")
    listening.sort(key=by_port)
    others.sort(key=by_port)
    return listening + others
