"""Messages of the process connector: netlink, a connector header, and one event of one thread in each.

Numbers are in the byte order of the machine, ids those of the first PID and user namespace.

Source: include/uapi/linux/cn_proc.h, include/uapi/linux/connector.h, drivers/connector/cn_proc.c.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.netlink import HEADER_BYTES, NLMSG_DONE, encode_message

PROC_CN_MCAST_LISTEN: Final = 1
PROC_CN_MCAST_IGNORE: Final = 2
CN_IDX_PROC: Final = 1
"""The id of the connector, and the number of its multicast group."""

_CN_VAL_PROC = 1
_CONNECTOR = struct.Struct("=IIIIHxx")
_HEADERS = struct.Struct("=IH2xIIIIIIHxxIIQ")
"""Of netlink, of the connector and of the event."""
_EVENT_BYTES = 16
"""Without the fields of its kind."""
_EVENT_AT = HEADER_BYTES + _CONNECTOR.size
_FIELDS_AT = _EVENT_AT + _EVENT_BYTES
_OPERATION = struct.Struct("=I")
_COMM_BYTES = 16


class Ack(NamedTuple):
    """The answer to a request, which every listener gets; `number` is that of the request, `errno` 0 for success."""

    number: int
    errno: int


class Fork(NamedTuple):
    """A new thread: of a new process where `pid` is `tgid`. `parent_tgid` is its parent, who need not have made it."""

    pid: int
    tgid: int
    parent_tgid: int


class Exec(NamedTuple):
    """A process runs another program; `pid` is `tgid`, whichever thread called execve(2)."""

    pid: int
    tgid: int


class Exit(NamedTuple):
    """A thread has ended; its process has if no other is left. `code` is a status as wait(2) has it."""

    pid: int
    tgid: int
    code: int


class Comm(NamedTuple):
    """A thread has another name, by prctl(2) or /proc, not by execve(2). Bytes that are not UTF-8 are surrogates."""

    pid: int
    tgid: int
    comm: str


class Uid(NamedTuple):
    """A thread has another real or effective uid."""

    pid: int
    tgid: int
    real: int
    effective: int


class Gid(NamedTuple):
    """A thread has another real or effective gid."""

    pid: int
    tgid: int
    real: int
    effective: int


Event = Ack | Fork | Exec | Exit | Comm | Uid | Gid


class Message(NamedTuple):
    """One event, and where it stands among all of its CPU."""

    event: Event | None
    """None for kinds that are not told here, as of sessions and core dumps."""
    cpu: int
    sequence: int
    """One more than that of the event before on this CPU, modulo 2^32: messages between are lost."""
    timestamp_ns: int
    """By CLOCK_MONOTONIC of the first time namespace."""


def encode_operation(operation: int, number: int) -> bytes:
    """A request to begin (PROC_CN_MCAST_LISTEN) or to end; `number` of 32 bits is that of the Ack which answers it."""
    body = _CONNECTOR.pack(CN_IDX_PROC, _CN_VAL_PROC, 0, number, _OPERATION.size) + _OPERATION.pack(operation)
    return encode_message(NLMSG_DONE, 0, 0, body)


def decode_message(data: bytes | bytearray | memoryview) -> Message | None:
    """The message of a datagram, None if it is no message of this connector, as NLMSG_NOOP; raises FormatError.

    The kernel sends one message in a datagram. Takes 3 us.
    """
    if len(data) < HEADER_BYTES:
        raise FormatError("a netlink header", bytes(data))
    # All headers at once; where there are not all of them, the lengths below say so, and zeros are looked at by nobody.
    whole = data if len(data) >= _FIELDS_AT else bytes(data).ljust(_FIELDS_AT, b"\0")
    length, type_, _, _, index, value, sequence, ack, size, what, cpu, timestamp_ns = _HEADERS.unpack_from(whole)
    if length < HEADER_BYTES or length > len(data):
        raise FormatError("a netlink message within its datagram", bytes(data[:32]))
    if type_ != NLMSG_DONE:
        return None
    if length < _EVENT_AT:
        raise FormatError("a connector header", bytes(data[:length]))
    if index != CN_IDX_PROC or value != _CN_VAL_PROC:
        return None
    if size < _EVENT_BYTES or _EVENT_AT + size > length:
        raise FormatError("a process event within its message", bytes(data[:length]))
    if what not in _KINDS:
        return Message(None, cpu, sequence, timestamp_ns)
    layout, make = _KINDS[what]
    if size < _EVENT_BYTES + layout.size:
        raise FormatError(f"{layout.size} bytes of an event of kind {what:#x}", bytes(data[:length]))
    return Message(make(ack, *layout.unpack_from(data, _FIELDS_AT)), cpu, sequence, timestamp_ns)


def _make_comm(_: int, pid: int, tgid: int, comm: bytes) -> Comm:
    return Comm(pid, tgid, comm.partition(b"\0")[0].decode("utf-8", "surrogateescape"))


_KINDS: Final[Mapping[int, tuple[struct.Struct, Callable[..., Event]]]] = {
    0: (struct.Struct("=I"), lambda ack, errno: Ack(ack - 1 & 0xFFFFFFFF, errno)),
    1: (struct.Struct("=4xIII"), lambda _, parent, pid, tgid: Fork(pid, tgid, parent)),
    2: (struct.Struct("=II"), lambda _, pid, tgid: Exec(pid, tgid)),
    4: (struct.Struct("=4I"), lambda _, *fields: Uid(*fields)),
    0x40: (struct.Struct("=4I"), lambda _, *fields: Gid(*fields)),
    0x200: (struct.Struct(f"=II{_COMM_BYTES}s"), _make_comm),
    0x80000000: (struct.Struct("=III"), lambda _, *fields: Exit(*fields)),
}
"""PROC_EVENT_* -> the layout of what follows, and the event made of that; the first argument is the ack number."""
