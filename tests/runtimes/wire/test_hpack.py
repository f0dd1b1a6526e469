"""Header blocks: what the hpack package writes is read, with its tables and its Huffman code, and damage is told."""

import random

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import FormatError
from nsagent.runtimes.wire.hpack import HeaderDecoder, encode_headers
from tests.kernel.damage import assert_fast, mutate

NAMES = st.sampled_from([b":status", b"content-type", b"grpc-status", b"grpc-message", b"x", b"date"])
VALUES = st.binary(max_size=300) | st.sampled_from([b"200", b"0", b"application/grpc"])
BLOCKS = st.lists(st.tuples(st.lists(st.tuples(NAMES, VALUES), max_size=5), st.booleans()), max_size=20)


@given(BLOCKS, st.sampled_from([None, 0, 100, 4096]))
def test_the_blocks_of_a_connection_are_read(
    blocks: list[tuple[list[tuple[bytes, bytes]], bool]], table_size: int | None
) -> None:
    encoder, decoder = hpack.Encoder(), HeaderDecoder()
    for number, (headers, coded) in enumerate(blocks):
        if number == 3 and table_size is not None:
            encoder.header_table_size = table_size
        assert decoder.decode(encoder.encode(headers, huffman=coded)) == headers


@given(st.lists(st.tuples(st.sampled_from(["te", ":path"]), st.text(st.characters(codec="ascii"), max_size=300))))
def test_what_is_written_is_read_by_others(headers: list[tuple[str, str]]) -> None:
    told = hpack.Decoder().decode(encode_headers(headers))
    assert [(str(name), str(value)) for name, value in told] == headers


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("80", "the index of a header"),
        ("be", "the index of a header"),
        ("7f8080808010", "an integer below"),
        ("3fe21f", "a table of at most 4096 bytes"),
        ("40", "a complete header block"),
        ("400161", "a complete header block"),
        ("40016105", "a complete header block"),
        ("4081ff 00", "a Huffman code"),
        ("4081fe 00", "a Huffman code"),
        ("4085ffffffffff 00", "a Huffman code"),
    ],
)
def test_damage_is_told(block: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        HeaderDecoder().decode(bytes.fromhex(block))


def test_a_damaged_block_is_what_others_take_it_for() -> None:
    random_ = random.Random(7)
    block = hpack.Encoder().encode(
        [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-status", b"0")]
    )
    for _ in range(1000):
        damaged = mutate(block, random_)
        try:
            told = HeaderDecoder().decode(damaged)
        except FormatError:
            continue
        assert told == [(bytes(name), bytes(value)) for name, value in hpack.Decoder().decode(damaged, raw=True)]


def test_headers_may_not_be_endless() -> None:
    """One byte each, that stand for an entry of 4000."""
    block = b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000 + b"\xbe" * 60_000
    with pytest.raises(FormatError, match="headers of at most 65536 bytes"):
        HeaderDecoder().decode(block)


def test_a_code_without_end_is_given_up() -> None:
    block = b"\x00\x01a\xff\x81\xfe\x03" + b"\xff" * 65_400

    def decode(data: bytes) -> None:
        with pytest.raises(FormatError):
            HeaderDecoder().decode(data)

    assert_fast(decode, block)
