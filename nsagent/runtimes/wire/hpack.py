"""Header blocks of HTTP/2, which are compressed by HPACK: bytes -> headers, and headers -> bytes.

Source: RFC 7541. Whoever reads answers has to know all of it, for it is the other side that
chooses: a static table, a dynamic one that both sides keep, and a Huffman code. Who writes may do
without. The hpack package costs 6 ms of import.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from nsagent.errors import FormatError

Header = tuple[bytes, bytes]

_TABLE_BYTES: Final = 4096
_ENTRY_OVERHEAD_BYTES: Final = 32
_LIST_BYTES: Final = 64 * 1024
_INTEGERS: Final = 1 << 31

_LONGEST_CODE_BITS: Final = 30

# Appendix A, one entry a line: the name, and its value behind a space.
_STATIC_TEXT: Final = b"""\
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
"""

# Appendix B: the code is canonical, so the bytes that have a code of each length, in ascending
# order, are all of it. The end-of-string symbol is the last of 30 bits, and never to be met.
_BYTES_OF_LENGTH: Final[Mapping[int, bytes]] = {
    5: b"012aceiost",
    6: b" %-./3456789=A_bdfghlmnpru",
    7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ",
    10: b'!"()?',
    11: b"'+|",
    12: b"#>",
    13: b"\x00$@[]~",
    14: b"^}",
    15: b"<`{",
    19: b"\\\xc3\xd0",
    20: b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2",
    21: b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6",
    22: b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9",
    23: b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5"
    b"\xe7\xef",
    24: b"\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed",
    25: b"\xc7\xcf\xea\xeb",
    26: b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff",
    27: b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe",
    28: b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f"
    b"\xdc\xf9",
    30: b"\n\r\x16",
}


class HeaderDecoder:
    """The header blocks of one connection, in their order: each may refer to what earlier ones left in the table."""

    def __init__(self) -> None:
        lines = _STATIC_TEXT.splitlines()
        self._static = [(name, value) for name, _, value in (line.partition(b" ") for line in lines)]
        self._dynamic: list[Header] = []
        self._dynamic_bytes = 0
        self._table_bytes = _TABLE_BYTES
        self._codes = _list_codes()

    def decode(self, block: bytes) -> list[Header]:
        """The headers in `block`; raises FormatError if it is damaged, or if they are over 64 KiB in all."""
        headers: list[Header] = []
        size = position = 0
        try:
            while position < len(block):
                first = block[position]
                if first & 0xE0 == 0x20:
                    if headers:
                        raise FormatError("the size of the table before all headers", block[:8])
                    size_limit, position = _decode_integer(block, position, 5)
                    self._resize(size_limit)
                    continue
                if first & 0x80:
                    index, position = _decode_integer(block, position, 7)
                    header = self._look_up(index)
                else:
                    index, position = _decode_integer(block, position, 6 if first & 0x40 else 4)
                    name, position = (
                        (self._look_up(index)[0], position) if index else self._decode_text(block, position)
                    )
                    value, position = self._decode_text(block, position)
                    header = name, value
                    if first & 0x40:
                        self._insert(header)
                size += len(header[0]) + len(header[1]) + _ENTRY_OVERHEAD_BYTES
                if size > _LIST_BYTES:
                    raise FormatError(f"headers of at most {_LIST_BYTES} bytes", "more")
                headers.append(header)
        except IndexError as err:
            raise FormatError("a complete header block", block[-8:]) from err
        return headers

    def _look_up(self, index: int) -> Header:
        """The entry of a table; the dynamic one continues the static one, its newest entry first."""
        if index == 0:
            raise FormatError("the index of a header", "0")
        if index <= len(self._static):
            return self._static[index - 1]
        if index - len(self._static) > len(self._dynamic):
            raise FormatError("the index of a header", str(index))
        return self._dynamic[index - len(self._static) - 1]

    def _insert(self, header: Header) -> None:
        self._dynamic.insert(0, header)
        self._dynamic_bytes += _entry_bytes(header)
        self._evict()

    def _resize(self, table_bytes: int) -> None:
        if table_bytes > _TABLE_BYTES:
            raise FormatError(f"a table of at most {_TABLE_BYTES} bytes", str(table_bytes))
        self._table_bytes = table_bytes
        self._evict()

    def _evict(self) -> None:
        while self._dynamic_bytes > self._table_bytes:
            self._dynamic_bytes -= _entry_bytes(self._dynamic.pop())

    def _decode_text(self, block: bytes, position: int) -> tuple[bytes, int]:
        """A name or a value, and the position behind it."""
        is_coded = block[position] & 0x80
        length, start = _decode_integer(block, position, 7)
        end = start + length
        if end > len(block):
            raise FormatError("a complete header block", block[-8:])
        text = block[start:end]
        return self._decode_huffman(text) if is_coded else text, end

    def _decode_huffman(self, coded: bytes) -> bytes:
        """What the code stands for, bit by bit; what fills up the last byte are the first bits of end-of-string."""
        text = bytearray()
        code = 1
        for byte in coded:
            for shift in range(7, -1, -1):
                code = code << 1 | byte >> shift & 1
                symbol = self._codes.get(code)
                if symbol is not None:
                    text.append(symbol)
                    code = 1
                elif code >= 1 << _LONGEST_CODE_BITS + 1:
                    raise FormatError("a Huffman code", coded[:8])
        if code.bit_length() > 8 or code & code + 1:
            raise FormatError("a Huffman code", coded[-8:])
        return bytes(text)


def encode_headers(headers: Iterable[tuple[str, str]]) -> bytes:
    """The block of these headers, each as it stands, which touches no table of the peer's."""
    return b"".join(b"\0" + _encode_text(name) + _encode_text(value) for name, value in headers)


def _encode_text(text: str) -> bytes:
    encoded = text.encode("ascii")
    if len(encoded) >= 0x7F:
        rest = len(encoded) - 0x7F
        return bytes([0x7F, *([rest] if rest < 0x80 else [rest & 0x7F | 0x80, rest >> 7])]) + encoded
    return bytes([len(encoded)]) + encoded


def _decode_integer(block: bytes, position: int, prefix_bits: int) -> tuple[int, int]:
    """The integer whose first bits are the last ones of the byte at `position`, and the position behind it."""
    limit = (1 << prefix_bits) - 1
    number = block[position] & limit
    position += 1
    if number < limit:
        return number, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        number += (byte & 0x7F) << shift
        if number >= _INTEGERS or shift > 28:
            raise FormatError("an integer below 2**31", str(number))
        if byte < 0x80:
            return number, position
        shift += 7


def _entry_bytes(header: Header) -> int:
    """What an entry counts for in the table."""
    return len(header[0]) + len(header[1]) + _ENTRY_OVERHEAD_BYTES


def _list_codes() -> dict[int, int]:
    """The byte of each code; a code has a 1 before it, so that those of different lengths differ."""
    codes: dict[int, int] = {}
    code = length = 0
    for next_length, symbols in _BYTES_OF_LENGTH.items():
        code <<= next_length - length
        length = next_length
        for symbol in symbols:
            codes[1 << length | code] = symbol
            code += 1
    return codes
