"""/proc/PID/statm."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.pid_statm import parse_statm
from nsagent.model.process_details import Statm


def test_bug_58_pages_become_bytes_and_the_fields_that_are_always_0_are_left_out() -> None:
    assert parse_statm(b"765 422 394 5 0 123 0\n", 4096) == Statm(3133440, 1728512, 1613824, 20480, 503808)


@pytest.mark.parametrize("text", [b"", b"1 2 3 4 0 5", b"1 2 3 4 0 5 0 0", b"1 2 x 4 0 5 0", b"1 -2 3 4 0 5 0"])
def test_bug_58_what_is_no_seven_numbers_is_an_error(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse_statm(text, 4096)
