"""Messages of the process connector, as tests.kernel.record_events recorded them."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.cn_proc import (
    PROC_CN_MCAST_LISTEN,
    Ack,
    Comm,
    Exec,
    Exit,
    Fork,
    Gid,
    Message,
    Uid,
    decode_message,
    encode_operation,
)
from tests.kernel.rows import read_recorded

_DATA = read_recorded("proc_events")
RECORDED = [_DATA[start : start + 76] for start in range(0, len(_DATA), 76)]
"""A message each: the header of netlink, that of connectors, an event of 40 bytes."""


def test_every_kind_is_told_and_others_are_passed_over_by_their_length() -> None:
    messages = [decode_message(data) for data in RECORDED]
    assert messages == [
        Message(Ack(7777, 0), 1, 38, 72612856538718),
        Message(Fork(2873, 2873, 2872), 1, 39, 72612856737746),
        Message(Exec(2873, 2873), 1, 40, 72612857068070),
        Message(Fork(2874, 2873, 2872), 1, 41, 72612885758358),
        Message(Fork(2875, 2875, 2873), 1, 42, 72612886406059),
        Message(Exit(2874, 2873, 0), 1, 43, 72612886627194),
        Message(Exit(2875, 2875, 9), 0, 28, 72612889677077),
        Message(Comm(2873, 2873, "na\udcffme"), 1, 44, 72612890023386),
        Message(Gid(2873, 2873, 65534, 65534), 1, 45, 72612890049134),
        Message(Uid(2873, 2873, 65534, 1000), 1, 46, 72612890064524),
        Message(None, 1, 47, 72612890070039),
        Message(Exit(2873, 2873, 768), 1, 48, 72612890772200),
    ]


def test_a_request_is_a_message_of_the_connector_with_its_number() -> None:
    assert encode_operation(PROC_CN_MCAST_LISTEN, 7) == (
        b"\x28\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0" + b"\1\0\0\0\1\0\0\0\0\0\0\0\7\0\0\0\4\0\0\0" + b"\1\0\0\0"
    )


@pytest.mark.parametrize("length", [0, 15, 16, 35, 36, 51, 52, 67, 75])
def test_bug_76_a_short_message_is_no_event_of_pid_0(length: int) -> None:
    with pytest.raises(FormatError):
        decode_message(RECORDED[-1][:length])


@pytest.mark.parametrize(("offset", "value"), [(0, 15), (0, 77), (0, 35), (32, 41), (32, 15), (32, 27)])
def test_a_length_that_leads_elsewhere_is_told(offset: int, value: int) -> None:
    data = bytearray(RECORDED[-1])
    data[offset : offset + 2] = value.to_bytes(2, "little")
    with pytest.raises(FormatError):
        decode_message(data)


@pytest.mark.parametrize(("offset", "value"), [(4, 1), (4, 4), (16, 3), (20, 2)])
def test_bug_82_what_is_no_message_of_this_connector_is_none(offset: int, value: int) -> None:
    """NLMSG_NOOP, NLMSG_OVERRUN, another connector's idx or val."""
    data = bytearray(RECORDED[-1])
    data[offset] = value
    assert decode_message(data) is None


def test_an_event_may_be_longer_than_it_is_today() -> None:
    data = bytearray(RECORDED[1] + bytes(8))
    data[0], data[32] = len(data), 48
    assert decode_message(data) == decode_message(RECORDED[1])
