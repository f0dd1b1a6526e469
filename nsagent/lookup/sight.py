"""What a resolver sees of the host: a snapshot, and of each process in it that holds a socket what it runs."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from os import uname
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeVar

from nsagent.errors import FormatError, Gone, NotRead
from nsagent.kernel.boot_clock import date_start
from nsagent.kernel.command_lines import read_command_lines
from nsagent.kernel.details import read_link
from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Pid
from nsagent.model.process import CommandLine, ProcessKey
from nsagent.model.snapshot import Snapshot
from nsagent.runtimes.discover import discover_runtimes
from nsagent.scan.collect.carried import Carried
from nsagent.scan.plan import TablesWanted
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import take_snapshot

T = TypeVar("T")

_NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})
_COMMAND_LINES_SECONDS: Final = 2.0
"""For those of all processes of a pass: only a process that hangs takes so long."""


class Running(NamedTuple):
    """What a process runs; None where it could not be read."""

    started_at: float
    """In seconds since the epoch."""
    ppid: Pid | None = None
    exe: str | None = None
    cwd: str | None = None
    command_line: CommandLine | None = None


class Sight(NamedTuple):
    """One look at the host."""

    snapshot: Snapshot
    running: Mapping[ProcessKey, Running]
    """Of the owners of its sockets."""


class Looks(Protocol):
    """What looks at the host, one look after the other; for one thread at a time."""

    def look(self, stop: threading.Event) -> Sight:
        """The next look; raises NsagentError where there is none, and Aborted soon after `stop` is set."""
        ...

    def close(self) -> None:
        """Look no more."""
        ...


class HostLooks:
    """Passes over this host; each brings what the one before knew."""

    def __init__(
        self,
        *,
        proc_root: str = "/proc",
        host_root: str = "/",
        runtime: str | None = None,
        environ: Mapping[str, str] = _NO_ENVIRONMENT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`runtime` is what to ask for names, as with `--runtime`; `environ` is where DOCKER_HOST and the like are.

        `clock` is monotonic, in seconds. Raises UsageError.
        """
        self._clock = clock
        self._procfs = ProcFs(proc_root)
        self._runtimes = discover_runtimes(runtime, environ, host_root, clock=clock, follow=True)
        self._carried = Carried()
        tables = TablesWanted(own_addresses=True)
        self._request = SnapshotRequest(uname().nodename, 0, proc_root, tables=tables, host_root=host_root)

    def look(self, stop: threading.Event) -> Sight:
        """A pass, then what the owners of sockets run: within the pass many of them would run no longer."""
        request = self._request.started_at(time.time_ns())
        taken = take_snapshot(request, self._runtimes, clock=self._clock, stop=stop, carried=self._carried)
        keys = {owner.process.key for socket in taken.snapshot.sockets for owner in socket.owners}
        return Sight(taken.snapshot, self._read_running(keys, stop))

    def close(self) -> None:
        """Ask no runtime any more."""
        self._runtimes.close()

    def _read_running(self, keys: Iterable[ProcessKey], stop: threading.Event) -> dict[ProcessKey, Running]:
        running = {key: read_running(self._procfs, key) for key in keys}
        for key, line in read_command_lines(
            running, self._procfs, self._carried.lookups, _COMMAND_LINES_SECONDS, clock=self._clock, stop=stop
        ):
            if isinstance(line, CommandLine):
                running[key] = running[key]._replace(command_line=line)
        return running


def read_running(procfs: ProcFs, key: ProcessKey, date: Callable[[int], float] = date_start) -> Running:
    """What a process runs, less its command line; nothing of one that has gone, or whose pid is another's by now.

    `date` tells when a start was, in seconds since the epoch.
    """
    running = Running(date(key.start_ticks))
    try:
        with ExitStack() as held:
            process = held.enter_context(procfs.open_process(key.pid))
            stat = process.read_stat()
            if stat.start_ticks != key.start_ticks:
                return running
            if stat.is_dead:  # What a dead leader has not, its threads have.
                process = held.enter_context(process.open_live_thread())
            return running._replace(
                ppid=_read(lambda: process.read_family().parent),
                exe=_read(lambda: read_link(process, "exe")),
                cwd=_read(lambda: read_link(process, "cwd")),
            )
    except (Gone, NotRead, FormatError):
        return running


def _read(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (Gone, NotRead, FormatError):
        return None
