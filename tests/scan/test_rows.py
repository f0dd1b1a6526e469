"""Rows that are carried from pass to pass: the same answer as without, and less work."""

import struct
from collections.abc import Sequence
from socket import AF_INET6

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.model.facts import Facts
from nsagent.model.net import SocketRow, SocketState, Timer, TimerKind
from nsagent.scan.attribute import attribute
from nsagent.scan.rows import RowDecoder
from tests.kernel.diag_message import make_message
from tests.kernel.rows import read_recorded
from tests.scan.facts import WEB_NETNS, diag_table, facts, netns, reading
from tests.scan.strategies import FACTS

LISTENER = make_message(state=10, cookie=1, inode=7, remote_port=0)
IDLE = make_message(cookie=2, inode=8, timer=2, expires_ms=900)
IDLE_LATER = make_message(cookie=2, inode=8, timer=2, expires_ms=400)
NEW = make_message(cookie=3, inode=9)


def with_sequence(message: bytes, sequence: int) -> bytes:
    """The message as an answer to another request of the same socket."""
    return message[:8] + struct.pack("<I", sequence) + message[12:]


MAPPED = bytes(10) + b"\xff\xff\x7f\0\0\1"
MESSAGES = (
    LISTENER,
    IDLE,
    IDLE_LATER,
    NEW,
    make_message(cookie=3, inode=9, queues=(1, 2)),
    make_message(cookie=3, inode=7),
    make_message(state=7, cookie=4, inode=6, remote_port=0),
    make_message(state=6, timer=3, expires_ms=900, cookie=5, inode=0),
    make_message(state=6, timer=3, expires_ms=400, cookie=5, inode=0),
    make_message(family=AF_INET6, local=MAPPED, remote=MAPPED, cookie=6, inode=5, attributes=[(21, bytes(8))]),
    make_message(family=AF_INET6, local=MAPPED, remote=MAPPED, cookie=6, inode=5, attributes=[(21, b"\1" * 8)]),
)
DAMAGE = (b"\0" * 16, LISTENER[:-1], make_message(family=1))
UNPADDED = struct.pack("<I", 97) + make_message(cookie=8, inode=4, attributes=[(200, b"12345")])[4:-3]
TAILS = st.sampled_from((*[b""] * 6, UNPADDED, *DAMAGE))
TABLES = st.builds(
    lambda messages, sequence, tail: b"".join(with_sequence(one, sequence) for one in messages) + tail,
    st.lists(st.sampled_from(MESSAGES), max_size=6),
    st.integers(1, 2),
    TAILS,
)
PASSES = st.lists(
    st.builds(
        lambda tables, fds: facts(
            [reading(10, fds)],
            [netns(diag_table(tables[0])), netns(diag_table(tables[1]), diag_table(tables[2]), inode=WEB_NETNS)],
        ),
        st.tuples(TABLES, TABLES, TABLES),
        st.dictionaries(st.integers(3, 5), st.integers(5, 9)),
    ),
    min_size=2,
    max_size=4,
)
"""Passes whose tables have many rows in common."""


def rows_of(decoder: RowDecoder, *messages: bytes) -> list[SocketRow]:
    """The rows of a netns with these messages, decoded as those of the next pass."""
    (one,) = decoder.decode([netns(diag_table(b"".join(messages)))], "little")
    return one.rows


@given(PASSES)
def test_rows_carried_from_pass_to_pass_change_no_snapshot(passes: Sequence[Facts]) -> None:
    decoder = RowDecoder()
    for one in passes:
        assert attribute(one, decoder=decoder) == attribute(one)


@given(st.tuples(FACTS, FACTS))
def test_rows_carried_between_any_facts_change_no_snapshot(passes: Sequence[Facts]) -> None:
    decoder = RowDecoder()
    for one in (*passes, *passes):
        assert attribute(one, decoder=decoder) == attribute(one)


@pytest.mark.parametrize("name", ["tcp", "tcp_deep", "tcp_unprivileged", "udp"])
def test_a_table_that_has_not_changed_gives_the_very_same_rows(name: str) -> None:
    decoder, data = RowDecoder(), read_recorded(name)
    first, second = rows_of(decoder, data), rows_of(decoder, data)
    assert list(map(id, second)) == list(map(id, first))


def test_of_a_table_that_has_changed_only_new_rows_are_made() -> None:
    decoder = RowDecoder()
    listener, idle = rows_of(decoder, LISTENER, IDLE)
    again, new, later = rows_of(decoder, LISTENER, NEW, IDLE_LATER)
    assert again is listener
    assert later == idle._replace(timer=Timer(TimerKind.KEEPALIVE, 400, 0))
    assert (new.cookie, new.inode, new.state) == (3, 9, SocketState.ESTABLISHED)


def test_the_number_of_the_request_makes_no_row_another_one() -> None:
    decoder = RowDecoder()
    (row,) = rows_of(decoder, with_sequence(LISTENER, 1))
    (again,) = rows_of(decoder, with_sequence(LISTENER, 2))
    assert again is row


def test_only_the_rows_of_the_last_pass_are_known() -> None:
    decoder = RowDecoder()
    (row,) = rows_of(decoder, LISTENER)
    rows_of(decoder, NEW)
    (again,) = rows_of(decoder, LISTENER)
    assert again is not row


def test_a_row_that_says_otherwise_of_mptcp_is_another_one() -> None:
    decoder = RowDecoder()
    told = netns(diag_table(LISTENER))
    (before,) = decoder.decode([told], "little")
    (after,) = decoder.decode([told._replace(mptcp_counted=0)], "little")
    assert [row.mptcp for row in (*before.rows, *after.rows)] == [None, False]
