"""Which tables are worth reading, and when to look again."""

import pytest

from nsagent.model.net import Protocol
from nsagent.scan.plan import MAX_ROUNDS, plan_next_round, plan_protocols

BOTH = (Protocol.TCP, Protocol.UDP)


def sockstat(tcp: int = 0, tw: int = 0, udp: int = 0, tcp6: int | None = 0, udp6: int | None = 0) -> str:
    """The two files as a kernel writes them; host-wide counters are never zero."""
    text = f"sockets: used 5\nTCP: inuse {tcp} orphan 9 tw {tw} alloc 99 mem 9\nUDP: inuse {udp} mem 9\nRAW: inuse 7\n"
    if tcp6 is not None:
        text += f"TCP6: inuse {tcp6}\n"
    return text if udp6 is None else text + f"UDP6: inuse {udp6}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (sockstat(), ()),
        (sockstat(tcp=1), (Protocol.TCP,)),
        (sockstat(tcp6=1), (Protocol.TCP,)),
        (sockstat(tw=1), (Protocol.TCP,)),
        (sockstat(udp=1), (Protocol.UDP,)),
        (sockstat(udp6=1), (Protocol.UDP,)),
        (sockstat(tcp=1, udp=1), BOTH),
        (sockstat(tcp=-1), (Protocol.TCP,)),
        (sockstat(tcp6=None, udp6=None), ()),
        (sockstat(udp=1, tcp6=None, udp6=None), (Protocol.UDP,)),
    ],
)
def test_a_table_is_read_if_one_of_its_counters_is_not_zero(text: str, expected: tuple[Protocol, ...]) -> None:
    assert plan_protocols(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "sockets: used 5\n",
        "TCP: inuse 0 tw 0\n",
        "UDP: inuse 0\n",
        sockstat().replace("inuse 0", "inuse x"),
        sockstat() + "rubbish\n",
        "\ufffd" * 20,
    ],
    ids=["none", "empty", "neither", "no UDP", "no TCP", "no number", "a bad line", "no ASCII"],
)
def test_every_table_is_read_where_the_counters_do_not_say(text: str | None) -> None:
    assert plan_protocols(text) == BOTH


def test_there_is_no_round_for_nothing() -> None:
    assert not plan_next_round(set(), set(), 0)


def test_the_first_round_is_for_any_row_without_owner() -> None:
    assert plan_next_round({7}, set(), 0)


def test_a_round_that_found_an_owner_is_followed_by_another() -> None:
    assert plan_next_round({7}, {7, 8}, 1)


def test_a_round_that_changed_nothing_is_the_last() -> None:
    assert not plan_next_round({7}, {7}, 1)


def test_there_are_never_more_than_so_many_rounds() -> None:
    assert not plan_next_round({7}, {7, 8, 9}, MAX_ROUNDS)
