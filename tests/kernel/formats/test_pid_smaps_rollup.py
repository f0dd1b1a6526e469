"""/proc/PID/smaps_rollup."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.pid_smaps_rollup import parse_rollup
from nsagent.model.process_details import Rollup

HEADING = b"558e8bffc000-7ffec6763000 ---p 00000000 00:00 0                          [rollup]\n"
SUMS = (
    b"Rss:                1784 kB\nPss:                 189 kB\nPrivate_Clean:        40 kB\n"
    b"Private_Dirty:       112 kB\nSwap:                  4 kB\n"
)
LATER = (
    b"Pss_Anon:            112 kB\nPss_File:             77 kB\nPss_Shmem:             0 kB\n"
    b"SwapPss:               2 kB\n"
)


def test_the_sums_are_in_bytes_and_what_an_old_kernel_does_not_tell_is_unknown() -> None:
    told = Rollup(1826816, 193536, None, None, None, 40960, 114688, 4096, None)
    assert parse_rollup(HEADING + SUMS) == told
    assert parse_rollup(HEADING + SUMS + LATER) == told._replace(
        pss_anonymous_bytes=114688, pss_file_bytes=78848, pss_shared_memory_bytes=0, swap_pss_bytes=2048
    )


@pytest.mark.parametrize("text", [b"", HEADING, SUMS.replace(b"Swap:", b"Swop:"), SUMS.replace(b" 189 kB", b" 189 MB")])
def test_a_sum_that_is_missing_is_an_error(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse_rollup(text)
