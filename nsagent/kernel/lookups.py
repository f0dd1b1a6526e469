"""Netns that others have mounted, or of their sockets, and what processes have, by a child that can be left behind.

Whoever has a mount namespace of its own can put a file system over a mount point that never answers: then whoever looks
that up waits, in state D and beyond SIGKILL, until its server goes, and a process ends only when all of its threads do.
Whoever duplicates an fd of somebody else may get another file than the link had told, and waits at the latest when he
closes it: a FUSE server is told of each close, and answers when it likes (fs/fuse/file.c fuse_flush()).
Whoever reads a command line, or what else a process has in memory, waits for its mmap lock, which that holds while a
FUSE server writes back what it unmaps (fs/fuse/file.c fuse_vma_close()).
So a process that is good for nothing else does it. It has its own interpreter (posix_spawn(3), which is vfork and exec:
no fork beside threads) and nothing of ours but one end of a socketpair: held up it holds nothing up.
It is waited for as long as the budget lasts, whichever of its look-ups, each in a thread, have ended by then.

Source: socketpair(2), unix(7) SCM_RIGHTS, posix_spawn(3), pidfd_open(2); the program is kernel.lookup_child.
"""

import fcntl
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from errno import EBADF, ELOOP, EMFILE, ENAMETOOLONG, ENOTDIR, errorcode
from typing import Final, NamedTuple, TypeVar

from nsagent.errors import Gone, NoAnswer, NotRead, Reason
from nsagent.kernel.files import translate_errno, translate_failure
from nsagent.kernel.libc import close_fd
from nsagent.kernel.lookup_child import ANSWER, MOST_INLINE_BYTES, QUESTION, SOCKET, receive, send
from nsagent.kernel.procfs import ProcessDir

T = TypeVar("T")

MOST_LEFT: Final = 8
"""So many children may be left behind at a time, of 5 MiB each; then nothing is looked up until one has ended."""

_MOST_ASKED: Final = 256
"""So many look-ups are under way at a time, a thread of the child each."""

_SUBJECT: Final = "look-ups of what others have"
_CHILD_FD: Final = 3
_FIRST_FREE_FD: Final = 10
_END_SECONDS: Final = 0.5
"""How long a child that was killed is waited for: what takes longer is held up, or ends before the next pass."""
_STOP_SECONDS: Final = 0.2
"""How soon it is seen that the pass was told to stop."""
_GONE: Final = (EBADF, ELOOP, ENAMETOOLONG, ENOTDIR)
"""What is told of an fd that holds something else by now, and of a mount point that is covered, or too deep."""
_PROGRAM: Final = (
    f"import sys; sys.path.append(sys.argv[1]); from nsagent.kernel.lookup_child import main; main({_CHILD_FD})"
)


class Lookup(NamedTuple):
    """Where the netns with an inode is mounted: the mount points, as a process sees them, which is opened for it.

    Look-ups with the same `view` see the same mounts.
    """

    view: Hashable
    inode: int
    open_process: Callable[[], ProcessDir]
    mount_points: Sequence[str]


class SocketLookup(NamedTuple):
    """Where a socket with an inode is held: at an fd of a process, or of a `thread` (kernel.pidfd)."""

    view: Hashable
    inode: int
    pid: int
    fd: int
    thread: bool


class ProcessLookup(NamedTuple):
    """What is to be read of a process, which is opened for it: that raises what says that it is gone.

    `what` begins with the byte that says how, of kernel.lookup_process, which tells what `number` means there.
    """

    view: Hashable
    open_process: Callable[[], ProcessDir]
    number: int
    what: bytes


_Question = Lookup | SocketLookup | ProcessLookup

_Take = Callable[[bytes, int | None], T | Gone | NotRead]
"""Makes of the bytes behind the head of an answer, and the fd that came with them, what was asked for."""


class Lookups:
    """What looks them up; to be kept for as long as passes are made, for it knows which children were left behind.

    While one is held up, nothing is looked up in the views of which it had to: a neighbour who holds up look-ups
    costs time once, and others nothing. For one thread at a time.
    """

    def __init__(self) -> None:
        self._left: dict[int, frozenset[Hashable]] = {}

    def count_left(self) -> int:
        """How many children were left behind and have not ended since."""
        self._left = {pid: views for pid, views in self._left.items() if not _has_ended(pid)}
        return len(self._left)

    def open_each(
        self,
        wanted: Sequence[Lookup | SocketLookup],
        seconds: float,
        *,
        clock: Callable[[], float],
        stop: threading.Event,
    ) -> Generator[tuple[int, int | Gone | NotRead], None, None]:
        """The index of each look-up with an fd on the netns, to be closed by the caller, or why there is none.

        They come as they are answered; after so many `seconds` by the clock, all of them together, the rest are
        NoAnswer. Needs what reading the root of each process does, and 25 ms of CPU for the child.
        """
        return self._look_up(wanted, seconds, _take_fd, clock, stop)

    def read_each(
        self, wanted: Sequence[ProcessLookup], seconds: float, *, clock: Callable[[], float], stop: threading.Event
    ) -> Generator[tuple[int, bytes | Gone | NotRead], None, None]:
        """The same for what is read of processes: of each its bytes."""
        return self._look_up(wanted, seconds, _take_bytes, clock, stop)

    def _look_up(
        self,
        wanted: Sequence[_Question],
        seconds: float,
        take: _Take[T],
        clock: Callable[[], float],
        stop: threading.Event,
    ) -> Generator[tuple[int, T | Gone | NotRead], None, None]:
        left = self.count_left()
        held = frozenset[Hashable]().union(*self._left.values())
        waiting = {index: lookup for index, lookup in enumerate(wanted) if lookup.view not in held}
        yield from ((index, NoAnswer(_SUBJECT)) for index in range(len(wanted)) if index not in waiting)
        end = clock() + seconds

        def tell_left() -> float:
            return 0.0 if stop.is_set() else end - clock()

        error: NotRead = NoAnswer(_SUBJECT)
        try:
            if waiting and left >= MOST_LEFT:
                raise NotRead(_SUBJECT, Reason.TOO_MANY)
            if waiting:
                with self._start(waiting) as connection:
                    for index, answer in _ask(connection, list(waiting.items()), take, tell_left):
                        del waiting[index]
                        yield index, answer
        except TimeoutError:
            pass
        except OSError as err:
            error = translate_failure(err, _SUBJECT)
        except NotRead as err:
            error = err
        yield from ((index, error) for index in waiting)

    @contextmanager
    def _start(self, waiting: Mapping[int, _Question]) -> Iterator[socket.socket]:
        """A child, by the socket over which it is asked; ended, or left behind with all that waits for it, at the end.

        Raises OSError.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                pid = _spawn(theirs)
            try:
                yield ours
            finally:
                if not _end(pid):
                    self._left[pid] = frozenset(lookup.view for lookup in waiting.values())


def _spawn(connection: socket.socket) -> int:
    """Start the child with this socket as its fd 3 and /dev/null as the others; its pid. Raises OSError."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    passed = fcntl.fcntl(connection, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _PROGRAM, package],
            os.environ,
            file_actions=[
                *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(_CHILD_FD)),
                (os.POSIX_SPAWN_DUP2, passed, _CHILD_FD),
            ],
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE),
        )
    finally:
        close_fd(passed)


def _ask(
    connection: socket.socket,
    wanted: Iterable[tuple[int, _Question]],
    take: _Take[T],
    tell_left: Callable[[], float],
) -> Iterator[tuple[int, T | Gone | NotRead]]:
    """The answers to all look-ups, or to those that were answered when no time is left; raises OSError."""
    asked = 0
    for index, lookup in wanted:
        if asked == _MOST_ASKED:
            if (answer := _receive(connection, take, tell_left)) is None:
                return
            asked -= 1
            yield answer
        try:
            _send(connection, index, lookup, tell_left())
            asked += 1
        except (Gone, NotRead) as err:
            yield index, err
    while asked and (answer := _receive(connection, take, tell_left)) is not None:
        asked -= 1
        yield answer


def _send(connection: socket.socket, index: int, lookup: _Question, seconds: float) -> None:
    """Ask one; raises Gone and NotRead for this one alone, and OSError."""
    if seconds <= 0:
        raise TimeoutError
    connection.settimeout(seconds)
    if isinstance(lookup, SocketLookup):
        connection.send(QUESTION.pack(index, lookup.inode) + SOCKET.pack(lookup.pid, lookup.fd, lookup.thread))
        return
    if isinstance(lookup, Lookup):
        question = QUESTION.pack(index, lookup.inode) + b"\0".join(map(os.fsencode, lookup.mount_points))
    else:
        question = QUESTION.pack(index, lookup.number) + lookup.what
    with lookup.open_process() as process:
        send(connection, question, process.fileno())


def _receive(
    connection: socket.socket, take: _Take[T], tell_left: Callable[[], float]
) -> tuple[int, T | Gone | NotRead] | None:
    """The next answer, None when no time is left or the child has ended; raises OSError."""
    while (left := tell_left()) > 0:
        connection.settimeout(min(left, _STOP_SECONDS))
        try:
            message, fd = receive(connection, ANSWER.size + MOST_INLINE_BYTES + 1)
        except TimeoutError:
            continue
        if not message:
            return None
        index, number = ANSWER.unpack_from(message)
        return index, _translate(number) if number else take(message[ANSWER.size :], fd)
    return None


def _take_fd(_: bytes, fd: int | None) -> int | Gone | NotRead:
    return _translate(EMFILE) if fd is None else fd  # Without room for one more it is dropped.


def _take_bytes(data: bytes, fd: int | None) -> bytes | Gone | NotRead:
    if len(data) <= MOST_INLINE_BYTES:
        return data
    if fd is None:
        return _translate(EMFILE)
    with os.fdopen(fd, "rb") as memory:
        memory.seek(0)
        return memory.read()


def _translate(number: int) -> Gone | NotRead:
    if number in _GONE:
        return Gone(errorcode[number])
    return translate_errno(OSError(number, os.strerror(number)), _SUBJECT)


def _end(pid: int) -> bool:
    """Kill a child; whether it has ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return _has_ended(pid)
    try:
        # Of a process of which one thread is held up this tells nothing: its other threads have ended, it has not.
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(int(_END_SECONDS * 1000))
    finally:
        close_fd(pidfd)
    return _has_ended(pid)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True  # Somebody else has waited for it, or nobody needs to: SIGCHLD is ignored.
