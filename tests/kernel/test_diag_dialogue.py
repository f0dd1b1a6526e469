"""What sock_diag may answer, from a function that stands for the kernel."""

import socket
import struct
from collections.abc import Callable, Collection, Iterable
from errno import EACCES, EAGAIN, EINTR, EINVAL, ENOBUFS, ENOENT, ENOMEM, EOPNOTSUPP, ESTALE

import pytest

from nsagent.errors import (
    AccessDenied,
    DumpInterrupted,
    DumpUnavailable,
    FormatError,
    NoAnswer,
    NotRead,
    ReadFailed,
)
from nsagent.kernel.formats.inet_diag import find_rows
from nsagent.kernel.formats.inet_diag_request import (
    IPPROTO_MPTCP,
    SOCK_DIAG_BY_FAMILY,
    TCPDIAG_GETSOCK,
    encode_dump_both,
    encode_dump_family,
)
from nsagent.kernel.formats.netlink import NLM_F_DUMP, NLM_F_REQUEST
from nsagent.kernel.netlink import Received, make_buffer
from nsagent.kernel.sock_diag import DiagDialogue, Dump
from nsagent.model.facts import RawTable, TableFormat
from nsagent.model.net import Protocol
from tests.kernel.diag_message import make_message
from tests.kernel.fake_kernel import Answers, Datagram, FakeKernel, done, error, in_turn, interrupted

FIRST, SECOND = make_message(inode=1, cookie=1), make_message(inode=2, cookie=2)


def dump(kernel: FakeKernel, protocol: Protocol = Protocol.TCP) -> tuple[list[int], int]:
    """The inodes in the table, and how many rows were counted."""
    table, rows = kernel.dialogue.dump(protocol, make_buffer())
    return list_inodes(table.data), rows


def list_inodes(data: bytes) -> list[int]:
    return [place.inode for place in find_rows(data, range(1, 10), "little")]


def asked(type_: int, payload: bytes) -> bytes:
    """A request for a dump, as FakeKernel keeps it."""
    return struct.pack("=HH", type_, NLM_F_REQUEST | NLM_F_DUMP) + payload


def test_a_dump_is_all_messages_before_the_last_one() -> None:
    kernel = FakeKernel(in_turn([FIRST, SECOND + done()]))
    assert kernel.dialogue.dump(Protocol.TCP, make_buffer()) == Dump(
        RawTable(TableFormat.INET_DIAG, Protocol.TCP, socket.AF_UNSPEC, FIRST + SECOND), 2
    )
    assert kernel.asked == [asked(TCPDIAG_GETSOCK, encode_dump_both(socket.IPPROTO_TCP))]


@pytest.mark.parametrize(
    "first",
    [[interrupted(FIRST) + done()], [interrupted(FIRST), done()], [FIRST, interrupted(done())]],
    ids=["in the only datagram", "in an early one", "in the last message"],
)
def test_a_dump_that_the_table_changed_under_is_made_again(first: Iterable[bytes]) -> None:
    kernel = FakeKernel(in_turn(first, [FIRST + SECOND + done()]))
    assert dump(kernel) == ([1, 2], 2)


def test_after_two_interrupted_dumps_the_third_counts() -> None:
    kernel = FakeKernel(in_turn(*[[interrupted(FIRST) + done()]] * 2, [SECOND + done()]))
    assert dump(kernel) == ([2], 1)


def test_after_three_interrupted_dumps_no_other_is_made() -> None:
    kernel = FakeKernel(in_turn(*[[interrupted(FIRST) + done()]] * 4))
    with pytest.raises(DumpInterrupted):
        dump(kernel)
    assert len(kernel.asked) == 3


def test_a_cut_datagram_is_damage() -> None:
    kernel = FakeKernel(in_turn([Datagram(FIRST, socket.MSG_TRUNC), done()]))
    with pytest.raises(FormatError):
        dump(kernel)


@pytest.mark.parametrize("rest", [[], [OSError(EAGAIN, ""), done()]], ids=["for ever", "for once"])
def test_silence_is_told(rest: list[bytes | OSError]) -> None:
    with pytest.raises(NoAnswer):
        dump(FakeKernel(in_turn([FIRST, *rest])))


def test_a_wait_that_a_signal_ends_goes_on() -> None:
    assert dump(FakeKernel(in_turn([FIRST, OSError(EINTR, ""), done()]))) == ([1], 1)


@pytest.mark.parametrize(("number", "reason"), [(ENOBUFS, "ENOBUFS"), (ENOMEM, "ENOMEM"), (4711, "4711")])
def test_an_errno_of_receiving_is_told(number: int, reason: str) -> None:
    with pytest.raises(ReadFailed, match=reason):
        dump(FakeKernel(in_turn([FIRST, OSError(number, ""), done()])))


def test_an_errno_of_sending_is_told() -> None:
    def refuse(_: bytes) -> None:
        raise OSError(EACCES, "")

    with pytest.raises(AccessDenied, match="EACCES"):
        DiagDialogue(refuse, lambda _: Received(0, 0, 0)).dump(Protocol.TCP, make_buffer())


@pytest.mark.parametrize(
    "stray", [FIRST + done(), error(EINVAL), b"", b"\1\2"], ids=["rows", "errno", "empty", "short"]
)
def test_what_answers_another_request_is_passed_over(stray: bytes) -> None:
    assert dump(FakeKernel(in_turn([Datagram(stray, sequence=4711), SECOND + done()]))) == ([2], 1)


def test_the_rest_of_a_dump_that_was_given_up_is_passed_over() -> None:
    kernel = FakeKernel(in_turn([Datagram(FIRST, socket.MSG_TRUNC), FIRST, done()], [SECOND + done()]))
    with pytest.raises(FormatError):
        dump(kernel)
    assert dump(kernel) == ([2], 1)


def test_what_another_process_sends_is_passed_over() -> None:
    assert dump(FakeKernel(in_turn([Datagram(FIRST + done(), sender=4711), SECOND + done()]))) == ([2], 1)


@pytest.mark.parametrize("end", [done, error], ids=["in NLMSG_DONE", "in NLMSG_ERROR"])
@pytest.mark.parametrize("rows", [b"", FIRST], ids=["alone", "after a row"])
def test_an_errno_is_told_wherever_it_stands(end: Callable[[int], bytes], rows: bytes) -> None:
    with pytest.raises(ReadFailed, match="EINVAL"):
        dump(FakeKernel(in_turn([rows + end(EINVAL)])))


@pytest.mark.parametrize("end", [done, error], ids=["in NLMSG_DONE", "in NLMSG_ERROR"])
@pytest.mark.parametrize("number", [ENOENT, EOPNOTSUPP])
def test_a_table_that_the_kernel_lacks_is_unavailable(end: Callable[[int], bytes], number: int) -> None:
    with pytest.raises(DumpUnavailable):
        dump(FakeKernel(in_turn([end(number)])))


@pytest.mark.parametrize("length", [0, 15, 89, 0xFFFFFFFF])
def test_a_message_with_a_length_that_lies_is_damage(length: int) -> None:
    with pytest.raises(FormatError):
        dump(FakeKernel(in_turn([struct.pack("=I", length) + FIRST[4:], done()])))


def by_family_or(answer: bytes) -> Callable[[bytes], Answers]:
    """A kernel that answers TCPDIAG_GETSOCK so, whatever protocol is asked for in an attribute."""
    return lambda request: [SECOND + done() if request.startswith(struct.pack("=H", SOCK_DIAG_BY_FAMILY)) else answer]


WITHOUT_ATTRIBUTE = pytest.mark.parametrize(
    "answer",
    [FIRST + done(), done(), error(EINVAL), error(EOPNOTSUPP)],
    ids=["TCP", "TCP without a row", "attributes refused", "no such request"],
)
"""What kernels answer that do not know the protocol attribute: 5.7 and 5.8, those before, one without inet_diag."""


@WITHOUT_ATTRIBUTE
def test_a_kernel_that_does_not_know_the_protocol_attribute_is_asked_by_family(answer: bytes) -> None:
    kernel = FakeKernel(by_family_or(answer))
    assert [dump(kernel, Protocol.UDP), dump(kernel, Protocol.UDP)] == [([2, 2], 2)] * 2
    families = [
        asked(SOCK_DIAG_BY_FAMILY, encode_dump_family(family, socket.IPPROTO_UDP))
        for family in (socket.AF_INET, socket.AF_INET6)
    ]
    assert kernel.asked == [asked(TCPDIAG_GETSOCK, encode_dump_both(254)), *families, *families]
    assert kernel.dialogue.knows_protocol is False


@WITHOUT_ATTRIBUTE
def test_a_kernel_that_does_not_know_the_protocol_attribute_has_no_table_of_mptcp(answer: bytes) -> None:
    with pytest.raises(DumpUnavailable):
        FakeKernel(by_family_or(answer)).dialogue.dump_mptcp(make_buffer())


def test_a_kernel_that_does_not_answer_what_it_knows_is_asked_again() -> None:
    kernel = FakeKernel(in_turn([error(ENOMEM)], [error(ENOENT)], [FIRST + done()]))
    with pytest.raises(ReadFailed, match="ENOMEM"):
        dump(kernel, Protocol.UDP)
    assert (dump(kernel, Protocol.UDP), kernel.dialogue.knows_protocol) == (([1], 1), True)


@pytest.mark.parametrize("end", [done(ENOENT), error(ENOENT)], ids=["in NLMSG_DONE", "in NLMSG_ERROR"])
def test_a_kernel_that_knows_the_protocol_attribute_is_asked_for_both_families_at_once(end: bytes) -> None:
    kernel = FakeKernel(in_turn([end], [FIRST + done()], [SECOND + done()]))
    assert dump(kernel, Protocol.UDP) == ([1], 1)
    assert list_inodes(kernel.dialogue.dump_mptcp(make_buffer()).data) == [2]
    assert kernel.asked == [
        asked(TCPDIAG_GETSOCK, encode_dump_both(number)) for number in (254, socket.IPPROTO_UDP, IPPROTO_MPTCP)
    ]


def test_a_kernel_without_ipv6_has_the_rows_of_ipv4() -> None:
    assert dump(FakeKernel(in_turn([FIRST + done()], [error(ENOENT)])), Protocol.RAW) == ([1], 1)


CROWD = b"".join(make_message(inode=0, cookie=cookie) for cookie in range(100, 200))
"""With so many rows one connection is looked up, and not dumped again."""
TABLE = RawTable(TableFormat.INET_DIAG, Protocol.TCP, socket.AF_UNSPEC, FIRST + SECOND + CROWD)


def look_up_in(*rows: bytes) -> Callable[[bytes], list[bytes]]:
    """A kernel with these TCP rows, which it looks up by their ends and cookie, and nothing else."""
    known = {row[20:68]: row for row in rows}

    def look_up(request: bytes) -> list[bytes]:
        assert request[:4] == struct.pack("=HH", SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST)
        return [known.get(request[12:], error(ENOENT))]

    return look_up


def find_closed(answer: Callable[[bytes], Answers], inodes: Collection[int] = (1, 2)) -> frozenset[int]:
    places = find_rows(TABLE.data, inodes, "little")
    return FakeKernel(answer).dialogue.find_closed(TABLE, places, make_buffer())


def test_a_connection_is_there_as_long_as_its_row_is() -> None:
    assert find_closed(look_up_in(FIRST, SECOND)) == frozenset()


def test_a_connection_without_a_row_has_closed() -> None:
    assert find_closed(look_up_in(SECOND)) == {1}


def test_a_connection_between_the_same_ends_with_another_cookie_is_another_one() -> None:
    assert find_closed(look_up_in(make_message(inode=1, cookie=9), SECOND)) == {1}


def test_a_connection_without_its_inode_has_closed() -> None:
    assert find_closed(look_up_in(FIRST, make_message(inode=0, cookie=2))) == {2}


def test_a_connection_of_which_one_subflow_is_there_has_not_closed() -> None:
    subflow = make_message(inode=1, cookie=3)
    table = TABLE._replace(data=subflow + TABLE.data)
    for left, gone in (((FIRST,), set()), ((subflow,), set()), ((), {1})):
        places = find_rows(table.data, [1], "little")
        assert len(places) == 2
        assert FakeKernel(look_up_in(*left)).dialogue.find_closed(table, places, make_buffer()) == gone


@pytest.mark.parametrize("number", [ENOENT, ESTALE])
def test_a_connection_that_the_kernel_does_not_find_has_closed(number: int) -> None:
    assert find_closed(in_turn([error(number)]), [1]) == {1}


@pytest.mark.parametrize("number", [EACCES, ENOMEM, EAGAIN])
def test_a_connection_that_the_kernel_does_not_tell_of_has_not_closed(number: int) -> None:
    with pytest.raises(NotRead):
        find_closed(in_turn([error(number)]), [1])


def test_many_rows_are_dumped_again_and_not_looked_up() -> None:
    few = TABLE._replace(data=FIRST + SECOND)
    places = find_rows(few.data, [1, 2], "little")
    kernel = FakeKernel(in_turn([SECOND + done()]))
    assert kernel.dialogue.find_closed(few, places, make_buffer()) == {1}
    assert kernel.asked == [asked(TCPDIAG_GETSOCK, encode_dump_both(socket.IPPROTO_TCP))]
