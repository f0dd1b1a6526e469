"""Netlink messages: headers, the end of a dump, and its errors."""

import struct
from errno import ENOENT, EPERM

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.netlink import (
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    Status,
    decode_status,
    encode_message,
    find_status,
    read_sequence,
)

ROW = 20


def make_message(type_: int, payload: bytes = b"", *, flags: int = 2, sequence: int = 1) -> bytes:
    """One message in the byte order of this machine."""
    return struct.pack("=IHHII", 16 + len(payload), type_, flags, sequence, 0) + payload


def make_status(type_: int, errno: int) -> bytes:
    return make_message(type_, struct.pack("=i", -errno))


def test_a_request_is_a_header_with_its_length_and_the_payload() -> None:
    assert encode_message(18, 0x301, 7, b"abcd") == struct.pack("=IHHII", 20, 18, 0x301, 7, 0) + b"abcd"


def test_a_datagram_of_rows_has_no_status() -> None:
    assert find_status(make_message(ROW, bytes(72)) * 3) == Status(None, interrupted=False, messages=3)


@pytest.mark.parametrize("type_", [NLMSG_DONE, NLMSG_ERROR])
def test_a_status_after_rows_is_found(type_: int) -> None:
    rows = make_message(ROW, bytes(72)) + make_message(ROW, bytes(3)) + b"\0"
    assert find_status(rows + make_status(type_, 0)) == Status(
        Message(len(rows), 20, type_), interrupted=False, messages=2
    )


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_interrupted_dump_is_told_whichever_message_says_so(place: int) -> None:
    flags = [NLM_F_DUMP_INTR if i == place else 2 for i in range(3)]
    rows = b"".join(make_message(ROW, bytes(4), flags=flag) for flag in flags[:2])
    assert find_status(rows + make_message(NLMSG_DONE, bytes(4), flags=flags[2]))[1] is True


@pytest.mark.parametrize(
    "datagram",
    [
        b"\0",
        bytes(16),
        struct.pack("=IHHII", 15, ROW, 0, 0, 0),
        struct.pack("=IHHII", 17, ROW, 0, 0, 0),
        struct.pack("=IHHII", 0xFFFFFFFF, ROW, 0, 0, 0),
        make_message(ROW) + b"\0" * 15,
    ],
    ids=["one byte", "length 0", "length 15", "one too long", "4 GiB", "half a header after a message"],
)
def test_a_length_that_leads_out_of_the_datagram_is_a_format_error(datagram: bytes) -> None:
    with pytest.raises(FormatError):
        find_status(datagram)


def test_an_empty_datagram_has_no_status() -> None:
    assert find_status(b"") == Status(None, interrupted=False, messages=0)


def test_the_sequence_is_that_of_the_first_message() -> None:
    assert read_sequence(make_message(ROW, sequence=42) + make_message(ROW, sequence=43)) == 42


def test_a_datagram_without_a_whole_header_has_no_sequence() -> None:
    assert read_sequence(bytes(15)) is None


@pytest.mark.parametrize("type_", [NLMSG_DONE, NLMSG_ERROR])
@pytest.mark.parametrize("errno", [0, EPERM, ENOENT])
def test_the_errno_of_a_dump_is_found_in_done_and_in_error(type_: int, errno: int) -> None:
    data = make_message(ROW, bytes(8)) + make_status(type_, errno)
    assert decode_status(data, Message(24, 20, type_)) == errno


def test_a_done_without_a_status_is_success() -> None:
    assert decode_status(make_message(NLMSG_DONE), Message(0, 16, NLMSG_DONE)) == 0


def test_an_error_without_an_errno_is_a_format_error() -> None:
    with pytest.raises(FormatError, match="an errno"):
        decode_status(make_message(NLMSG_ERROR, b"\0\0"), Message(0, 18, NLMSG_ERROR))
