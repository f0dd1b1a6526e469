"""Damaging recorded input: bits flipped, bytes cut out, put in and doubled, lengths that lie."""

import random
from collections.abc import Callable, Iterator, Sequence

from tests.cpu_time import cpu_seconds

COUNTING_SECONDS = 0.018
SLOWEST_SECONDS_PER_64_KIB = 0.05

_LIES = (0, 1, 3, 15, 16, 17, 87, 88, 89, 0x7F, 0xFF, 0x7FFF, 0xFFFF)
_INSERTS = (
    b"\0",
    b"-",
    b"+",
    b"_",
    b"0x",
    b"9" * 30,
    b" ",
    b"\n",
    b"\r",
    b"\xff",
    b"(",
    b")",
    b":",
    b"\\777",
    b"\xc2\xb2",
)


def mutate(seed: bytes, random_: random.Random) -> bytes:
    """`seed` with one to four damages."""
    data = bytearray(seed)
    for _ in range(random_.randint(1, 4)):
        random_.choice(_DAMAGES)(data, random_)
    return bytes(data)


def _flip_bits(data: bytearray, random_: random.Random) -> None:
    for _ in range(random_.randint(1, 8)):
        if data:
            data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)


def _cut(data: bytearray, random_: random.Random) -> None:
    del data[random_.randint(0, len(data)) :]


def _cut_out(data: bytearray, random_: random.Random) -> None:
    start = random_.randint(0, len(data))
    del data[start : start + random_.randint(1, 16)]


def _put_in(data: bytearray, random_: random.Random) -> None:
    start = random_.randint(0, len(data))
    data[start:start] = random_.choice(_INSERTS)


def _double(data: bytearray, random_: random.Random) -> None:
    start = random_.randint(0, len(data))
    data[start:start] = data[start : start + random_.randint(1, 128)]


def _lie(data: bytearray, random_: random.Random) -> None:
    """Write a 16-bit length where one may stand."""
    start = random_.randint(0, len(data) // 4) * 4
    data[start : start + 2] = random_.choice(_LIES).to_bytes(2, random_.choice(("little", "big")))


_DAMAGES: Sequence[Callable[[bytearray, random.Random], None]] = (_flip_bits, _cut, _cut_out, _put_in, _double, _lie)


def pair_lines(table: bytes) -> list[bytes]:
    """Whole input as short input: each line with the next one, and the last line alone.

    What is damaged is what is decoded then: of a long table most rows are whole, again and again.
    """
    return _pair(table.splitlines(keepends=True))


def pair_messages(dump: bytes) -> list[bytes]:
    """The same of netlink messages, each of which begins with its length (netlink(7)), in little-endian order."""
    messages, start = [], 0
    while start < len(dump):
        end = start + int.from_bytes(dump[start : start + 4], "little")
        messages.append(dump[start:end])
        start = end
    return _pair(messages)


def _pair(rows: Sequence[bytes]) -> list[bytes]:
    return [b"".join(rows[start : start + 2]) for start in range(len(rows))]


def damaged(seeds: Sequence[bytes], count: int, number: int) -> Iterator[bytes]:
    """`count` damaged inputs; the same `number` gives the same ones."""
    random_ = random.Random(number)
    for _ in range(count):
        yield mutate(random_.choice(seeds), random_)


def assert_fast(decode: Callable[[bytes], object], data: bytes) -> None:
    """Decoding takes no longer than the target allows; in CPU time, measured up to five times.

    The target is one for a machine that counts to a million in COUNTING_SECONDS; a slower one has so much longer.
    """
    target = SLOWEST_SECONDS_PER_64_KIB * max(1.0, len(data) / (1 << 16))
    taken = []
    for _ in range(5):
        taken.append(cpu_seconds(lambda: decode(data)))
        # What the target allows is allowed on any machine; only what takes longer asks how slow this one is.
        if taken[-1] <= target:
            return
        allowed = target * max(1.0, cpu_seconds(lambda: sum(range(1_000_000))) / COUNTING_SECONDS)
        if taken[-1] <= allowed:
            return
    raise AssertionError(f"{min(taken):.3f} s for {len(data)} bytes, {allowed:.3f} s allowed: {data[:100]!r}")
