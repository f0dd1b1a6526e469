"""The cost of a row does not depend on the rows around it."""

import struct
from collections.abc import Callable
from functools import partial

import pytest

from nsagent.kernel.formats import inet_diag, net_inet
from nsagent.model.net import Protocol
from tests.cpu_time import cpu_seconds
from tests.kernel.diag_message import make_message
from tests.kernel.proc_tree import text_row

ROWS = 20_000
CGROUP_ID = (21, struct.pack("<Q", 44))
MARK = (15, struct.pack("<I", 7))


def dump_of(*attributes: list[tuple[int, bytes]]) -> bytes:
    """A dump whose rows have these attributes in turn."""
    kinds = [make_message(attributes=one) for one in attributes]
    rows = []
    for number in range(ROWS):
        row = bytearray(kinds[number % len(kinds)])
        row[60:64] = row[84:88] = struct.pack("<I", number + 1)
        rows.append(bytes(row))
    return b"".join(rows)


def fastest(decode: Callable[[bytes], object], *tables: bytes) -> list[float]:
    """The seconds of the fastest of five runs for each table; they take turns, so that a slow moment is one of all."""
    turns = [[cpu_seconds(partial(decode, table)) for table in tables] for _ in range(5)]
    return [min(runs) for runs in zip(*turns, strict=True)]


DECODERS: dict[str, Callable[[bytes], object]] = {
    "rows": lambda data: inet_diag.decode_table(data, Protocol.TCP, "little"),
    "index": lambda data: inet_diag.index_rows(data, "little"),
    "places": lambda data: inet_diag.find_rows(data, range(1, ROWS), "little"),
}


@pytest.mark.parametrize("name", DECODERS)
def test_rows_of_two_lengths_in_turn_cost_little_more_than_rows_of_one(name: str) -> None:
    alike, in_turn = dump_of([CGROUP_ID]), dump_of([CGROUP_ID], [CGROUP_ID, MARK])
    seconds_in_turn, seconds_alike = fastest(DECODERS[name], in_turn, alike)
    assert seconds_in_turn < 12 * seconds_alike


@pytest.mark.parametrize("name", DECODERS)
def test_rows_of_one_length_with_two_sets_of_attributes_take_no_time_that_grows_with_the_table(name: str) -> None:
    decode = DECODERS[name]
    data = dump_of([MARK, (200, bytes(8))], [(200, bytes(8)), MARK])
    length = len(data) // ROWS
    short = data[: length * ROWS // 8]
    seconds, seconds_short = fastest(decode, data, short)
    assert seconds < 16 * seconds_short


def test_text_rows_take_time_that_grows_with_their_number_only() -> None:
    def decode(data: bytes) -> object:
        return net_inet.parse_table(data, Protocol.TCP, byteorder="little")

    rows = [text_row(f"0100007F:{i % 65536:04X}", "0100007F:0050", 1, 1000 + i) for i in range(ROWS // 2)]
    whole, short = "".join(rows).encode(), "".join(rows[: ROWS // 16]).encode()
    seconds, seconds_short = fastest(decode, whole, short)
    assert seconds < 16 * seconds_short
