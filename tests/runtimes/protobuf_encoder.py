"""Messages in the wire format of Protocol Buffers: fields -> bytes, as an engine or a kubelet writes them.

Source: https://protobuf.dev/programming-guides/encoding/. nsagent itself only reads such messages.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from nsagent.runtimes.wire.protobuf import LENGTH_DELIMITED, VARINT

_NUMBERS: Final = 1 << 64

Value: TypeAlias = "int | str | bytes | Mapping[str, str] | list[int] | list[str] | list[bytes]"


def encode_message(fields: Mapping[int, Value]) -> bytes:
    """The message with these fields, by number, in their order.

    An int is a varint (a negative one takes 10 bytes), a nested message the bytes of it, a mapping
    a map<string, string>, and a list a repeated field, numbers unpacked. Zero and empty are
    written as well, which means the same as leaving them out.
    """
    return b"".join(_encode_field(number, value) for number, value in fields.items())


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
