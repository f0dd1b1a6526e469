"""The bytes of /proc/PID/cmdline."""

import pytest

from nsagent.kernel.formats.pid_cmdline import parse_cmdline
from nsagent.model.process import CommandLine


@pytest.mark.parametrize(
    ("data", "argv"),
    [
        (b"sleep\x005\x00", ("sleep", "5")),
        (b"sh\x00-c\x00a b  c\x00\x00d\x00\x00", ("sh", "-c", "a b  c", "", "d", "")),
        (b"\x00\x00x\x00", ("", "", "x")),
        (b"\xff\x1b\n\x00\xc3\xa4\x00", ("\udcff\x1b\n", "\u00e4")),
        (b"nginx: worker process\x00\x00\x00\x00", ("nginx: worker process",)),
        (b"postgres: shop idle", ("postgres: shop idle",)),
        (b"\x00\x00\x00", ()),
        (b"", ()),
    ],
)
def test_arguments_keep_their_boundaries_and_a_title_is_one(data: bytes, argv: tuple[str, ...]) -> None:
    assert parse_cmdline(data, 64) == CommandLine(argv)


@pytest.mark.parametrize(
    ("data", "argv", "cut"),
    [
        (b"a\x00bcd\x00", ("a", "bcd"), False),
        (b"a\x00bcde\x00", ("a", "bcde"), True),
        (b"a\x00bcdefg", ("a", "bcde"), True),
        (b"a\x00bcd\x00e", ("a", "bcd"), True),
        (b"a\x00b\x00\x00\x00\x00", ("a", "b", "", ""), True),
        ("a\u00e4\u00e4\u00e4".encode(), ("a\u00e4\u00e4\udcc3",), True),
    ],
)
def test_what_is_longer_is_cut_and_says_so(data: bytes, argv: tuple[str, ...], *, cut: bool) -> None:
    assert parse_cmdline(data, 6) == CommandLine(argv, cut)
