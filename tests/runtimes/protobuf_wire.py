"""Messages in the wire format of Protocol Buffers: fields -> bytes and back, of any shape that a test wants.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

VARINT: Final = 0
LENGTH_DELIMITED: Final = 2
_NUMBERS: Final = 1 << 64

Message: TypeAlias = dict[int, list[int | bytes]]
"""The values of each field by its number, in the order of the message."""

Value: TypeAlias = "int | str | bytes | Mapping[str, str] | list[int] | list[str] | list[bytes]"


def encode_message(fields: Mapping[int, Value]) -> bytes:
    """The message with these fields, by number, in their order.

    An int is a varint (a negative one takes 10 bytes), a nested message the bytes of it, a mapping
    a map<string, string>, and a list a repeated field, numbers unpacked. Zero and empty are
    written as well, which means the same as leaving them out.
    """
    return b"".join(_encode_field(number, value) for number, value in fields.items())


def decode_message(content: int | bytes) -> Message:
    """The fields of a sound message of varints and of what has a length."""
    assert isinstance(content, bytes)
    fields: Message = {}
    position = 0
    while position < len(content):
        key, position = _decode_varint(content, position)
        number, position = _decode_varint(content, position)
        if key & 7 == LENGTH_DELIMITED:
            fields.setdefault(key >> 3, []).append(content[position : position + number])
            position += number
        else:
            assert key & 7 == VARINT
            fields.setdefault(key >> 3, []).append(number)
    return fields


def _decode_varint(content: bytes, position: int) -> tuple[int, int]:
    """The number at `position` and where it ends."""
    number = shift = 0
    while True:
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7


def _encode_field(number: int, value: Value) -> bytes:
    """All that one field number stands for."""
    if isinstance(value, int):
        return _encode_varint(number << 3 | VARINT) + _encode_varint(value)
    if isinstance(value, Mapping):
        return b"".join(_encode_field(number, encode_message({1: key, 2: text})) for key, text in value.items())
    if isinstance(value, list):
        return b"".join(_encode_field(number, item) for item in value)
    content = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return _encode_varint(number << 3 | LENGTH_DELIMITED) + _encode_varint(len(content)) + content


def _encode_varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; of a negative number those of its two's complement of 64 bits."""
    number %= _NUMBERS
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
