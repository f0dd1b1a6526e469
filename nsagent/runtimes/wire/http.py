"""HTTP/1.1 as engines speak it: one GET over a connected socket -> the head and the body in pieces.

Source: RFC 9112. http.client would do, but costs 13 ms of import (email, ssl), where all names of a
host may cost 20, and it neither bounds the interim answers nor tells a peer that speaks no HTTP
from one that hung up. Compression, keep-alive, redirects and trailers are not asked for and not known.
"""

import socket
from collections.abc import Iterator, Mapping

from nsagent.errors import FormatError, NotServed, RuntimeUnavailable
from nsagent.runtimes.wire.one_line import one_line

_VERSION = b"HTTP/1."
_HEAD_BYTES = 64 * 1024
_CHUNK_LINE_BYTES = 4096
_RECEIVE_BYTES = 64 * 1024
_COMPLAINT_BYTES = 4096
_SWITCHING = 101
_WITHOUT_BODY = frozenset({204, 304})
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


class AnswerDecoder:
    """Bytes of one answer as they arrive -> its head, then its body. Pure.

    `status` is 0 until the head is complete; `headers` has lowercase names, and the values of one
    that repeats joined by commas. `complete`: nothing more belongs to the body. Interim answers
    (100 Continue) are passed over.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.complete = False
        self._buffer = bytearray()
        self._head_bytes = 0
        # What is left of the body or of the chunk; None: up to the end of the connection.
        self._left: int | None = 0
        self._chunked = False

    def feed(self, received: bytes) -> bytes:
        """The part of the body in what was received; b"" was received when the connection has ended.

        Raises NotServed as soon as the peer turns out to speak another protocol, and FormatError
        for damage, for a head of over 64 KiB in all, and for an end before the answer is complete.
        """
        if not received:
            if not (self.status and self._left is None and not self._chunked):
                raise FormatError("a complete HTTP answer", bytes(self._buffer) or "the end of the connection")
            self.complete = True
            return b""
        self._buffer += received
        while not self.status:
            if not self._decode_head():
                return b""
        return self._decode_chunks() if self._chunked else self._take_body()

    def _decode_head(self) -> bool:
        """Whether the buffer held a whole head, which may have been that of an interim answer."""
        start = bytes(self._buffer[: len(_VERSION)])
        if not _VERSION.startswith(start):
            raise NotServed(f"it speaks no HTTP: {bytes(self._buffer[:40])!r}")
        end = self._buffer.find(b"\r\n\r\n")
        if self._head_bytes + (len(self._buffer) if end < 0 else end) > _HEAD_BYTES:
            raise FormatError(f"a head of at most {_HEAD_BYTES} bytes", bytes(self._buffer[:80]))
        if end < 0:
            return False
        status, headers = parse_head(bytes(self._buffer[:end]))
        self._head_bytes += end + 4
        del self._buffer[: end + 4]
        if not 100 <= status < 200 or status == _SWITCHING:
            self.status, self.headers = status, headers
            self._begin_body()
        return True

    def _begin_body(self) -> None:
        coding = self.headers.get("transfer-encoding")
        length = self.headers.get("content-length")
        if self.status in _WITHOUT_BODY:
            self.complete = True
        elif coding is not None:
            if coding.lower() != "chunked":
                raise FormatError("a body in chunks", coding)
            self._chunked = True
        elif length is None:
            self._left = None
        elif not (length.isascii() and length.isdigit() and len(length) < 20):
            raise FormatError("a length of the body", length)
        else:
            self._left = int(length)
            self.complete = self._left == 0

    def _take_body(self) -> bytes:
        """What of the body is in the buffer; what follows it is dropped."""
        piece = bytes(self._buffer if self._left is None else self._buffer[: self._left])
        self._buffer.clear()
        if self._left is not None:
            self._left -= len(piece)
            self.complete = self._left == 0
        return piece

    def _decode_chunks(self) -> bytes:
        """The contents of the chunks in the buffer, also of one that has not all arrived."""
        pieces = []
        position = 0
        while not self.complete:
            if self._left:
                piece = bytes(self._buffer[position : position + self._left])
                if not piece:
                    break
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                continue
            end = self._buffer.find(b"\n", position)
            if (len(self._buffer) if end < 0 else end) - position > _CHUNK_LINE_BYTES:
                raise FormatError("the length of a chunk", bytes(self._buffer[position : position + 80]))
            if end < 0:
                break
            line = bytes(self._buffer[position:end]).rstrip(b"\r")
            position = end + 1
            # The line end after a chunk's contents reads as an empty line before the next one's length.
            if line:
                self._left = _parse_chunk_length(line)
                self.complete = self._left == 0
        del self._buffer[:position]
        return b"".join(pieces)


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """The status and the headers of a head without the empty line at its end; raises FormatError.

    Bytes beyond ASCII are read as Latin-1, as HTTP has it.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if version not in ("HTTP/1.0", "HTTP/1.1") or not (status.isascii() and status.isdigit() and len(status) == 3):
        raise FormatError("a status line", first)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise FormatError("a header", line)
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(status), headers


class Answer:
    """The answer to one GET over a connected socket; its head has arrived.

    `limit_bytes` bounds all that is received, None is no bound.
    """

    def __init__(self, connected: socket.socket, path: str, limit_bytes: int | None) -> None:
        """Ask for `path`, which has to be encoded already, and wait for the head.

        Raises OSError (a wait that was too long as well), NotServed and FormatError, which
        `pieces` does too.
        """
        self._connected = connected
        self._limit_bytes = limit_bytes
        self._received_bytes = 0
        self._decoder = AnswerDecoder()
        connected.sendall(_encode_request(path))
        self._piece = b""
        while not self._decoder.status:
            self._piece = self._receive()
        self.status = self._decoder.status
        self.headers = self._decoder.headers

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives; no piece is empty."""
        piece, self._piece = self._piece, b""
        while True:
            if piece:
                yield piece
            if self._decoder.complete:
                return
            piece = self._receive()

    def _receive(self) -> bytes:
        received = self._connected.recv(_RECEIVE_BYTES)
        self._received_bytes += len(received)
        if self._limit_bytes is not None and self._received_bytes > self._limit_bytes:
            raise FormatError(f"an answer of at most {self._limit_bytes} bytes", "a longer one")
        return self._decoder.feed(received)


def check_answer(answer: Answer) -> None:
    """Raises RuntimeUnavailable, with what the engine complains of, unless the answer is one to be read."""
    if answer.status != 200:
        complaint = b""
        for piece in answer.pieces():
            complaint += piece
            if len(complaint) >= _COMPLAINT_BYTES:
                break
        text = one_line(complaint[:_COMPLAINT_BYTES].decode("utf-8", "replace"))
        raise RuntimeUnavailable(f"HTTP {answer.status}: {text}" if text else f"HTTP {answer.status}")
    coding = answer.headers.get("content-encoding", "identity")
    if coding != "identity":
        raise FormatError("an answer that is not compressed", coding)


def _encode_request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n".encode(
        "ascii"
    )


def _parse_chunk_length(line: bytes) -> int:
    """The length before a chunk; extensions after a semicolon are passed over."""
    digits = line.partition(b";")[0].strip()
    if not digits or len(digits) > 16 or not _HEX_DIGITS.issuperset(digits):
        raise FormatError("the length of a chunk", line)
    return int(digits, 16)
