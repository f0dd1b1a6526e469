"""/proc/PID/maps: the mappings of a process, a line each.

Source: proc_pid_maps(5), fs/proc/task_mmu.c show_map_vma(). Of what a path may have only the newline is escaped there:
it has spaces, and may end in ` (deleted)` as the kernel writes it.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.numbers import parse_decimal, parse_hex
from nsagent.model.process_details import Mapping, MapsSummary

DELETED: Final = " (deleted)"
"""What the kernel writes behind the path of a file that has lost that name; a name may end so, too."""

_LINE: Final = re.compile(
    rb"([0-9a-f]+)-([0-9a-f]+) ([r-][w-][x-][ps]) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) ([0-9]+)(?: +([^ ].*)?)?",
    re.DOTALL,
)


def parse_maps(text: bytes) -> Iterator[Mapping]:
    """The mappings in the order of addresses; a last line without its end was cut off, and is left out.

    Raises FormatError.
    """
    return map(_parse_line, text.split(b"\n")[:-1])


def summarize_maps(mappings: Iterable[Mapping], *, cut: bool = False) -> MapsSummary:
    """The mappings in short; `cut` says that they are not all."""
    count = mapped = anonymous = executable = both = 0
    files: dict[str, None] = {}
    for each in mappings:
        size = each.end - each.start
        count += 1
        mapped += size
        if "x" in each.permissions:
            executable += size
            both += size if "w" in each.permissions else 0
        if each.inode:
            files[each.path] = None
        elif not each.path or each.path in ("[heap]", "[stack]") or each.path.startswith("[anon:"):
            anonymous += size
    deleted = tuple(path for path in files if path.endswith(DELETED))
    return MapsSummary(count, mapped, anonymous, executable, both, tuple(files), deleted, cut)


def find_mappings(mappings: Iterable[Mapping], path: str) -> tuple[Mapping, ...]:
    """Those of the file at a path, or that was there: all of one file, the first of that name that is mapped.

    The path is compared as a whole: `/usr/bin/foo` is not `/usr/bin/foobar`.
    """
    named = [each for each in mappings if each.inode and each.path in (path, path + DELETED)]
    # A file that took the place of another one may be mapped beside it.
    return tuple(each for each in named if _identify(each) == _identify(named[0]))


def _identify(mapping: Mapping) -> tuple[int, int, int]:
    return mapping.major, mapping.minor, mapping.inode


def _parse_line(line: bytes) -> Mapping:
    found = _LINE.fullmatch(line)
    if found is None:
        raise FormatError("a line of /proc/PID/maps", line)
    start, end, permissions, offset, major, minor, inode, path = found.groups(b"")
    try:
        return Mapping(
            start=parse_hex(start, 64),
            end=parse_hex(end, 64),
            permissions=permissions.decode("ascii"),
            offset=parse_hex(offset, 64),
            major=parse_hex(major, 32),
            minor=parse_hex(minor, 32),
            inode=parse_decimal(inode, 64),
            path=path.replace(b"\\012", b"\n").decode("utf-8", "surrogateescape"),
        )
    except ValueError as err:
        raise FormatError("a line of /proc/PID/maps", line) from err
