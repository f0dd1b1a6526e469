"""The client's side of one HTTP/2 connection, without I/O: requests -> bytes, and received bytes -> what they say.

Source: RFC 9113. Only what unary calls need: all requests are sent at once and are short, and the
windows for answers are so wide that none has to be widened. The h2 package does all of it, and
costs 21 ms of import, where all names of a host may cost 20.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.runtimes.wire.hpack import Header, HeaderDecoder, encode_headers

WINDOW_BYTES: Final = 2**31 - 1
"""What a peer may send before anything is acknowledged; nothing ever is."""

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_BYTES: Final = 16 * 1024
_BLOCK_BYTES: Final = 64 * 1024
_HEAD_BYTES: Final = 9
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PUSH_PROMISE, _PING, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 9
_ACK, _END_STREAM, _END_HEADERS, _PADDED, _PRIORITY = 1, 1, 4, 8, 0x20
_PRIORITY_BYTES: Final = 5
_ENABLE_PUSH, _INITIAL_WINDOW_SIZE = 2, 4
_FIRST_WINDOW_BYTES: Final = 2**16 - 1
_WINDOW_UPDATE: Final = 8
_STREAM_BITS: Final = 2**31 - 1
_ERRORS: Final = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip


class Headers(NamedTuple):
    """The head of an answer, or its trailers if it is not the `first`; interim answers are passed over."""

    stream_id: int
    headers: list[Header]
    first: bool


class Data(NamedTuple):
    """A part of the body; `cost_bytes` is what it takes of the windows, with its padding."""

    stream_id: int
    content: bytes
    cost_bytes: int


class Ended(NamedTuple):
    """The answer is complete."""

    stream_id: int


class Refused(NamedTuple):
    """The peer ends an answer, or with stream 0 the connection: the name of the error, or its number."""

    stream_id: int
    error: str


Event = Headers | Data | Ended | Refused


class ClientConnection:
    """One connection; `frames` counts those received."""

    def __init__(self) -> None:
        settings = _encode_setting(_ENABLE_PUSH, 0) + _encode_setting(_INITIAL_WINDOW_SIZE, WINDOW_BYTES)
        window = (WINDOW_BYTES - _FIRST_WINDOW_BYTES).to_bytes(4, "big")
        self.frames = 0
        self._output = bytearray(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, window))
        self._input = bytearray()
        self._decoder = HeaderDecoder()
        self._next_stream_id = 1
        # The streams that are open, and whether their head has come.
        self._streams: dict[int, bool] = {}
        self._block: tuple[int, int, bytes] | None = None

    def request(self, headers: Iterable[tuple[str, str]], body: bytes) -> int:
        """Make a request and say the stream that its answer will come in; `body` is at most 16 KiB of all bodies."""
        stream_id = self._next_stream_id
        self._next_stream_id += 2
        self._streams[stream_id] = False
        self._output += _frame(_HEADERS, _END_HEADERS, stream_id, encode_headers(headers))
        self._output += _frame(_DATA, _END_STREAM, stream_id, body)
        return stream_id

    def take_output(self) -> bytes:
        """What is to be sent next; empty if nothing is."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def receive(self, data: bytes) -> Iterator[Event]:
        """What the frames say that `data` completes, one after the other; raises FormatError at the first damage."""
        self._input += data
        position = 0
        try:
            while len(self._input) - position >= _HEAD_BYTES:
                length = int.from_bytes(self._input[position : position + 3], "big")
                if length > _FRAME_BYTES:
                    raise FormatError(f"a frame of at most {_FRAME_BYTES} bytes", str(length))
                start = position + _HEAD_BYTES
                if len(self._input) < start + length:
                    break
                kind, flags = self._input[position + 3], self._input[position + 4]
                stream_id = int.from_bytes(self._input[position + 5 : start], "big") & _STREAM_BITS
                position = start + length
                self.frames += 1
                yield from self._take_frame(kind, flags, stream_id, bytes(self._input[start:position]))
        finally:
            del self._input[:position]

    def _take_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> Iterator[Event]:
        """One frame; of kinds that are not known, and of priorities and windows, nothing is to be done."""
        if (kind == _CONTINUATION) != (self._block is not None):
            raise FormatError("a header block in one piece", f"a frame of kind {kind}")
        if kind == _DATA:
            yield from self._take_data(flags, stream_id, payload)
        elif kind == _HEADERS:
            content = _strip_padding(payload, flags)
            self._block = stream_id, flags, content[_PRIORITY_BYTES:] if flags & _PRIORITY else content
        elif kind == _CONTINUATION and self._block is not None:
            first_id, first_flags, block = self._block
            if first_id != stream_id or len(block) + len(payload) > _BLOCK_BYTES or not payload:
                raise FormatError(f"a header block of at most {_BLOCK_BYTES} bytes", "one without end")
            self._block = stream_id, first_flags | flags, block + payload
        elif kind == _SETTINGS and not flags & _ACK:
            self._output += _frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            if len(payload) != 8:
                raise FormatError("a ping of 8 bytes", payload)
            self._output += _frame(_PING, _ACK, 0, payload)
        elif kind in (_RST_STREAM, _GOAWAY):
            yield _read_refusal(kind, stream_id, payload)
        elif kind == _PUSH_PROMISE:
            raise FormatError("answers to requests", "an answer to none")
        if self._block is not None and self._block[1] & _END_HEADERS:
            yield from self._take_headers(*self._block)
            self._block = None

    def _take_data(self, flags: int, stream_id: int, payload: bytes) -> Iterator[Event]:
        if not self._streams.get(stream_id):
            raise FormatError("a body behind its head", f"one in stream {stream_id}")
        yield Data(stream_id, _strip_padding(payload, flags), len(payload))
        if flags & _END_STREAM:
            del self._streams[stream_id]
            yield Ended(stream_id)

    def _take_headers(self, stream_id: int, flags: int, block: bytes) -> Iterator[Event]:
        headers = self._decoder.decode(block)
        has_head = self._streams.get(stream_id)
        if has_head is None:
            raise FormatError("answers to requests", f"one in stream {stream_id}")
        ended = bool(flags & _END_STREAM)
        if has_head and not ended:
            raise FormatError("trailers at the end", "headers in the middle")
        if not has_head and not ended and dict(headers).get(b":status", b"").startswith(b"1"):
            return
        self._streams[stream_id] = True
        yield Headers(stream_id, headers, not has_head)
        if ended:
            del self._streams[stream_id]
            yield Ended(stream_id)


def _read_refusal(kind: int, stream_id: int, payload: bytes) -> Refused:
    """A RST_STREAM or a GOAWAY, which has the last stream before the error."""
    start = 4 if kind == _GOAWAY else 0
    if len(payload) < start + 4:
        raise FormatError("an error of HTTP/2", payload)
    code = int.from_bytes(payload[start : start + 4], "big")
    return Refused(0 if kind == _GOAWAY else stream_id, _ERRORS[code] if code < len(_ERRORS) else str(code))


def _strip_padding(payload: bytes, flags: int) -> bytes:
    """A payload without the padding that its first byte tells the length of."""
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise FormatError("padding shorter than its frame", payload[:8])
    return payload[1 : len(payload) - payload[0]]


def _frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def _encode_setting(setting: int, value: int) -> bytes:
    return setting.to_bytes(2, "big") + value.to_bytes(4, "big")
