"""Untrusted text in output for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.report.escape import escape


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\r\tc\0", "a\\x0ab\\x0d\\x09c\\x00"),
        ("\x7f", "\\x7f"),
        ("\x85\x9b", "\\x85\\x9b"),
        ("\u202e", "\\xe2\\x80\\xae"),
        ("\u2028\u2029", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9"),
        ("\ufeff", "\\xef\\xbb\\xbf"),
        ("\U000e0041", "\\xf3\\xa0\\x81\\x81"),
        ("\udcff\udc80", "\\xff\\x80"),
        ("\ud800", "\\xed\\xa0\\x80"),
    ],
    ids=["escape", "c0", "del", "c1", "bidi", "separators", "byte order mark", "tag", "not utf-8", "lone surrogate"],
)
def test_a_character_that_acts_becomes_hex(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@pytest.mark.parametrize("text", ["", "nginx: worker", "wörker", "日本", "😀", "a\\b", "-bash"])
def test_what_can_be_printed_stays(text: str) -> None:
    assert escape(text) is text


@given(st.text(st.characters(codec=None)))
def test_the_result_is_always_printable(text: str) -> None:
    assert escape(text).isprintable()


@given(st.binary())
def test_bytes_that_are_not_utf8_can_be_read_back(raw: bytes) -> None:
    raw = raw.replace(b"\\", b"/")
    text = escape(raw.decode("ascii", "surrogateescape"))
    assert text.encode("ascii").decode("unicode_escape").encode("latin-1") == raw
