"""Inspecting live processes, with a snapshot that tells nothing unless it is given one."""

import threading
import time
from contextlib import suppress
from typing import TypeVar

from nsagent.errors import FormatError, Gone, NotRead
from nsagent.inspect.asking import Asker
from nsagent.inspect.checksums import Checksums
from nsagent.inspect.read import Inspector
from nsagent.inspect.request import Wanted
from nsagent.inspect.subject import Which
from nsagent.kernel.lookups import Lookups
from nsagent.kernel.procfs import ProcFs
from nsagent.model.inspection import Inspection
from nsagent.model.snapshot import Snapshot
from tests.live.deadlines import until
from tests.scan.snapshots import snapshot

ENOUGH_SECONDS = 120.0
T = TypeVar("T")

WANTED = Wanted(lookup_seconds=ENOUGH_SECONDS, hashing_seconds=ENOUGH_SECONDS)


def inspect_each(
    *numbers: Which,
    wanted: Wanted = WANTED,
    known: Snapshot | None = None,
    checksums: Checksums | None = None,
    lookups: Lookups | None = None,
) -> list[Inspection | Gone | NotRead | FormatError]:
    """What is told of each of these numbers."""
    asker = Asker(lookups or Lookups(), clock=time.monotonic, stop=threading.Event())
    inspector = Inspector(known or snapshot(), ProcFs(), asker, checksums or Checksums())
    return list(inspector.inspect(numbers, wanted))


def inspect(number: int, wanted: Wanted = WANTED, *, known: Snapshot | None = None) -> Inspection:
    """The details of one process, which lives."""
    (told,) = inspect_each(number, wanted=wanted, known=known)
    assert isinstance(told, Inspection), told
    return told


def known(details: tuple[T, ...] | None) -> tuple[T, ...]:
    """Details of which there are several, all of which could be read."""
    assert details is not None
    return details


def list_missing(one: Inspection) -> dict[str, str]:
    """What could not be read, with its errno or reason."""
    return {subject.id: gap.errno or gap.reason for gap in one.gaps for subject in gap.subjects}


def read_proc(pid: int, name: str) -> bytes:
    """A file of a process as it is now, empty where it is not there."""
    with suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read()
    return b""


def await_sleep(pid: int) -> None:
    """Wait until a process that has said that it is ready waits for more."""
    until(lambda: read_proc(pid, "stat").rpartition(b")")[2].startswith(b" S "), "it sleeps")
