"""A function that stands for the kernel at the other end of a netlink socket."""

import struct
from collections import deque
from collections.abc import Callable, Iterable
from errno import EAGAIN
from typing import NamedTuple

from nsagent.kernel.formats.netlink import NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR
from nsagent.kernel.netlink import Received
from nsagent.kernel.sock_diag import DiagDialogue

_HEADER = struct.Struct("=IHHII")


class Datagram(NamedTuple):
    """Messages that come together.

    `sender` is a port id, 0 for the kernel; `sequence` says which request they answer, None: the last one.
    """

    data: bytes
    flags: int = 0
    sender: int = 0
    sequence: int | None = None


Answers = Iterable[bytes | Datagram | OSError]
"""What comes back for one request: datagrams, and errors that recvmsg(2) gives in their place; then silence."""


class FakeKernel:
    """Answers each request of `dialogue` by a function; keeps them in `asked`, as type, flags and payload."""

    def __init__(self, answer: Callable[[bytes], Answers]) -> None:
        self._answer = answer
        self._waiting: deque[Datagram | OSError] = deque()
        self.asked: list[bytes] = []
        self.dialogue = DiagDialogue(self._send, self._receive)

    def _send(self, request: bytes) -> None:
        self.asked.append(request[4:8] + request[16:])
        (sequence,) = struct.unpack_from("=I", request, 8)
        for one in self._answer(self.asked[-1]):
            found = Datagram(one) if isinstance(one, bytes) else one
            self._waiting.append(found if isinstance(found, OSError) else _stamp(found, sequence))

    def _receive(self, buffer: bytearray) -> Received:
        found = self._waiting.popleft() if self._waiting else OSError(EAGAIN, "nothing came within SO_RCVTIMEO")
        if isinstance(found, OSError):
            raise found
        buffer[: len(found.data)] = found.data
        return Received(len(found.data), found.flags, found.sender)


def in_turn(*answers: Answers) -> Callable[[bytes], Answers]:
    """Answers one request after the other, whatever they ask."""
    left = iter(answers)
    return lambda _: next(left)


def done(errno: int = 0) -> bytes:
    """The NLMSG_DONE that ends a dump, with the status of it."""
    return _HEADER.pack(20, NLMSG_DONE, 2, 0, 0) + struct.pack("=i", -errno)


def error(errno: int) -> bytes:
    """An NLMSG_ERROR without the request that it quotes."""
    return _HEADER.pack(20, NLMSG_ERROR, 0, 0, 0) + struct.pack("=i", -errno)


def interrupted(message: bytes) -> bytes:
    """The message with NLM_F_DUMP_INTR."""
    length, type_, flags, sequence, port_id = _HEADER.unpack_from(message)
    return _HEADER.pack(length, type_, flags | NLM_F_DUMP_INTR, sequence, port_id) + message[_HEADER.size :]


def _stamp(datagram: Datagram, sequence: int) -> Datagram:
    """The datagram with its sequence number in every message."""
    data, offset = bytearray(datagram.data), 0
    while offset + _HEADER.size <= len(data):
        struct.pack_into("=I", data, offset + 8, sequence if datagram.sequence is None else datagram.sequence)
        offset += max(int.from_bytes(data[offset : offset + 4], "little"), _HEADER.size)
    return datagram._replace(data=bytes(data))
