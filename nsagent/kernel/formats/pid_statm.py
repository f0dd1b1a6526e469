"""/proc/PID/statm: the size of a process in pages, of which the fifth and the last field are always 0.

Source: proc_pid_statm(5), fs/proc/array.c proc_pid_statm().
"""

from nsagent.errors import FormatError
from nsagent.kernel.formats.numbers import parse_decimal
from nsagent.model.process_details import Statm


def parse_statm(text: bytes, page_bytes: int) -> Statm:
    """The sizes in bytes, with pages of so many; raises FormatError."""
    try:
        size, resident, shared, code, _, data, _ = (parse_decimal(field, 64) for field in text.split())
    except ValueError as err:
        raise FormatError("seven numbers of /proc/PID/statm", text) from err
    return Statm(*(pages * page_bytes for pages in (size, resident, shared, code, data)))
