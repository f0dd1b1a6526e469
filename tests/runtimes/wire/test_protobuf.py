"""The wire format: what is encoded comes back, and damage is told whatever it looks like."""

import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import FormatError
from nsagent.runtimes.wire.protobuf import (
    LENGTH_DELIMITED,
    VARINT,
    decode_map_entry,
    decode_text,
    iterate_fields,
)
from tests.kernel.damage import assert_fast, mutate
from tests.runtimes.wire.protobuf_encoder import encode_message

NUMBERS = st.integers(1, 2**29 - 1)
VARINTS = st.integers(0, 2**64 - 1)
# What UTF-8 and surrogate escapes can hold; half a surrogate pair cannot be in a string.
TEXTS = st.text() | st.binary().map(decode_text)


@given(st.dictionaries(NUMBERS, VARINTS | st.binary(max_size=300), max_size=20))
def test_fields_come_back_in_their_order(fields: Mapping[int, int | bytes]) -> None:
    told = [(number, VARINT if isinstance(value, int) else LENGTH_DELIMITED, value) for number, value in fields.items()]
    assert list(iterate_fields(encode_message(fields))) == told


@given(TEXTS)
def test_a_text_comes_back_with_bytes_that_are_not_utf8(text: str) -> None:
    ((_, _, content),) = iterate_fields(encode_message({1: text}))
    assert isinstance(content, bytes)
    assert decode_text(content) == text


@given(st.dictionaries(TEXTS, TEXTS))
def test_a_map_is_one_entry_for_each_key(mapping: Mapping[str, str]) -> None:
    entries = [content for _, _, content in iterate_fields(encode_message({8: mapping})) if isinstance(content, bytes)]
    assert dict(decode_map_entry(entry) for entry in entries) == mapping


@given(st.lists(st.binary(), max_size=5))
def test_a_list_is_one_field_for_each_item(items: list[bytes]) -> None:
    assert [content for _, _, content in iterate_fields(encode_message({3: items}))] == items


@pytest.mark.parametrize(
    ("fields", "encoded"),
    [
        # The examples of the format's own description.
        ({1: 150}, "089601"),
        ({2: "testing"}, "120774657374696e67"),
        ({3: b"\x08\x96\x01"}, "1a03089601"),
        ({1: -2}, "08feffffffffffffffff01"),
        ({4: "hello", 6: [1, 2, 3]}, "220568656c6c6f300130023003"),
        ({7: {"a": "b"}}, "3a060a0161120162"),
        ({16: 0}, "800100"),
        ({}, ""),
    ],
)
def test_a_message_is_encoded_as_by_others(fields: Mapping[int, int | str | bytes], encoded: str) -> None:
    assert encode_message(fields).hex() == encoded


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("0801 0a0161 0d01020304 11 0102030405060708", [
            (1, 0, 1), (1, 2, b"a"), (1, 5, b"\1\2\3\4"), (2, 1, b"\1\2\3\4\5\6\7\x08"),
        ]),
        ("08ffffffffffffffffff01", [(1, 0, 2**64 - 1)]),
        ("0880808080808080808000", [(1, 0, 0)]),
        ("88808080 00 01", [(1, 0, 1)]),
        ("f8ffffff0f00", [(2**29 - 1, 0, 0)]),
        ("0a8000", [(1, 2, b"")]),
    ],
)  # fmt: skip
def test_fields_as_others_encode_them(message: str, fields: list[tuple[int, int, int | bytes]]) -> None:
    """The fixed types, and varints that take more bytes than they need."""
    assert list(iterate_fields(bytes.fromhex(message))) == fields


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("08", "a complete message"),
        ("88", "a complete message"),
        ("0880", "a complete message"),
        ("0a", "a complete message"),
        ("0a02 61", "2 bytes, got '1 bytes'"),
        ("0affffffff0f 61", "4294967295 bytes"),
        ("0affffffffffffffffff01", "18446744073709551615 bytes"),
        ("0d010203", "4 bytes"),
        ("0901020304050607", "8 bytes"),
        ("00", "a field number"),
        ("0200", "a field number"),
        ("8080808010 00", "a field number"),
        ("0b", "a wire type"),
        ("0c", "a wire type"),
        ("0e", "a wire type"),
        ("0f", "a wire type"),
        ("08808080808080808080808000", "at most 10 bytes"),
        ("08ffffffffffffffffff02", "at most 64 bits"),
    ],
)
def test_damage_is_told(message: str, expected: str) -> None:
    with pytest.raises(FormatError, match=expected):
        list(iterate_fields(bytes.fromhex(message)))


def test_the_fields_before_the_damage_are_given() -> None:
    fields = iterate_fields(bytes.fromhex("0801 0a05 61"))
    assert next(fields) == (1, 0, 1)
    with pytest.raises(FormatError):
        next(fields)


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_damage(message: bytes) -> None:
    try:
        for number, wire_type, value in iterate_fields(message):
            assert 0 < number < 2**29
            assert isinstance(value, int) == (wire_type == VARINT)
            if wire_type == LENGTH_DELIMITED and isinstance(value, bytes):
                decode_map_entry(value)
    except FormatError:
        return


def test_a_damaged_message_is_fields_or_damage() -> None:
    random_ = random.Random(20)
    message = encode_message({1: "a" * 64, 2: 7, 8: {"app": "shop", "tier": "web"}, 9: [b"x" * 300, b""], 200: 2**63})
    for _ in range(2000):
        damaged = mutate(message, random_)
        try:
            assert all(0 < number < 2**29 for number, _, _ in iterate_fields(damaged))
        except FormatError:
            continue


@pytest.mark.parametrize(
    "message",
    [b"\x08\x01" * 32768, b"\x0a\0" * 32768, b"\x0a\x80\x80\x04" + b"\x80" * 65536, b"\x88\x80\x80\x80\0\x01" * 10922],
    ids=["numbers", "empty", "one", "long"],
)
def test_many_fields_take_no_long(message: bytes) -> None:
    assert_fast(lambda data: [None for _ in iterate_fields(data)], message)


@pytest.mark.parametrize(
    ("entry", "pair"),
    [
        (b"", ("", "")),
        (b"\x0a\1k", ("k", "")),
        (b"\x12\1v", ("", "v")),
        (b"\x12\1v\x0a\1k", ("k", "v")),
        (b"\x0a\1k\x12\1v\x12\1w\x1a\1x\x08\1", ("k", "w")),
        (b"\x0a\1\xff\x12\2\0\n", ("\udcff", "\0\n")),
    ],
)
def test_an_entry_of_a_map(entry: bytes, pair: tuple[str, str]) -> None:
    assert decode_map_entry(entry) == pair
