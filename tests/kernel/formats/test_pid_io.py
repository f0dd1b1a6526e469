"""/proc/PID/io."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.pid_io import parse_io
from nsagent.model.process_details import Io

LINES = (
    b"rchar: 6976\nwchar: 12\nsyscr: 10\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 512\n"
)


def test_each_line_is_a_count() -> None:
    assert parse_io(LINES) == Io(6976, 12, 10, 1, 4096, 8192, 512)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        LINES.replace(b"syscw: 1\n", b""),
        LINES.replace(b"12", b"-12"),
        LINES.replace(b"12", b""),
        LINES + b"rchar: 1\n",
        LINES.replace(b"12", b"18446744073709551616"),
    ],
)
def test_bug_57_a_line_that_is_missing_or_malformed_is_no_zero(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse_io(text)
