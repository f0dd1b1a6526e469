"""Look-ups by a child that can be left behind: what it answers, how long it is waited for, how many there may be."""

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from nsagent.errors import Gone, NoAnswer, NotRead, ProcessGone, Reason
from nsagent.kernel.lookup_child import ANSWER, QUESTION, SOCKET, receive, send, serve
from nsagent.kernel.lookups import MOST_ASKED, MOST_LEFT, Lookup, Lookups, ProcessLookup, SocketLookup, Who
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.kernel.questions import ask_file
from nsagent.model.ids import Pid
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until

PROGRAM = Path(__file__).parent.parent / "live" / "hostile_mounts.py"
PLACE = "/mnt/below/netns"
ENOUGH_SECONDS = 60.0
OTHER_UID = ("setpriv", "--reuid=65534", "--clear-groups", "--")


class Neighbour(NamedTuple):
    """A process in a mount namespace of its own, in which a netns is mounted."""

    pid: Pid
    netns: int

    def make_lookup(self, *places: str) -> Lookup:
        """A look-up of its netns at these places, or at the one where it is."""
        return Lookup(self.pid, self.netns, partial(ProcFs().open_process, self.pid), places or (PLACE,))


@contextmanager
def start_neighbours(mode: str, count: int = 1) -> Iterator[list[Neighbour]]:
    """Some that hostile_mounts.py makes; at the end everything that it started is gone."""
    require(Capability.ROOT)
    command = [sys.executable, "-I", "-S", os.fspath(PROGRAM), mode, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [line.split() for line in iter(process.stdout.readline, "ready\n")]
        try:
            yield [Neighbour(Pid(int(numbers[0])), int(numbers[1])) for kind, *numbers in said if kind == "process"]
        finally:
            process.communicate()
            for _, pid, *_ in said:
                until(partial(has_ended, pid), "the neighbours have ended")


def has_ended(pid: str) -> bool:
    return not os.path.exists(f"/proc/{pid}")


def open_each(
    lookups: Lookups, *wanted: Lookup | SocketLookup, seconds: float = ENOUGH_SECONDS
) -> list[int | Gone | NotRead]:
    """The answers in the order of the look-ups; the inode in place of an fd, which is closed."""
    answers: dict[int, int | Gone | NotRead] = {}
    for index, answer in lookups.open_each(wanted, seconds, clock=time.monotonic, stop=threading.Event()):
        if isinstance(answer, int):
            inode = os.fstat(answer).st_ino
            os.close(answer)
            answer = inode
        answers[index] = answer
    return [answers[index] for index in range(len(wanted))]


@contextmanager
def serve_here() -> Iterator[socket.socket]:
    """What the child does, in a thread of this process; by the socket over which it is asked."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = threading.Thread(target=serve, args=(theirs,))
    child.start()
    try:
        with ours:
            ours.settimeout(ENOUGH_SECONDS)
            yield ours
    finally:
        child.join()
        theirs.close()


def receive_answer(asked: socket.socket) -> tuple[int, int, int | None]:
    """The index and the errno of an answer, and the inode in place of its fd, which is closed."""
    message, fd = receive(asked, ANSWER.size)
    if fd is None:
        return (*ANSWER.unpack(message), None)
    inode = os.fstat(fd).st_ino
    os.close(fd)
    return (*ANSWER.unpack(message), inode)


def test_the_child_answers_what_it_is_asked_over_its_socket() -> None:
    with start_neighbours("plain") as (one,), ProcFs().open_process(one.pid) as process, serve_here() as asked:
        send(asked, QUESTION.pack(7, one.netns) + f"/mnt/absent\0{PLACE}".encode(), process.fileno())
        assert receive_answer(asked) == (7, 0, one.netns)
        send(asked, QUESTION.pack(8, one.netns + 1) + PLACE.encode(), process.fileno())
        assert receive_answer(asked) == (8, ENOENT, None)
        inode = os.fstat(asked.fileno()).st_ino
        asked.send(QUESTION.pack(9, inode) + SOCKET.pack(os.getpid(), asked.fileno(), False))
        assert receive_answer(asked) == (9, 0, os.stat("/proc/self/ns/net").st_ino)


@pytest.mark.usefixtures("same_fds")
def test_each_look_up_has_its_own_answer() -> None:
    lookups = Lookups()
    gone = Lookup("gone", 1, partial(ProcFs().open_process, Pid(1 << 22)), (PLACE,))
    with start_neighbours("plain", 2) as (one, other):
        wrong = one._replace(netns=other.netns)
        answers = open_each(
            lookups,
            one.make_lookup(),
            wrong.make_lookup(),
            gone,
            other.make_lookup("/mnt/absent", PLACE),
        )
    assert [answer if isinstance(answer, int) else type(answer) for answer in answers] == [
        one.netns,
        Gone,
        ProcessGone,
        other.netns,
    ]
    assert lookups.count_left() == 0


@pytest.mark.usefixtures("same_fds")
def test_one_that_is_held_up_keeps_no_other_waiting_for_its_answer() -> None:
    require(Capability.FUSE)
    with start_neighbours("held") as (held,), start_neighbours("plain", 100) as others:
        wanted = [held.make_lookup(), *(one.make_lookup() for one in others)]
        stop, found = threading.Event(), {}
        for index, answer in Lookups().open_each(wanted, ENOUGH_SECONDS, clock=time.monotonic, stop=stop):
            found[index] = os.fstat(answer).st_ino if isinstance(answer, int) else type(answer)
            if isinstance(answer, int):
                os.close(answer)
            if len(found) == len(others):
                stop.set()
        assert found == {0: NoAnswer, **{number: one.netns for number, one in enumerate(others, 1)}}


@pytest.mark.usefixtures("same_fds")
def test_so_many_children_are_left_behind_and_no_more_until_one_has_ended() -> None:
    require(Capability.FUSE)
    shares = map(str, itertools.count())
    lookups = Lookups(lambda cgroup, uid: next(shares))
    with start_neighbours("held") as (held,), start_neighbours("plain") as (plain,):
        views = itertools.count()
        while lookups.count_left() < MOST_LEFT:
            last = held.make_lookup()._replace(view=next(views))
            leave_behind(lookups, last)
        answer, known = open_each(lookups, plain.make_lookup(), last)
        assert isinstance(answer, NotRead)
        assert (answer.reason, type(known), lookups.count_left()) == (Reason.TOO_MANY, NoAnswer, MOST_LEFT)
    until(lambda: lookups.count_left() == 0, "the children have ended")
    with start_neighbours("plain") as (plain,):
        assert open_each(lookups, plain.make_lookup()) == [plain.netns]


@pytest.mark.usefixtures("same_fds")
def test_one_of_those_who_share_holds_up_half_of_the_children_and_is_not_asked_any_more() -> None:
    require(Capability.FUSE)
    share = ["theirs"]
    lookups = Lookups(lambda cgroup, uid: share[0])
    with start_neighbours("held") as (held,), start_neighbours("plain") as (plain,):
        for view in range(MOST_LEFT // 2):
            leave_behind(lookups, held.make_lookup()._replace(view=view))
        (answer,) = open_each(lookups, held.make_lookup()._replace(view="one more"))
        assert isinstance(answer, NotRead)
        assert (answer.reason, lookups.count_left()) == (Reason.TOO_MANY, MOST_LEFT // 2)
        share[0] = "ours"
        assert open_each(lookups, plain.make_lookup()) == [plain.netns]


@pytest.mark.usefixtures("same_fds")
def test_where_as_many_are_held_up_as_are_asked_at_a_time_the_rest_are_asked_all_the_same() -> None:
    require(Capability.FUSE)
    lookups = Lookups()
    with start_neighbours("held") as (held,), start_neighbours("plain", 2) as plain:
        wanted = [held.make_lookup()._replace(view=view) for view in range(MOST_ASKED)]
        answers = open_each(lookups, *wanted, *(one.make_lookup() for one in plain), seconds=8.0)
        assert {type(answer) for answer in answers[:MOST_ASKED]} == {NoAnswer}
        assert answers[MOST_ASKED:] == [one.netns for one in plain]
        assert lookups.count_left() == 1


@pytest.mark.usefixtures("same_fds")
def test_whoever_was_not_asked_for_lack_of_time_is_asked_the_next_time() -> None:
    require(Capability.FUSE)
    lookups = Lookups()
    with start_neighbours("held") as (held,), start_neighbours("plain") as (plain,):
        wanted = [*(held.make_lookup()._replace(view=view) for view in range(MOST_ASKED)), plain.make_lookup()]
        stop = threading.Event()
        timer = threading.Timer(1.0, stop.set)
        timer.start()
        answers = dict(lookups.open_each(wanted, ENOUGH_SECONDS, clock=time.monotonic, stop=stop))
        timer.join()
        assert {type(answer) for answer in answers.values()} == {NoAnswer}
        assert lookups.count_left() == 1
        assert open_each(lookups, *wanted)[-1] == plain.netns


@pytest.mark.usefixtures("same_fds")
def test_who_was_waited_for_in_vain_is_asked_last_the_next_time() -> None:
    """Also where the child has ended, of which nobody is known to have held it up."""
    asked: list[str] = []

    def make_lookup(view: str) -> ProcessLookup:
        def open_process() -> ProcessDir:
            asked.append(view)
            return ProcFs().open_process(Pid(os.getpid()))

        return ProcessLookup(view, open_process, *ask_file("comm", 64))

    lookups = Lookups()
    slow, other = [make_lookup("slow"), make_lookup("slower")], make_lookup("other")
    read_each = partial(lookups.read_each, stop=threading.Event())
    times = iter([0.0] * (2 + len(slow)))  # So many looks at the clock until all are sent.
    assert {type(answer) for _, answer in read_each(slow, 1.0, clock=lambda: next(times, 1.0))} == {NoAnswer}
    assert (asked, lookups.count_left()) == (["slow", "slower"], 0)
    asked.clear()
    answers = dict(read_each([*slow, other], ENOUGH_SECONDS, clock=time.monotonic))
    assert (asked, {type(answer) for answer in answers.values()}) == (["other", "slow", "slower"], {bytes})


@pytest.mark.usefixtures("same_fds")
def test_where_one_was_left_behind_nobody_looks_again_while_it_is_held_up() -> None:
    require(Capability.FUSE)
    lookups = Lookups()
    with start_neighbours("held") as (held,), start_neighbours("plain") as (plain,):
        leave_behind(lookups, held.make_lookup())
        answers = open_each(lookups, held.make_lookup(), plain.make_lookup())
        assert [type(answers[0]), answers[1], lookups.count_left()] == [NoAnswer, plain.netns, 1]


def leave_behind(lookups: Lookups, lookup: Lookup) -> None:
    """Leave one more child behind: one that was killed before it had begun to look is none, so with more time each."""
    before, seconds = lookups.count_left(), 0.2
    while lookups.count_left() <= before and seconds < ENOUGH_SECONDS:
        (answer,) = open_each(lookups, lookup, seconds=seconds)
        assert isinstance(answer, NoAnswer)
        seconds *= 2


@pytest.mark.usefixtures("same_fds")
def test_a_pass_that_is_told_to_stop_waits_no_longer() -> None:
    require(Capability.FUSE)
    stop = threading.Event()
    with start_neighbours("silent") as (silent,):
        timer = threading.Timer(0.2, stop.set)
        timer.start()
        answers = list(Lookups().open_each([silent.make_lookup()], ENOUGH_SECONDS, clock=time.monotonic, stop=stop))
        timer.join()
    assert [type(answer) for _, answer in answers] == [NoAnswer]


@pytest.mark.usefixtures("same_fds")
def test_a_socket_leads_to_its_netns_and_another_file_to_none() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    hold = "made = socket.socket(); ready(f'{made.fileno()} {os.fstat(made.fileno()).st_ino}'); wait()"
    with start_child(hold, *IN_NEW_NETNS, *OTHER_UID) as child:
        fd, inode = map(int, child.said.split())
        held = SocketLookup("held", inode, child.pid, fd, thread=False, who=Who("", 65534))
        answers = open_each(Lookups(), held, held._replace(inode=inode + 1), held._replace(pid=1 << 22))
        netns = os.stat(f"/proc/{child.pid}/ns/net").st_ino
    assert [answer if isinstance(answer, int) else type(answer) for answer in answers] == [netns, Gone, ProcessGone]
