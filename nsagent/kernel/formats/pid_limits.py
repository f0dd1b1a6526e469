"""/proc/PID/limits: the resource limits of a process.

Source: proc_pid_limits(5), fs/proc/base.c proc_pid_limits().
"""

import re
from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.numbers import parse_decimal
from nsagent.model.process_details import Limit

_LINE: Final = re.compile(rb"Max ([a-z ]+?) +([0-9]+|unlimited) +([0-9]+|unlimited)(?: +([a-z]+))? *")


def parse_limits(text: bytes) -> tuple[Limit, ...]:
    """One for each line below the heading, named as there without `Max`, as in `open files`; raises FormatError."""
    heading, *lines = text.splitlines() or [b""]
    if not heading.startswith(b"Limit "):
        raise FormatError("the heading of /proc/PID/limits", text)
    return tuple(map(_parse_line, lines))


def _parse_line(line: bytes) -> Limit:
    found = _LINE.fullmatch(line)
    if found is None:
        raise FormatError("a line of /proc/PID/limits", line)
    name, soft, hard, unit = found.groups(b"")
    try:
        return Limit(name.decode("ascii"), _parse_bound(soft), _parse_bound(hard), unit.decode("ascii"))
    except ValueError as err:
        raise FormatError("a limit of 64 bits", line) from err


def _parse_bound(text: bytes) -> int | None:
    return None if text == b"unlimited" else parse_decimal(text, 64)
