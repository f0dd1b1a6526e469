"""/proc/PID/smaps_rollup: the memory of all mappings of a process, added up.

Source: proc_pid_smaps(5), fs/proc/task_mmu.c show_smaps_rollup(). It is empty where a process has no memory of its own.
"""

import re
from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.numbers import parse_decimal
from nsagent.model.process_details import Rollup

_LINE: Final = re.compile(rb"^([A-Za-z_]+): +([0-9]+) kB$", re.MULTILINE)


def parse_rollup(text: bytes) -> Rollup:
    """The sums in bytes; raises FormatError where one of those is missing that every kernel tells."""
    try:
        sums = {name: parse_decimal(number, 64) * 1024 for name, number in _LINE.findall(text)}
        return Rollup(
            resident_bytes=sums[b"Rss"],
            pss_bytes=sums[b"Pss"],
            pss_anonymous_bytes=sums.get(b"Pss_Anon"),
            pss_file_bytes=sums.get(b"Pss_File"),
            pss_shared_memory_bytes=sums.get(b"Pss_Shmem"),
            private_clean_bytes=sums[b"Private_Clean"],
            private_dirty_bytes=sums[b"Private_Dirty"],
            swap_bytes=sums[b"Swap"],
            swap_pss_bytes=sums.get(b"SwapPss"),
        )
    except (KeyError, ValueError) as err:
        raise FormatError("lines of /proc/PID/smaps_rollup", text) from err
