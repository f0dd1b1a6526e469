"""/proc/PID/io: what a process has read and written.

Source: proc_pid_io(5), fs/proc/base.c do_io_accounting().
"""

from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.numbers import parse_decimal
from nsagent.model.process_details import Io

_NAMES: Final = (b"rchar", b"wchar", b"syscr", b"syscw", b"read_bytes", b"write_bytes", b"cancelled_write_bytes")


def parse_io(text: bytes) -> Io:
    """The counts of all lines, each of which there must be once; raises FormatError."""
    lines = [line.partition(b": ") for line in text.splitlines()]
    found = {name: number for name, _, number in lines}
    try:
        if len(lines) != len(found):
            raise ValueError(text)
        return Io(*(parse_decimal(found[name], 64) for name in _NAMES))
    except (KeyError, ValueError) as err:
        raise FormatError("lines of /proc/PID/io", text) from err
