"""Rows that nobody was seen to hold: who is looked for, how often, and what stays unsettled."""

from pathlib import Path

import pytest

from nsagent.errors import Reason
from nsagent.kernel.procfs import ProcFs
from nsagent.model.facts import Facts
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import Fd, Pid, SocketInode, Tid
from nsagent.runtimes.runtimes import Answers
from nsagent.scan.collect.conclude import conclude
from nsagent.scan.collect.look_again import drop_closed
from nsagent.scan.collect.settle import Settled, read_met, settle
from nsagent.scan.collect.unlisted import MAX_SOCKETS, UnlistedSocket, see_sockets
from nsagent.scan.collect.walk import walk_processes
from nsagent.scan.plan import MAX_ROUNDS
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.kernel.proc_tree import BUSY_SOCKSTAT, TCP_HEADER, ProcTree, text_row
from tests.live.capabilities import Capability, require
from tests.scan.collect.passes import open_pass, run_pass
from tests.scan.facts import ANY, LOOPBACK, listen_row, reading

NO_PID = (1 << 22) + 1
"""More than the kernel's PID_MAX_LIMIT: nobody has it."""


class Revealing(ProcFs):
    """A procfs that lists one process more each time, as when sockets are handed on and on."""

    shown = 1

    def list_pids(self) -> list[Pid]:
        pids = super().list_pids()[: self.shown]
        self.shown += 1
        return pids


def owned_by(uid: int, port: int, inode: int) -> str:
    return text_row(f"{LOOPBACK}:{port:04X}", ANY, 10, inode, uid=uid)


def look_at(tree: ProcTree, *rows: str) -> Facts:
    """The facts of a tree in which pid 10 lives in a netns with these rows, and its fds may not be read."""
    tree.process(10, net={"sockstat": BUSY_SOCKSTAT, "tcp": TCP_HEADER + "".join(rows)})
    (tree.root / "10/fd").rmdir()
    tree.write("10/fd", "no directory: ENOTDIR")
    return run_pass(tree.path)


def test_a_row_that_an_unreadable_process_holds_most_likely_costs_no_second_walk(tree: ProcTree) -> None:
    assert look_at(tree, owned_by(1000, 80, 7)).rewalk is None


def test_a_row_whose_uid_is_that_of_a_readable_process_is_looked_for_again(tree: ProcTree) -> None:
    readable = tree.process(11, fds={3: "socket:[99]"}).stat().st_uid
    found = look_at(tree, owned_by(readable, 80, 7)).rewalk
    assert found is not None
    assert found.rounds == 1


def test_rows_whose_holders_are_still_being_found_in_the_last_round_are_unsettled(tree: ProcTree) -> None:
    inodes = range(1, MAX_ROUNDS + 3)
    rows = "".join(listen_row(80 + inode, inode) for inode in inodes)
    tree.process(10, net={"sockstat": BUSY_SOCKSTAT, "tcp": TCP_HEADER + rows})
    for inode in inodes:
        tree.process(10 + inode, fds={3: f"socket:[{inode}]"})
    with open_pass(Revealing(tree.path)) as context:
        walk = walk_processes(context)
        read_met(context, context.registry.list_met())
        found = settle(context, walk, walk.readings)
        (state,) = context.reader.list_states()
        assert [reading.socket_fds for reading in found.readings] == [((3, inode),) for inode in inodes[:MAX_ROUNDS]]
        assert state.unsettled == set(inodes[MAX_ROUNDS:])


class Damaged(ProcFs):
    """A procfs in which what pid 11 tells of itself is another thing each time, and never what it should be."""

    listed = 0

    def list_pids(self) -> list[Pid]:
        self.listed += 1
        Path(self.root, "11/stat").write_text(f"{self.listed} ?\n", encoding="utf-8")
        return super().list_pids()


def search_again(procfs: ProcFs) -> list[Gap]:
    """The gaps of a pass over this tree that walks again for the holder of a row of pid 10's netns."""
    with open_pass(procfs) as context:
        walk = walk_processes(context)
        context.gaps.add(walk.gaps)
        read_met(context, context.registry.list_met())
        found = settle(context, walk, walk.readings)
        assert found.rewalk is not None
        return context.gaps.list_gaps()


def test_what_can_be_read_no_more_when_a_holder_is_looked_for_again_is_told(tree: ProcTree) -> None:
    """It may hold the row by now."""
    tree.process(10, net={"sockstat": BUSY_SOCKSTAT, "tcp": TCP_HEADER + listen_row(80, 7)})
    (tree.process(11) / "fd").rmdir()
    tree.write("11/fd", "no directory: ENOTDIR")
    unread = Gap(Stage.FDS, Subject(Kind.PROCESS, "11"), Reason.FAILED, "ENOTDIR")
    assert search_again(Revealing(tree.path)) == [unread]


def test_what_could_be_read_neither_time_is_told_once(tree: ProcTree) -> None:
    tree.process(10, net={"sockstat": BUSY_SOCKSTAT, "tcp": TCP_HEADER + listen_row(80, 7)})
    tree.process(11)
    (gap,) = search_again(Damaged(tree.path))
    assert (gap.stage, gap.subject, gap.reason) == (Stage.PROCESSES, Subject(Kind.PROCESS, "11"), Reason.MALFORMED)


class Counting(ProcFs):
    """A procfs that counts how often it was listed."""

    listed = 0

    def list_pids(self) -> list[Pid]:
        self.listed += 1
        return super().list_pids()


def test_rows_whose_holders_nobody_had_time_to_look_for_are_told(tree: ProcTree) -> None:
    """And not that there may be processes and netns that were not met: the first walk has seen all."""
    rows = listen_row(80, 7) + listen_row(81, 8)
    tree.process(10, net={"sockstat": BUSY_SOCKSTAT, "tcp": TCP_HEADER + rows})
    procfs = Counting(tree.path)
    with open_pass(procfs) as context:
        walk = walk_processes(context)
        read_met(context, context.registry.list_met())
        late = context._replace(clock=lambda: float(procfs.listed), ends_at=2.0)
        settle(late, walk, walk.readings)
        (state,) = context.reader.list_states()
        assert state.unsettled == {7, 8}
        assert context.gaps.list_gaps() == [Gap(Stage.FDS, Subject(Kind.OWNERS), Reason.LATE, count=2)]


def test_rows_that_nobody_holds_are_no_longer_looked_for_when_a_round_finds_nothing(tree: ProcTree) -> None:
    tree.process(10, net={"sockstat": BUSY_SOCKSTAT, "tcp": TCP_HEADER + listen_row(80, 7)})
    facts = run_pass(tree.path)
    assert facts.rewalk is not None
    assert (facts.rewalk.rounds, facts.netns[0].unsettled) == (1, frozenset())


@pytest.mark.parametrize("is_same", [True, False], ids=["the same netns", "another one with its inode"])
def test_a_netns_that_was_let_go_is_known_again_by_its_cookie(is_same: bool) -> None:
    require(Capability.ROOT, Capability.NETNS)
    program = "one = socket.create_server(('', 0)); ready(); wait()"
    with start_child(program, *IN_NEW_NETNS) as child, open_pass(ProcFs()) as context:
        with context.procfs.open_process(Pid(child.pid)) as process:
            context.registry.see_process(process, Pid(child.pid))
        read_met(context, context.registry.list_met())
        (state,) = context.reader.list_states()
        state.let_go()
        if not is_same:
            state.cookie = (state.cookie or 0) + 1
        unheld = context.reader.find_unheld(set())
        drop_closed(context, unheld)
        inodes = {place.inode for one in unheld for place in one.places}
        assert len(inodes) == 1
        assert (state.closed, state.unsettled) == (frozenset(), frozenset() if is_same else inodes)


def test_of_too_many_sockets_the_rest_of_those_who_have_most_is_counted() -> None:
    web = reading(NO_PID, cgroup="0::/docker/" + "c0de" * 16 + "\n")
    honest = [UnlistedSocket(web, Tid(NO_PID), Fd(3), SocketInode(7))] * 3
    others = [reading(NO_PID - uid, uid=1000 + uid) for uid in (1, 2)]
    flood = [UnlistedSocket(one, Tid(NO_PID), Fd(3), SocketInode(7)) for one in others]
    with open_pass(ProcFs()) as context:
        see_sockets(context, [*flood * MAX_SOCKETS, *honest])
        # How many of the rest are asked in time is another matter.
        left_out = [gap for gap in context.gaps.list_gaps() if gap.reason is Reason.TOO_MANY]
        assert {(gap.subject, gap.count) for gap in left_out} == {
            (Subject(Kind.NETNS_OF_SOCKETS, str(one.pid)), MAX_SOCKETS // 2 + more)
            for one, more in zip(others, (1, 2), strict=True)
        }


@pytest.mark.parametrize("is_skipped", [True, False])
def test_a_netns_that_is_not_to_be_read_need_not_be_open(tree: ProcTree, is_skipped: bool) -> None:
    tree.process(10)
    with open_pass(ProcFs(tree.path)) as context:
        walk = walk_processes(context)
        (met,) = context.registry.list_met()
        gap = Gap(Stage.NETNS, met.subject, Reason.FAILED, "EMFILE")
        context.gaps.add((gap,))
        if is_skipped:
            context.reader.skip((met,))
        else:
            context.reader.read_rest((met,))
        facts = conclude(context, walk, Settled(), lambda: Answers((), (), (), ()), context.clock())
    assert facts.gaps == (() if is_skipped else (gap,))
