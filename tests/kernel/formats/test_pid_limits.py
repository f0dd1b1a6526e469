"""/proc/PID/limits."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.pid_limits import parse_limits
from nsagent.model.process_details import Limit

HEADING = b"Limit                     Soft Limit           Hard Limit           Units     \n"
LINES = (
    b"Max cpu time              unlimited            unlimited            seconds   \n"
    b"Max open files            1024                 18446744073709551614 files     \n"
    b"Max nice priority         0                    0                    \n"
)


def test_a_line_is_a_limit_with_its_unit_where_it_has_one() -> None:
    assert parse_limits(HEADING + LINES) == (
        Limit("cpu time", None, None, "seconds"),
        Limit("open files", 1024, 18446744073709551614, "files"),
        Limit("nice priority", 0, 0, ""),
    )


@pytest.mark.parametrize(
    "text",
    [b"", LINES, HEADING + b"Max open files 1024\n", HEADING + b"Max x -1 1 files\n", HEADING + b"Max x 1 1 \xff\n"],
)
def test_what_is_no_table_of_limits_is_an_error(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse_limits(text)
