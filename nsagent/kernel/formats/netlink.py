"""Netlink messages: 16-byte headers, 4-aligned, in the byte order of the machine.

Source: netlink(7), include/uapi/linux/netlink.h, RFC 3549.
"""

import struct
from typing import Final, NamedTuple

from nsagent.errors import FormatError

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_DUMP: Final = 0x300
NLM_F_DUMP_INTR: Final = 0x10

HEADER_BYTES: Final = 16
_HEADER = struct.Struct("=IHHII")
_LENGTH_TYPE_FLAGS = struct.Struct("=IHH")
_STATUS = struct.Struct("=i")


class Message(NamedTuple):
    """Where one message stands in a buffer: `offset` of its header, `length` with the header."""

    offset: int
    length: int
    type: int


def encode_message(type_: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """One request; `payload` is padded to 4 bytes already."""
    return _HEADER.pack(HEADER_BYTES + len(payload), type_, flags, sequence, 0) + payload


class Status(NamedTuple):
    """What a datagram says of its dump.

    `end` is its NLMSG_DONE or NLMSG_ERROR, if it has one; `messages` is how many stand before that.
    `interrupted`: a message says DUMP_INTR.
    """

    end: Message | None
    interrupted: bool
    messages: int


def find_status(data: bytes | memoryview) -> Status:
    """What the messages of a datagram say of the dump they belong to.

    Costs about 0.25 us a message. Raises FormatError where a length leads outside of the datagram.
    """
    offset, end, interrupted, messages = 0, len(data), 0, 0
    unpack_from = _LENGTH_TYPE_FLAGS.unpack_from
    while offset + HEADER_BYTES <= end:
        length, type_, flags = unpack_from(data, offset)
        if length < HEADER_BYTES or offset + length > end:
            raise FormatError("a netlink message within its datagram", bytes(data[offset : offset + 32]))
        interrupted |= flags & NLM_F_DUMP_INTR
        if type_ in (NLMSG_DONE, NLMSG_ERROR):
            return Status(Message(offset, length, type_), bool(interrupted), messages)
        messages += 1
        offset += (length + 3) & ~3
    if offset < end:
        raise FormatError("a netlink header", bytes(data[offset:]))
    return Status(None, bool(interrupted), messages)


def read_sequence(data: bytes | memoryview) -> int | None:
    """Which request the first message of a datagram answers; None if there is no whole message."""
    return _HEADER.unpack_from(data)[3] if len(data) >= HEADER_BYTES else None


def decode_status(data: bytes | memoryview, message: Message) -> int:
    """The errno (0 for success) of an NLMSG_ERROR or of the NLMSG_DONE that ends a dump.

    An NLMSG_DONE without a status counts as success; raises FormatError for a short NLMSG_ERROR.
    """
    if message.length < HEADER_BYTES + _STATUS.size:
        if message.type == NLMSG_DONE:
            return 0
        raise FormatError("an errno in a netlink error", bytes(data[message.offset : message.offset + message.length]))
    status: int = _STATUS.unpack_from(data, message.offset + HEADER_BYTES)[0]
    return -status
