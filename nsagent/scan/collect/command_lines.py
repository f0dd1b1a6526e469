"""The command lines of the owners of rows, after a pass, for those who ask for them."""

import threading
from collections.abc import Callable, Iterable
from typing import Final

from nsagent.errors import Gone, NotRead
from nsagent.kernel.command_lines import read_command_lines
from nsagent.kernel.lookups import Lookups
from nsagent.kernel.procfs import ProcFs
from nsagent.model.choices import Cmdline
from nsagent.model.gap import Kind, Stage, Subject, make_gap, merge_gaps
from nsagent.model.process import CommandLine, ProcessKey
from nsagent.model.snapshot import Snapshot
from nsagent.scan.scrub import scrub

BUDGET_SECONDS: Final = 2.0
"""For all that are read after one pass."""


class CommandLines:
    """Those of the processes of one pass, each read once, whoever asks for it, and all within one budget."""

    def __init__(
        self,
        proc_root: str,
        lookups: Lookups,
        *,
        clock: Callable[[], float],
        stop: threading.Event,
        seconds: float = BUDGET_SECONDS,
    ) -> None:
        """`clock` is monotonic, in seconds; soon after `stop` is set nothing more is read."""
        self._procfs = ProcFs(proc_root)
        self._lookups = lookups
        self._clock = clock
        self._stop = stop
        self._left = seconds
        self._told: dict[ProcessKey, CommandLine | Gone | NotRead] = {}

    def add(self, snapshot: Snapshot, wanted: Cmdline) -> Snapshot:
        """The snapshot with those of the owners of its rows, without the secrets in them that can be told.

        Of a process that has gone there is none; one that could not be read is a gap, too.
        """
        if wanted is Cmdline.NONE:
            return snapshot
        keys = dict.fromkeys(owner.process.key for socket in snapshot.sockets for owner in socket.owners)
        self._read([key for key in keys if key not in self._told])
        told = {key: self._told[key] for key in keys}
        gaps = merge_gaps(
            make_gap(Stage.COMMAND_LINES, Subject(Kind.COMMAND_LINE, str(key.pid)), each)
            for key, each in told.items()
            if isinstance(each, NotRead)
        )
        coverage = snapshot.coverage
        if gaps:
            coverage = coverage._replace(complete=False, gaps=(*coverage.gaps, *gaps))
        lines = {key: _pick(each, wanted) for key, each in told.items() if isinstance(each, CommandLine)}
        return snapshot._replace(command_lines=lines, coverage=coverage)

    def _read(self, keys: Iterable[ProcessKey]) -> None:
        started = self._clock()
        for key, told in read_command_lines(
            keys, self._procfs, self._lookups, self._left, clock=self._clock, stop=self._stop
        ):
            self._told[key] = scrub(told) if isinstance(told, CommandLine) else told
        self._left = max(self._left - (self._clock() - started), 0.0)


def _pick(line: CommandLine, wanted: Cmdline) -> CommandLine:
    if wanted is Cmdline.FULL:
        return line
    return CommandLine(line.argv[:1], line.cut and len(line.argv) == 1)
