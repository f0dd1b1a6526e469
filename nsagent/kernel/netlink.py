"""A netlink socket as a dialogue: requests, and the datagrams that answer them.

What the messages say is kernel.formats'; what is asked, that of the modules of each protocol.

Source: netlink(7), net/netlink/af_netlink.c netlink_dump().
"""

import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, EINTR, ENOENT, ENOTSUP, EOPNOTSUPP, errorcode
from functools import partial
from typing import NamedTuple, Self

from nsagent.errors import DumpInterrupted, DumpUnavailable, FormatError, NoAnswer, NotRead
from nsagent.kernel.files import translate_failure
from nsagent.kernel.formats.netlink import (
    NLM_F_DUMP,
    NLM_F_REQUEST,
    decode_status,
    encode_message,
    find_status,
    read_sequence,
)

_BUFFER_BYTES = 1 << 16
"""A dump comes in chunks of at most 32,364 bytes."""

_ANSWER_SECONDS = 10
"""An answer comes from kernel memory; one that takes longer than this never comes."""

_ATTEMPTS = 3
_NO_TABLE = (ENOENT, EOPNOTSUPP, ENOTSUP)
_SO_RCVBUFFORCE = 33


class Received(NamedTuple):
    """What one recvmsg(2) gave: how many bytes, its flags (MSG_TRUNC), and the port id it is from, 0 for the kernel."""

    length: int
    flags: int
    sender: int


class Dialogue:
    """Asks the kernel and listens to what it answers, over any `send` and `receive`. Not for two threads at once.

    `send` takes one request; `receive` fills a buffer with the next datagram, and raises the OSError
    of recvmsg(2). `subject` is what errors call it.
    """

    def __init__(self, send: Callable[[bytes], object], receive: Callable[[bytearray], Received], subject: str) -> None:
        self._send_request = send
        self._receive_next = receive
        self._subject = subject
        self._sequence = 0

    def _dump_steadily(self, type_: int, request: bytes, buffer: bytearray) -> tuple[bytes, int]:
        """The messages of a dump, and how many they are."""
        for _ in range(_ATTEMPTS):
            with suppress(DumpInterrupted):
                return self._dump_once(type_, request, buffer)
        raise DumpInterrupted(self._subject)

    def _dump_once(self, type_: int, request: bytes, buffer: bytearray) -> tuple[bytes, int]:
        """One dump. Its errors come inside NLMSG_DONE as well as in NLMSG_ERROR: both are looked at."""
        self._send(type_, NLM_F_REQUEST | NLM_F_DUMP, request)
        chunks: list[bytes] = []
        end, interrupted, rows = None, False, 0
        while end is None:
            view = self._receive(buffer)
            end, changed, messages = find_status(view)
            interrupted |= changed
            rows += messages
            chunks.append(bytes(view[: end.offset] if end else view))
        status = decode_status(view, end)
        if status in _NO_TABLE:
            raise DumpUnavailable(errorcode[status], errorcode[status])
        if status:
            raise make_failure(status, self._subject)
        if interrupted:
            raise DumpInterrupted(self._subject)
        return b"".join(chunks), rows

    def _send(self, type_: int, flags: int, payload: bytes) -> None:
        self._sequence += 1
        try:
            self._send_request(encode_message(type_, flags, self._sequence, payload))
        except OSError as err:
            raise translate_failure(err, self._subject) from err

    def _receive(self, buffer: bytearray) -> memoryview:
        """The next datagram from the kernel; raises NotRead when none comes, FormatError for a cut one."""
        while True:
            try:
                length, flags, sender = self._receive_next(buffer)
            except OSError as err:
                if err.errno == EINTR:
                    continue
                if err.errno == EAGAIN:
                    raise NoAnswer(self._subject) from err
                raise translate_failure(err, self._subject) from err
            if flags & socket.MSG_TRUNC:
                raise FormatError("a datagram that fits", bytes(buffer[:64]))
            view = memoryview(buffer)[:length]
            # Only the kernel's word counts, and not the rest of an answer that was given up.
            if sender == 0 and read_sequence(view) == self._sequence:
                return view


class SocketDialogue(Dialogue):
    """One over a socket that is made in the netns of the calling thread; a context manager. Raises NotRead."""

    def __init__(self, protocol: int, subject: str) -> None:
        self._socket = open_netlink(protocol, subject)
        super().__init__(self._socket.send, partial(receive_from, self._socket), subject)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.close()


def open_netlink(protocol: int, subject: str) -> socket.socket:
    """A socket of a netlink protocol in the netns that the calling thread is in; raises NotRead."""
    try:
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _ANSWER_SECONDS, 0))
    except OSError as err:
        raise translate_failure(err, subject) from err
    return netlink


def open_listener(protocol: int, receive_bytes: int) -> socket.socket:
    """A socket that waits for nothing, in the netns that the calling thread is in, to hear what the kernel tells.

    `receive_bytes` may wait at once; without CAP_NET_ADMIN no more than net.core.rmem_max. Raises OSError.
    """
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    netlink = socket.socket(socket.AF_NETLINK, kind, protocol)
    try:
        try:
            netlink.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_bytes)
        except PermissionError:
            netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    except OSError:
        netlink.close()
        raise
    return netlink


def receive_from(netlink: socket.socket, buffer: bytearray) -> Received:
    """The next datagram; raises the OSError of recvmsg(2)."""
    length, _, flags, sender = netlink.recvmsg_into([buffer])
    return Received(length, flags, sender[0])


def make_failure(status: int, subject: str) -> NotRead:
    """What an errno that the kernel answers with is for the caller."""
    return translate_failure(OSError(status, os.strerror(status)), subject)


def make_buffer() -> bytearray:
    """Scratch space for dumps: one for each thread that dumps."""
    return bytearray(_BUFFER_BYTES)
