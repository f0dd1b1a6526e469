"""io_urings: which sockets are their registered files, so that no fd need hold them any more.

How long the kernel's text about a ring is, and how many rings there are, is up to whoever makes them.

Source: io_uring_register(2), io_uring/fdinfo.c io_uring_show_fdinfo().
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.kernel.formats.fdinfo import parse_registered_sockets
from nsagent.kernel.procfs import ProcessDir
from nsagent.model.facts import ProcessReading
from nsagent.model.gap import Gap, Kind, Stage, Subject, make_gap
from nsagent.model.ids import Fd, SocketInode
from nsagent.scan.collect.shares import Shares

MAX_RINGS: Final = 16_384
"""How many io_urings of one container or user are looked at in one walk, which takes 20 us each.

One that tells of many files counts for as many as it has KiB.
"""

_ATTEMPTS: Final = 3
_TOO_LARGE: Final = 4096
"""For how many one counts that tells more than is read: the kernel has to make all of its text, and once more."""


@dataclass(slots=True)
class Rings:
    """Reads what is registered with the io_urings of some processes; what cannot be is one of `gaps`, each once."""

    shows_paths: bool
    """The kernel is Linux 6.14 or later (kernel.formats.fdinfo)."""
    keep_pace: Callable[[], object] = lambda: None
    """Called before each ring."""
    is_over: Callable[[], bool] = lambda: False
    """Whether no more rings are to be read."""
    gaps: dict[Gap, None] = field(default_factory=dict)
    _shares: Shares = field(default_factory=lambda: Shares(MAX_RINGS))

    def find_registered(
        self, holder: ProcessDir, reading: ProcessReading, rings: Iterable[Fd], wanted: Collection[int]
    ) -> Iterator[tuple[Fd, SocketInode]]:
        """Which of the wanted inodes are registered with the io_urings at these fds, each once for a ring."""
        for fd in rings:
            self.keep_pace()
            if self.is_over():
                self._note(reading, Reason.LATE)
                return
            if not self._shares.take(reading.cgroup, reading.uid, 1):
                self._note(reading, Reason.TOO_MANY)
                return
            yield from ((fd, inode) for inode in dict.fromkeys(self._read(holder, reading, fd)) if inode in wanted)

    def _read(self, holder: ProcessDir, reading: ProcessReading, fd: Fd) -> tuple[SocketInode, ...]:
        """The sockets registered with one io_uring; the kernel does not list those of a ring that is busy just then."""
        for _ in range(_ATTEMPTS):
            try:
                text = holder.read_fdinfo(fd)
                self._shares.take(reading.cgroup, reading.uid, len(text) >> 10)
                return parse_registered_sockets(text, shows_paths=self.shows_paths)
            except Gone:
                return ()  # This ring was closed; whether the process went is asked at the next read.
            except NotRead as err:
                if err.reason is Reason.TOO_LARGE:
                    self._shares.take(reading.cgroup, reading.uid, _TOO_LARGE)
                self.gaps[make_gap(Stage.FDS, _ring_subject(reading), err)] = None
                return ()
            except FormatError:
                continue
        self._note(reading, Reason.NOT_TOLD)
        return ()

    def _note(self, reading: ProcessReading, reason: Reason) -> None:
        self.gaps[Gap(Stage.FDS, _ring_subject(reading), reason)] = None


def _ring_subject(reading: ProcessReading) -> Subject:
    return Subject(Kind.IO_URING, str(reading.pid))
