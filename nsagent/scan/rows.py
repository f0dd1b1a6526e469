"""The rows of one netns, decoded, with what was damaged on the way, and the order in which they are told. Pure."""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.inet_diag import InetDecoder, InetTables, KnownTable
from nsagent.kernel.formats.raw_table import decode_netns
from nsagent.model.facts import NetnsReading, RawTable
from nsagent.model.net import ByteOrder, SocketRow, SocketState, is_listening
from nsagent.model.snapshot import OwnedSocket
from nsagent.scan.own import number_of

_LISTEN: Final = SocketState.LISTEN
_CLOSE: Final = SocketState.CLOSE


class NetnsRows(NamedTuple):
    """A netns and its rows; `damage` has the table of each row that could not be decoded, and why."""

    reading: NetnsReading
    rows: list[SocketRow]
    damage: list[tuple[RawTable, FormatError]]


class RowDecoder:
    """Decodes the tables of one pass after the other: a row that the pass before had too is the very same row.

    It keeps the tables and the rows of the last pass. Not for two threads at once.
    """

    def __init__(self) -> None:
        self._tables: dict[int, Mapping[object, KnownTable]] = {}

    def decode(self, netns: Iterable[NetnsReading], byteorder: ByteOrder) -> list[NetnsRows]:
        """The rows of all tables of each netns, as the kernel gave them."""
        decoder = InetDecoder(byteorder)
        before, self._tables = self._tables, {}
        decoded = []
        for reading in netns:
            number = number_of(reading)
            inet = InetTables(decoder, before.get(number, {}))
            decoded.append(NetnsRows(reading, *decode_netns(reading, byteorder, inet)))
            self._tables[number] = inet.tables
        return decoded


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
