"""The command lines of processes, read by a child that can be left behind: one that hangs costs the time for all, once.

Which process it is is told by its start, through the same held directory by which its command line is then read.

Source: kernel.lookups; proc_pid_cmdline(5).
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Final

from nsagent.errors import FormatError, Gone, NotRead, ProcessGone, Reason
from nsagent.kernel.formats.pid_cmdline import parse_cmdline
from nsagent.kernel.lookups import Lookups, ProcessLookup
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.kernel.questions import ask_file
from nsagent.model.process import CommandLine, ProcessKey

_MOST_BYTES: Final = 1 << 12
"""Of a command line; of a longer one one byte more is read."""


def read_command_lines(
    wanted: Iterable[ProcessKey],
    procfs: ProcFs,
    lookups: Lookups,
    seconds: float,
    *,
    clock: Callable[[], float],
    stop: threading.Event,
) -> Iterator[tuple[ProcessKey, CommandLine | Gone | NotRead]]:
    """Each process with its command line, of at most 4 KiB, or why there is none; as Lookups.open_each tells them.

    Needs no privilege where procfs shows the process.
    """
    keys = list(wanted)
    question = ask_file("cmdline", _MOST_BYTES)
    asked = [ProcessLookup(key, partial(_open_same, procfs, key), *question) for key in keys]
    with closing(lookups.read_each(asked, seconds, clock=clock, stop=stop)) as answers:
        for index, answer in answers:
            told = parse_cmdline(answer, _MOST_BYTES) if isinstance(answer, bytes) else answer
            yield keys[index], told


def _open_same(procfs: ProcFs, key: ProcessKey) -> ProcessDir:
    """The directory of a process, if it is the same still: of a thread that lives where its leader does not.

    Raises ProcessGone and NotRead.
    """
    with ExitStack() as held:
        process = held.enter_context(procfs.open_process(key.pid))
        try:
            stat = process.read_stat()
        except FormatError as err:
            raise NotRead(process.subject, Reason.MALFORMED) from err
        if stat.start_ticks != key.start_ticks:
            raise ProcessGone(process.subject)
        if stat.is_dead:
            return process.open_live_thread()
        held.pop_all()
        return process
