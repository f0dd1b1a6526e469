"""Netns that others have mounted, or of their sockets, and what processes have, by a child that can be left behind.

Whoever has a mount namespace of its own can put a file system over a mount point that never answers: then whoever looks
that up waits, in state D and beyond SIGKILL, until its server goes, and a process ends only when all of its threads do.
Whoever duplicates an fd of somebody else may get another file than the link had told, and waits at the latest when he
closes it: a FUSE server is told of each close, and answers when it likes (fs/fuse/file.c fuse_flush()).
Whoever reads a command line, or what else a process has in memory, waits for its mmap lock, which that holds while a
FUSE server writes back what it unmaps (fs/fuse/file.c fuse_vma_close()).
So a process that is good for nothing else does it. It has its own interpreter (posix_spawn(3), which is vfork and exec:
no fork beside threads) and nothing of ours but one end of a socketpair: held up it holds nothing up.
It is waited for as long as the budget lasts, whichever of its look-ups, each in a thread, have ended by then; or, where
so many of them are held up that no more can be asked, for a part of it: then another child is asked the rest.

Source: socketpair(2), unix(7) SCM_RIGHTS; the program is kernel.lookup_child, begun and ended by kernel.lookup_spawn.
"""

import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from errno import EBADF, ELOOP, EMFILE, ENAMETOOLONG, ENOTDIR, errorcode
from functools import cache
from typing import Final, NamedTuple, TypeVar

from nsagent.errors import Gone, NoAnswer, NotRead, Reason
from nsagent.kernel.files import translate_errno, translate_failure
from nsagent.kernel.lookup_child import ANSWER, MOST_INLINE_BYTES, QUESTION, SOCKET, receive, send
from nsagent.kernel.lookup_spawn import end, has_ended, spawn
from nsagent.kernel.procfs import ProcessDir

T = TypeVar("T")

MOST_LEFT: Final = 8
"""So many children may be left behind at a time, of 5 MiB each; then nothing is looked up until one has ended."""

MOST_ASKED: Final = 256
"""So many look-ups are under way at a time, a thread of the child each."""

_PARTS: Final = (1 / 8, 1 / 4, 1.0)
"""Of the budget, how long one child after the other is waited for while it holds up as many look-ups as it may have.

More each time: a child that begins slowly, as on a busy machine, has held up nobody.
"""
_MOST_LATE: Final = 4096
"""So many views are remembered that were waited for in vain."""

_SUBJECT: Final = "look-ups of what others have"
_END_SECONDS: Final = 0.5
"""How long a child that was killed is waited for: what takes longer is held up, or ends before the next pass."""
_SOON_SECONDS: Final = 0.1
"""The same where another child is to be asked the rest: what takes longer counts as held up until it has ended."""
_STOP_SECONDS: Final = 0.2
"""How soon it is seen that the pass was told to stop."""
_GONE: Final = (EBADF, ELOOP, ENAMETOOLONG, ENOTDIR)
"""What is told of an fd that holds something else by now, and of a mount point that is covered, or too deep."""


class Who(NamedTuple):
    """Whose a process is: the text of its cgroup file, and its uid."""

    cgroup: str
    uid: int


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
    who: Who


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


class _Left(NamedTuple):
    """Who holds up a child that was left behind: the views, and whose shares these use up."""

    views: frozenset[Hashable]
    shares: frozenset[str]


@dataclass(slots=True)
class _Child:
    """A child, by the socket over which it is asked, and the look-ups that it has not answered."""

    connection: socket.socket
    may_ask: Callable[[Who], bool]
    asked: dict[int, tuple[Hashable, Who]] = field(default_factory=dict)

    def is_full(self) -> bool:
        """Whether no more can be asked before it has answered."""
        return len(self.asked) >= MOST_ASKED


def _name_each(cgroup: str, uid: int) -> str:
    return f"{uid} {cgroup}"


class Lookups:
    """What looks them up; to be kept for as long as passes are made, for it knows which children were left behind.

    While one is held up, nothing is looked up in the views that hold it up: a neighbour who holds up look-ups
    costs time once, and others nothing. For one thread at a time.
    """

    def __init__(self, name_share: Callable[[str, int], str] = _name_each) -> None:
        """`name_share` tells whose share a process uses up (identity.share), by its cgroup file and uid.

        Whoever may always come with another view has no more children left behind than others can still have: with
        half of them his own share is used up, and it takes four of those who share to use up all.
        """
        self._name_share = name_share
        self._left: dict[int, _Left] = {}
        self._late: dict[Hashable, None] = {}
        """Views that were waited for in vain, the last ones last: others come first."""

    def count_left(self) -> int:
        """How many children were left behind and have not ended since."""
        self._left = {pid: left for pid, left in self._left.items() if not has_ended(pid)}
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
        self.count_left()
        held = self._list_held()
        waiting = {index: lookup for index, lookup in enumerate(wanted) if lookup.view not in held}
        yield from ((index, NoAnswer(_SUBJECT)) for index in range(len(wanted)) if index not in waiting)
        ends_at = clock() + seconds

        def tell_left() -> float:
            return 0.0 if stop.is_set() else ends_at - clock()

        error: NotRead = NoAnswer(_SUBJECT)
        try:
            for part in _PARTS:
                ordered = self._order(waiting)
                if not ordered or tell_left() <= 0:
                    break
                with self._start() as child:
                    for index, answer in _ask(child, ordered, take, tell_left, part * seconds):
                        self._late.pop(waiting.pop(index).view, None)
                        yield index, answer
                if not child.is_full():
                    break
        except TimeoutError:
            pass
        except OSError as err:
            error = translate_failure(err, _SUBJECT)
        except NotRead as err:
            error = err
        held = self._list_held()
        yield from ((index, NoAnswer(_SUBJECT) if one.view in held else error) for index, one in waiting.items())

    def _list_held(self) -> frozenset[Hashable]:
        """The views that hold up a child."""
        return frozenset[Hashable]().union(*(left.views for left in self._left.values()))

    def _order(self, waiting: Mapping[int, _Question]) -> list[tuple[int, _Question]]:
        """Those that can be asked: first those for whom nobody has waited in vain."""
        held = self._list_held()
        ordered = [(index, lookup) for index, lookup in waiting.items() if lookup.view not in held]
        if self._late:
            ordered.sort(key=lambda item: item[1].view in self._late)
        return ordered

    @contextmanager
    def _start(self) -> Iterator[_Child]:
        """A child; ended, or left behind with all that it has not answered, at the end.

        Raises OSError, and NotRead where too many are left behind.
        """
        free = MOST_LEFT - self.count_left()
        if free <= 0:
            raise NotRead(_SUBJECT, Reason.TOO_MANY)
        blamed = Counter(share for left in self._left.values() for share in left.shares)

        @cache
        def may_ask(who: Who) -> bool:
            return not blamed or blamed[self._name_share(*who)] < free

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                pid = spawn(theirs)
            child = _Child(ours, may_ask)
            try:
                yield child
            finally:
                self._note(pid, child)

    def _note(self, pid: int, child: _Child) -> None:
        """End a child, and note who holds it up, and for whom it was waited in vain."""
        views = dict.fromkeys(view for view, _ in child.asked.values())
        if not end(pid, _SOON_SECONDS if child.is_full() else _END_SECONDS):
            whose = {who for _, who in child.asked.values()}
            self._left[pid] = _Left(frozenset(views), frozenset(self._name_share(*who) for who in whose))
        for view in views:
            self._late.pop(view, None)
        self._late |= views
        for view in list(self._late)[:-_MOST_LATE]:
            del self._late[view]


def _ask(
    child: _Child,
    wanted: Iterable[tuple[int, _Question]],
    take: _Take[T],
    tell_left: Callable[[], float],
    patience_seconds: float,
) -> Iterator[tuple[int, T | Gone | NotRead]]:
    """The answers to all look-ups, or to those that were answered when no time is left; raises OSError.

    When it can be asked no more, the next answer is waited for no longer than so many seconds.
    """
    for index, lookup in wanted:
        if child.is_full():
            spare_seconds = max(tell_left() - patience_seconds, 0.0)
            if (answer := _receive(child, take, tell_left, spare_seconds)) is None:
                return
            yield answer
        try:
            _send(child, index, lookup, tell_left())
        except (Gone, NotRead) as err:
            yield index, err
    while child.asked and (answer := _receive(child, take, tell_left)) is not None:
        yield answer


def _send(child: _Child, index: int, lookup: _Question, seconds: float) -> None:
    """Ask one; raises Gone and NotRead for this one alone, and OSError."""
    if seconds <= 0:
        raise TimeoutError
    connection = child.connection
    connection.settimeout(seconds)
    if isinstance(lookup, SocketLookup):
        _check(child, lookup.who)
        connection.send(QUESTION.pack(index, lookup.inode) + SOCKET.pack(lookup.pid, lookup.fd, lookup.thread))
        child.asked[index] = lookup.view, lookup.who
        return
    if isinstance(lookup, Lookup):
        question = QUESTION.pack(index, lookup.inode) + b"\0".join(map(os.fsencode, lookup.mount_points))
    else:
        question = QUESTION.pack(index, lookup.number) + lookup.what
    with lookup.open_process() as process:
        # Now, for it may be gone by the time that it is known to be held up; that takes 6 us.
        who = Who(process.read_cgroup(), process.read_uid())
        _check(child, who)
        send(connection, question, process.fileno())
        child.asked[index] = lookup.view, who


def _check(child: _Child, who: Who) -> None:
    """Raises NotRead for those who hold up as much as they may."""
    if not child.may_ask(who):
        raise NotRead(_SUBJECT, Reason.TOO_MANY)


def _receive(
    child: _Child, take: _Take[T], tell_left: Callable[[], float], spare_seconds: float = 0.0
) -> tuple[int, T | Gone | NotRead] | None:
    """The next answer, None when no more time is left than is to be spared, or the child has ended; raises OSError."""
    connection = child.connection
    while (left := tell_left() - spare_seconds) > 0:
        connection.settimeout(min(left, _STOP_SECONDS))
        try:
            message, fd = receive(connection, ANSWER.size + MOST_INLINE_BYTES + 1)
        except TimeoutError:
            continue
        if not message:
            return None
        index, number = ANSWER.unpack_from(message)
        del child.asked[index]
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
