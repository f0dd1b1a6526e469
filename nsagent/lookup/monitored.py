"""Other names of processes: those that a program wants to see beside their own."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nsagent.errors import UsageError

Matches = Callable[["Program"], bool]


class Program(NamedTuple):
    """What of a process patterns are held against; None where it could not be read."""

    exe: str | None
    argv: tuple[str, ...] | None


class Monitored(NamedTuple):
    """An alias for the processes that match all of the patterns that are given; at least one is.

    `argv0` is the whole first argument, or its last part behind `/`; `exe` the whole path of the program. `cmdline` is
    a part of the arguments with a space between each, `regex` an expression of Python's `re` that is found in them.
    """

    alias: str
    argv0: str | None = None
    exe: str | None = None
    cmdline: str | None = None
    regex: str | None = None


class Aliases:
    """The aliases of programs."""

    def __init__(self, monitored: Sequence[Monitored]) -> None:
        """Raises UsageError for an alias without a pattern, and for a pattern that is empty or damaged."""
        self._matches = [(one.alias, _compile(one)) for one in monitored]

    def find(self, program: Program) -> tuple[str, ...]:
        """All that it has, in the order in which they were given."""
        return () if not self._matches else tuple(alias for alias, matches in self._matches if matches(program))


def _compile(one: Monitored) -> Matches:
    patterns = {name: text for name, text in one._asdict().items() if text is not None}
    if empty := [name for name, text in patterns.items() if not text]:
        raise UsageError(f"monitored {one.alias!r}: {', '.join(empty)} is empty, which would match every process")
    if len(patterns) == 1:
        raise UsageError(f"monitored {one.alias!r}: expected argv0, exe, cmdline or regex")
    try:
        regex = re.compile(one.regex or "")
    except re.error as err:
        raise UsageError(f"monitored {one.alias!r}: regex: {err}") from err

    def matches(program: Program) -> bool:
        argv = program.argv or ()
        line = " ".join(argv)
        return (
            (one.argv0 is None or (bool(argv) and one.argv0 in (argv[0], argv[0].rpartition("/")[2])))
            and (one.exe is None or program.exe == one.exe)
            and (one.cmdline is None or one.cmdline in line)
            and (one.regex is None or regex.search(line) is not None)
        )

    return matches
