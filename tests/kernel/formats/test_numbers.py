"""Numbers as the kernel prints them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.kernel.formats.numbers import parse_decimal, parse_hex

PARSERS: list[Callable[[str | bytes, int], int]] = [parse_decimal, parse_hex]


@given(st.integers(0, (1 << 64) - 1))
def test_any_number_comes_back(number: int) -> None:
    assert [parse_decimal(str(number), 64), parse_hex(f"{number:X}", 64)] == [number, number]
    assert [parse_decimal(b"%d" % number, 64), parse_hex(b"%016x" % number, 64)] == [number, number]


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_the_greatest_number_of_so_many_bits_is_taken_and_the_next_is_not(bits: int) -> None:
    most = (1 << bits) - 1
    assert [parse_decimal(str(most), bits), parse_hex(f"{most:x}", bits)] == [most, most]
    for parse, text in ((parse_decimal, str(most + 1)), (parse_hex, f"{most + 1:x}")):
        with pytest.raises(ValueError, match=text):
            parse(text, bits)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1_0", " 1", "1 ", "1\n", "0x1", "0X1", "0o1", "g", "\u0661", "\u00b2", "1" * 5000]
)
def test_anything_but_digits_is_refused(parse: Callable[[str | bytes, int], int], text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says is for nobody: a FormatError follows it.
        parse(text, 64)
    with pytest.raises(ValueError):  # noqa: PT011
        parse(text.encode(), 64)
