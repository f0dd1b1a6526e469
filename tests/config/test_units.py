"""Durations, sizes and shares: text to number, and back to the text that people would write."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from nsagent.config.units import (
    Bytes,
    Seconds,
    Share,
    parse_bytes,
    parse_seconds,
    parse_share,
    tell_bytes,
    tell_seconds,
    tell_share,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("250ms", 0.25), ("30s", 30.0), ("1.5 m", 90.0), ("5m", 300.0), ("1h", 3600.0), ("7d", 604800.0), ("0s", 0.0)],
)
def test_a_duration_is_seconds(text: str, expected: float) -> None:
    assert parse_seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "30", 30, 30.0, None, True, "s", "-1s", "1S", "1 s ", "1us", "1e3s", "\u0663s", ["1s"]]
)
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration like"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("64MiB", 64 << 20), ("1kB", 1000), ("1.5KiB", 1536), ("7B", 7), ("2GiB", 2 << 30)]
)
def test_a_size_is_bytes(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["64", 64, "64M", "64mib", "1TiB", "%", None])
def test_anything_else_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size like"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("tell", "value", "expected"),
    [
        (tell_seconds, 0.0, "0s"), (tell_seconds, 0.25, "250ms"), (tell_seconds, 90.0, "90s"),
        (tell_seconds, 300.0, "5m"), (tell_seconds, 604800.0, "7d"), (tell_bytes, 64 << 20, "64MiB"),
        (tell_bytes, 1000, "1000B"), (tell_bytes, 2 << 30, "2GiB"),
        (tell_share, 0.05, "5%"), (tell_share, 0.125, "12.5%"), (tell_share, 2.0, "200%"),
    ],
)  # fmt: skip
def test_a_number_is_told_in_the_largest_unit_that_fits(tell: object, value: float, expected: str) -> None:
    assert callable(tell)
    assert tell(value) == expected


@given(st.integers(1, 80_000), st.sampled_from(["ms", "s", "m", "h"]))
def test_a_duration_that_is_told_is_read_as_the_same(number: int, unit: str) -> None:
    seconds = parse_seconds(f"{number}{unit}")
    assert parse_seconds(tell_seconds(seconds)) == pytest.approx(seconds, rel=1e-12)


@given(st.integers(1, 10**15 - 1))
def test_a_size_that_is_told_is_read_as_the_same(size: int) -> None:
    assert parse_bytes(tell_bytes(size)) == size


@given(st.integers(1, 10**9))
def test_a_share_that_is_told_is_read_as_the_same(number: int) -> None:
    share = parse_share(f"{number / 1000:.3f}%")
    assert parse_share(tell_share(share)) == pytest.approx(share, rel=1e-9)


@pytest.mark.parametrize("unit", [Seconds, Bytes, Share])
@given(text=st.from_regex(r"[0-9]{0,16}(\.[0-9]{0,7})? ?[a-zA-Z%]{0,3}", fullmatch=True))
def test_the_schema_takes_what_the_config_takes_and_no_more(unit: Any, text: str) -> None:
    adapter: TypeAdapter[float] = TypeAdapter(unit)
    pattern = adapter.json_schema()["pattern"]
    try:
        adapter.validate_python(text)
    except ValueError as err:
        # It cannot say that there is a largest value, or that it is none of none.
        assert not re.search(pattern, text) or "more than" in str(err)  # noqa: PT017
    else:
        assert re.search(pattern, text)
    assert re.search(pattern, "x${A}")
    json.dumps(pattern)
