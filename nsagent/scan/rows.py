"""The rows of one netns, decoded, with what was damaged on the way. Pure."""

from typing import NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.raw_table import decode_netns
from nsagent.model.facts import NetnsReading, RawTable
from nsagent.model.net import ByteOrder, SocketRow


class NetnsRows(NamedTuple):
    """A netns and its rows; `damage` has the table of each row that could not be decoded, and why."""

    reading: NetnsReading
    rows: list[SocketRow]
    damage: list[tuple[RawTable, FormatError]]


def decode_rows(reading: NetnsReading, byteorder: ByteOrder) -> NetnsRows:
    """The rows of all tables of a netns."""
    return NetnsRows(reading, *decode_netns(reading, byteorder))
