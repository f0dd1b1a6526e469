"""Tables that are not dumped again: taken for what they were while nothing can have changed them, and never longer."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import AF_UNSPEC
from typing import Final

import pytest

from nsagent.errors import Aborted, Reason
from nsagent.kernel.formats.inet_diag import decode_table
from nsagent.kernel.formats.snmp import find_counters
from nsagent.kernel.procfs import FdLinks, Instance, ProcFs
from nsagent.model.facts import Facts, ProcessReading, RawTable, TableFormat
from nsagent.model.gap import Gap, Stage
from nsagent.model.ids import Fd, NetnsId, Pid, SocketInode
from nsagent.model.net import Protocol, SocketRow, TimerKind
from nsagent.scan.attribute import attribute
from nsagent.scan.collect.carried import Carried, find_stirred
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.indexes import Indexes
from nsagent.scan.collect.look_again import dump_anew
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.resting_tables import MOST_PASSES, RestingTables, Stirred
from nsagent.scan.collect.settle import read_met
from nsagent.scan.collect.state import Activity, NetnsState, TablesRead
from nsagent.scan.collect.walk import Resting, Walk
from nsagent.scan.plan import TablesWanted, list_counters, read_counters
from tests.kernel.children import IN_NEW_NETNS, Child, start_child
from tests.kernel.diag_message import make_message
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until
from tests.scan.collect.passes import open_pass, run_pass
from tests.scan.collect.test_run_marks import await_rest
from tests.scan.facts import diag_table, reading

HOST: Final = """
import fcntl, signal, struct
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
listener = socket.create_server(("127.0.0.1", 0), backlog=5)
address = listener.getsockname()
client = socket.create_connection(address)
server, _ = listener.accept()
inboxes = [socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6)]
for inbox, own in zip(inboxes, ("127.0.0.1", "::1")):
    inbox.bind((own, 5300))
ready(f"{os.stat('/proc/self/ns/net').st_ino} {listener.fileno()}")
for line in sys.stdin:
    exec(line)
    ready("done")
"""
"""A netns with a listener, a connection, and two sockets that take datagrams; does what it is told."""

HELPER: Final = """child = os.fork()
if child == 0:
    signal.signal(signal.SIGUSR1, lambda *_: (listener.listen(7), os._exit(0)))
    while True: signal.pause()
""".replace("\n", "\\n")
FORK: Final = f'exec("{HELPER}"); open(path, "w").write(str(child))'
THREAD: Final = """
import ctypes, threading
libc, turns, fd = ctypes.CDLL(None), [threading.Event() for _ in range(3)], listener.fileno()
others, files = [client, server, *inboxes], [os.dup(0) for _ in range(40)]
def run():
    libc.unshare(0x400)
    for one in others: libc.close(one.fileno())
    turns[0].set()
    turns[1].wait()
    libc.listen(fd, 7)
    libc.close(fd)
    turns[2].set()
    threading.Event().wait()
threading.Thread(target=run, daemon=True).start()
"""
"""A thread with an fd table of its own (CLONE_FILES), in which it has the listener alone; told to, it closes that."""
_SYS_PIDFD_OPEN, _SYS_PIDFD_GETFD = 434, 438


class Bed:
    """A netns at rest, and an agent's passes over it."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.carried = Carried()
        self.inode, self.listener = map(int, child.said.split())
        self.cookie: int | None = None

    def do(self, line: str) -> None:
        """Have the process in it do something; it rests again afterwards."""
        assert self.child.say(line) == "done"
        await_rest(self.child)

    def make_pass(self) -> list[SocketRow]:
        """Its rows, by a pass that goes on from the last one."""
        return self._list_rows(run_pass(carried=self.carried))

    def look(self) -> list[SocketRow]:
        """The same, by a pass that knows nothing."""
        return self._list_rows(run_pass())

    def is_known(self) -> bool:
        """Whether the pass that was made last could take its table for what it was, as far as the netns tells."""
        text = "".join(Path(f"/proc/{self.child.pid}/net/{name}").read_text() for name in ("sockstat", "sockstat6"))
        segments = find_counters(Path(f"/proc/{self.child.pid}/net/snmp").read_bytes(), "Tcp")
        assert segments is not None
        activity = Activity(list_counters(Protocol.TCP, read_counters(text)), segments)
        assert self.carried.tables.resting is not None
        return self.carried.tables.resting.find(self.cookie, Protocol.TCP, activity, 0.0) is not None

    def _list_rows(self, facts: Facts) -> list[SocketRow]:
        snapshot = attribute(facts)
        (netns,) = (one for one in snapshot.netns if one.inode == self.inode)
        self.cookie = netns.cookie
        rows = [one.row for one in snapshot.sockets if one.netns == self.inode]
        return sorted(rows, key=lambda row: (row.inode, row.local, row.remote))


@pytest.fixture
def bed() -> Iterator[Bed]:
    require(Capability.ROOT, Capability.NETNS)
    with start_child(HOST, *IN_NEW_NETNS) as child:
        await_rest(child)
        yield Bed(child)


def come_to_rest(bed: Bed) -> None:
    """Until the table of the netns is taken for what it was."""
    for _ in range(3):
        bed.make_pass()
    assert bed.is_known()


def test_the_table_of_a_netns_at_rest_is_taken_for_what_it_was_from_the_third_pass_on(bed: Bed) -> None:
    """The second one saw that nothing had changed since the first, and dumped it."""
    known = []
    for _ in range(5):
        assert bed.make_pass() == bed.look()
        known.append(bed.is_known())
    assert known == [False, False, True, True, True]


# What these lines cover others cover too, and tracing them takes as long as running them.
@pytest.mark.no_cover
@pytest.mark.parametrize(
    "line",
    [
        "listener.listen(9)",
        "client.send(b'x')",
        "client.send(b'x'); time.sleep(0.1); server.recv(1)",
        "client.shutdown(socket.SHUT_WR)",
        "listener.close(); listener = socket.create_server(('127.0.0.1', 0), backlog=5)",
        "listener.close(); listener = socket.create_server(address, backlog=5)",
        "client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)",
        "client.setsockopt(socket.IPPROTO_IP, 15, 1)",
        "waiting = socket.create_connection(address)",
        "more = socket.create_connection(address); accepted, _ = listener.accept()",
        "inboxes[0].connect(('127.0.0.1', 5301))",
        "inboxes[0].sendto(b'x', ('127.0.0.1', 5300))",
        "inboxes[0].sendto(b'x', ('127.0.0.1', 5300)); inboxes[0].recv(1)",
        "inboxes.pop().close(); other = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); other.bind(('::1', 5301))",
    ],
)
def test_whatever_changes_a_row_is_seen_by_the_next_pass(bed: Bed, line: str) -> None:
    come_to_rest(bed)
    bed.do(line)
    # What is under way has a timer until it is acknowledged.
    until(lambda: all(row.timer is None or "KEEPALIVE" in line for row in bed.look()), "the segments have arrived")
    assert without_timers(bed.make_pass()) == without_timers(bed.look())
    for _ in range(4):
        assert without_timers(bed.make_pass()) == without_timers(bed.look())


_LEAVE: Final = (
    "import ctypes; libc = ctypes.CDLL(None); open({path!r}, 'w').close();"
    "assert libc.mount(b'/proc/self/ns/net', {path!r}.encode(), None, 4096, None) == 0;"
    "assert libc.unshare(0x40000000) == 0"
)
"""Leaves the sockets in a netns that is mounted at this path."""


def test_a_netns_to_which_only_sockets_lead_by_now_is_dumped(bed: Bed, tmp_path: Path) -> None:
    """It is met when all that the walk has met was held against who has run."""
    path = tmp_path / "netns"
    bed.do(_LEAVE.format(path=str(path)))
    for _ in range(3):
        assert bed.make_pass() == bed.look()
    subprocess.run(["umount", "--lazy", path], check=True)
    bed.do("listener.listen(9)")
    assert bed.make_pass() == bed.look()


_SEND_RAW = """
import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
raw.sendto(struct.pack(">HHHH", 9, 5300, 9, 0) + b"x", ("127.0.0.1", 0))
"""
"""Nor is it one of UDP that was sent here."""
_SEND = "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'x', ('::1', 5300))"


@pytest.mark.parametrize(("address", "program"), [("127.0.0.1", _SEND_RAW), ("::1", _SEND)])
def test_a_datagram_of_somebody_else_is_seen_though_who_takes_it_rests(bed: Bed, address: str, program: str) -> None:
    """It counts as one of UDP once it is read."""
    require(Capability.NSENTER)
    come_to_rest(bed)
    enter = ["nsenter", f"--net=/proc/{bed.child.pid}/ns/net", "--", sys.executable, "-I", "-c", program]
    subprocess.run(enter, check=True)
    rows = bed.make_pass()
    assert [row.local.address for row in rows if row.rx_queue] == [address]
    assert rows == bed.look()


def without_timers(rows: list[SocketRow]) -> list[SocketRow]:
    return [row._replace(timer=None) for row in rows]


def test_who_waits_is_seen_as_accepted_once_it_is(bed: Bed) -> None:
    """No segment is sent, and no socket opened or closed, as far as the netns counts."""
    bed.do("waiting = socket.create_connection(address)")
    for _ in range(3):
        bed.make_pass()
    assert [row.inode for row in bed.make_pass()].count(SocketInode(0)) == 1
    bed.do("accepted, _ = listener.accept()")
    rows = bed.make_pass()
    assert [row.inode for row in rows].count(SocketInode(0)) == 0
    assert rows == bed.look()


def test_a_row_with_a_timer_that_does_something_is_dumped_in_each_pass(bed: Bed) -> None:
    come_to_rest(bed)
    bed.do("client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)")
    bed.make_pass()
    for _ in range(4):
        rows = bed.make_pass()
        assert any(row.timer is not None for row in rows)
        assert not bed.is_known()


def test_time_wait_is_as_near_its_end_as_the_kernel_has_it(bed: Bed) -> None:
    come_to_rest(bed)
    bed.do("client.close(); server.close(); del client, server")

    def find_left(rows: list[SocketRow]) -> list[int]:
        return [row.timer.expires_ms for row in rows if row.timer and row.timer.kind is TimerKind.TIMEWAIT]

    for _ in range(4):
        ((before,), (found,), (after,)) = map(find_left, (bed.look(), bed.make_pass(), bed.look()))
        assert after <= found + 1 <= before + 2  # Each pass rounds to a millisecond.


def test_what_somebody_did_who_shared_a_listener_and_has_ended_is_seen(bed: Bed, tmp_path: Path) -> None:
    """The other holder rests all the time, and nothing is counted."""
    path = tmp_path / "child"
    bed.do(f"path = {str(path)!r}; {FORK}")
    helper = int(path.read_text())
    come_to_rest(bed)
    os.kill(helper, signal.SIGUSR1)
    until(lambda: Path(f"/proc/{helper}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "it has ended")
    assert 7 in {row.tx_queue for row in bed.make_pass()}


def test_what_a_thread_did_with_an_fd_of_its_own_before_it_closed_that_is_seen(bed: Bed, tmp_path: Path) -> None:
    """Its process has no such fd, and the other holder rests."""
    require(Capability.FD_COUNTS)
    path = tmp_path / "child"
    bed.do(f"path = {str(path)!r}; {FORK}")
    helper = int(path.read_text())
    try:
        bed.do(f"exec({THREAD!r}); turns[0].wait(); [one.close() for one in (listener, *others)]")
        come_to_rest(bed)
        assert bed.child.pid in bed.carried.resting
        bed.do("turns[1].set(); turns[2].wait()")
        assert bed.make_pass() == bed.look()
    finally:
        os.kill(helper, signal.SIGKILL)


def test_what_is_done_with_an_fd_taken_out_of_a_process_at_rest_is_seen_after_some_passes(bed: Bed) -> None:
    come_to_rest(bed)
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(_SYS_PIDFD_OPEN, bed.child.pid, 0)
    taken = libc.syscall(_SYS_PIDFD_GETFD, pidfd, bed.listener, 0)
    assert taken >= 0, os.strerror(ctypes.get_errno())
    assert libc.listen(taken, 8) == 0
    os.close(taken)
    os.close(pidfd)
    seen = [8 in {row.tx_queue for row in bed.make_pass()} for _ in range(MOST_PASSES + 1)]
    assert seen[-1]


def test_a_pass_that_was_not_finished_hands_nothing_on(bed: Bed) -> None:
    come_to_rest(bed)
    stop = threading.Event()
    stop.set()
    with suppress(Aborted):
        run_pass(carried=bed.carried, stop=stop)
    bed.make_pass()
    assert not bed.is_known()


def test_a_pass_that_is_to_be_deep_takes_no_table_for_what_it_was(bed: Bed) -> None:
    come_to_rest(bed)
    bed.do("bound = socket.socket(); bound.bind(('127.0.0.1', 0))")
    run_pass(carried=bed.carried, tables=TablesWanted(deep=True))
    for _ in range(3):
        run_pass(carried=bed.carried, tables=TablesWanted(deep=True))
        assert not bed.is_known()


@contextmanager
def read_one(child: Child) -> Iterator[tuple[PassContext, NetnsState]]:
    """A pass that has read the netns of the child."""
    with open_pass(ProcFs()) as context:
        with context.procfs.open_process(Pid(child.pid)) as process:
            inode = context.registry.see_process(process, Pid(child.pid))
        read_met(context, context.registry.list_met())
        (state,) = (one for one in context.reader.list_states() if one.met.inode == inode)
        assert state.tables
        yield context, state


def test_a_netns_that_is_held_no_longer_is_entered_anew_to_be_dumped_again(bed: Bed) -> None:
    with read_one(bed.child) as (context, state):
        before = state.tables[0]
        state.let_go()
        bed.do("more = socket.create_server(('127.0.0.1', 0))")
        dump_anew(context, [state])
        after = state.tables[0]
        assert (before.protocol, after.protocol) == (Protocol.TCP, Protocol.TCP)
        assert len(after.data) > len(before.data)
        assert context.gaps.list_gaps() == []


def test_what_is_gone_when_it_is_to_be_dumped_again_is_a_gap(bed: Bed) -> None:
    with read_one(bed.child) as (context, state):
        state.let_go()
        bed.child.kill()
        until(lambda: not Path(f"/proc/{bed.child.pid}").exists(), "it has ended")
        dump_anew(context, [state])
        assert (state.engine, state.tables, state.indexes) == (None, [], [])
        assert context.gaps.list_gaps() == [Gap(Stage.NETNS, state.met.subject, Reason.GONE)]


def test_a_pass_that_is_late_dumps_nothing_again_and_says_so(bed: Bed) -> None:
    with read_one(bed.child) as (context, state):
        dump_anew(context._replace(ends_at=0.0), [state])
        assert (state.engine, state.tables) == (None, [])
        assert context.gaps.list_gaps() == [Gap(Stage.NETNS, state.met.subject, Reason.LATE)]


NETNS: Final = NetnsId(4, 4026532500)
ACTIVITY: Final = Activity((2, 0, 0), b"Tcp: 1 200 120000 -1 4 2 0 0 2 61 60")
LISTENER, CONNECTION, WAITING = SocketInode(7), SocketInode(8), SocketInode(0)
AT_REST: Final = Stirred({LISTENER, CONNECTION}, set(), whole=True)


def make_table(*inodes: int, timer: int = 0, protocol: Protocol = Protocol.TCP) -> RawTable:
    rows = (make_message(byteorder=sys.byteorder, inode=inode, cookie=n, timer=timer) for n, inode in enumerate(inodes))
    return RawTable(TableFormat.INET_DIAG, protocol, AF_UNSPEC, b"".join(rows))


def make_state(
    *tables: RawTable,
    cookie: int = 1,
    activity: Activity | None = ACTIVITY,
    rests: bool = False,
    at_seconds: float = 0.0,
) -> NetnsState:
    """One of which only that of TCP is asked."""
    activities = {} if activity is None else {Protocol.TCP: activity}
    resting = {Protocol.TCP} if rests else set()
    state = NetnsState(MetNetns(0, NETNS, None, None), cookie=cookie)
    state.take(
        TablesRead(empty=False, tables=[*tables], at_seconds=at_seconds, activities=activities, resting=resting),
        Indexes(),
    )
    return state


def keep(
    table: RawTable, *passes: Stirred, activity: Activity | None = ACTIVITY, rests: bool = False
) -> tuple[RawTable | None, list[bool]]:
    """What the next pass takes for the table, and which passes of these had to dump it again."""
    tables, again = RestingTables(), []
    for number, stirred in enumerate(passes):
        tables.begin()
        state = make_state(table, activity=activity, rests=rests and number == len(passes) - 1)
        again.append(bool(tables.keep([state], stirred)))
    tables.begin()
    return tables.find(1, Protocol.TCP, ACTIVITY, 0.0), again


def test_a_table_is_known_once_all_was_at_rest_for_an_interval() -> None:
    table = make_table(7, 8)
    assert keep(table, AT_REST) == (None, [False])
    assert keep(table, AT_REST, AT_REST) == (table, [False, False])


@pytest.mark.parametrize(
    "stirred",
    [
        AT_REST._replace(rested={LISTENER}),
        AT_REST._replace(rested=set()),
        AT_REST._replace(others={CONNECTION}),
    ],
)
def test_what_somebody_holds_who_has_run_or_whom_nobody_has_seen_is_not_at_rest(stirred: Stirred) -> None:
    table = make_table(7, 8)
    assert keep(table, AT_REST, stirred) == (None, [False, False])
    assert keep(table, AT_REST, AT_REST, stirred, rests=True) == (None, [False, False, True])


def test_a_row_with_a_timer_keeps_its_table_from_being_known() -> None:
    assert keep(make_table(7, 8, timer=2), AT_REST, AT_REST) == (None, [False, False])


def test_time_wait_runs_down_and_changes_nothing_else() -> None:
    left = [60_000, 5, 0]
    rows = (make_message(byteorder=sys.byteorder, state=6, timer=3, expires_ms=ms, inode=0, cookie=ms) for ms in left)
    table = diag_table(make_table(7).data + b"".join(rows))
    tables = RestingTables()
    for second in (10.0, 20.0):
        tables.begin()
        tables.keep([make_state(table, at_seconds=second)], AT_REST)
    tables.begin()
    assert tables.find(1, Protocol.TCP, ACTIVITY, 20.0) == table
    later = tables.find(1, Protocol.TCP, ACTIVITY, 21.5)
    assert later is not None
    was, now = (decode_table(one.data, Protocol.TCP, sys.byteorder)[0] for one in (table, later))
    assert [row.timer.expires_ms if row.timer else None for row in now] == [None, 58_500, 0, 0]
    assert without_timers(now) == without_timers(was)


def test_what_waits_for_somebody_who_may_not_have_been_seen_is_not_at_rest() -> None:
    table = make_table(7, 8, WAITING)
    assert keep(table, AT_REST, AT_REST) == (table, [False, False])
    assert keep(table, AT_REST, AT_REST._replace(whole=False)) == (None, [False, False])
    assert keep(make_table(7, 8), AT_REST, AT_REST._replace(whole=False))[0] == make_table(7, 8)


@pytest.mark.parametrize(
    "other",
    [ACTIVITY._replace(sockets=(1, 0, 0)), ACTIVITY._replace(packets=b"Tcp: 1 200 120000 -1 4 2 0 0 2 62 60"), None],
)
def test_what_was_counted_meanwhile_is_the_end_of_the_rest(other: Activity | None) -> None:
    table, tables = make_table(7, 8), RestingTables()
    for activity in (ACTIVITY, ACTIVITY, other):
        tables.begin()
        tables.keep([make_state(table, activity=activity)], AT_REST)
    tables.begin()
    assert other is None or tables.find(1, Protocol.TCP, other, 0.0) is None
    assert tables.find(1, Protocol.TCP, ACTIVITY, 0.0) is None


def test_netns_are_counted_where_most_tables_are_at_rest() -> None:
    tables, stirred = RestingTables(), AT_REST._replace(rested={LISTENER, CONNECTION, SocketInode(9)})
    counted = []
    for timers in ((0, 0, 0), (0, 0, 0), (0, 0, 2), (0, 2, 2)):
        tables.begin()
        counted.append(tables.count_netns())
        states = [make_state(make_table(7, timer=timer), cookie=number) for number, timer in enumerate(timers)]
        empty = make_state(cookie=9, activity=None)  # It is held open while others are read, too.
        tables.keep([*states, empty], stirred)
    tables.begin()
    assert [*counted, tables.count_netns()] == [0, 0, 4, 4, 0]


def test_a_table_is_that_of_a_netns_by_its_cookie_and_of_tcp() -> None:
    tables = RestingTables()
    udp, tcp = make_table(9, protocol=Protocol.UDP), make_table(7)
    for _ in range(2):
        tables.begin()
        tables.keep([make_state(udp, tcp, cookie=1), make_state(udp, cookie=2)], AT_REST)
    tables.begin()
    assert [tables.find(cookie, Protocol.TCP, ACTIVITY, 0.0) for cookie in (1, 2, 3, None)] == [tcp, None, None, None]
    assert tables.find(1, Protocol.UDP, ACTIVITY, 0.0) is None


def test_a_table_that_was_taken_often_enough_is_dumped_anew_and_then_known_again() -> None:
    tables, table, taken = RestingTables(), make_table(7, 8), []
    for _ in range(2 * MOST_PASSES + 4):
        tables.begin()
        known = tables.find(1, Protocol.TCP, ACTIVITY, 0.0)
        taken.append(known is not None)
        assert tables.keep([make_state(table, rests=known is not None)], AT_REST) == []
    once = [True] * MOST_PASSES + [False]
    assert taken == [False, False, *once, *once]


def test_sockets_are_told_apart_by_whether_their_holders_have_run() -> None:
    def holds(pid: int, *inodes: int) -> ProcessReading:
        return reading(pid, dict(enumerate(inodes)))

    walk = Walk([], readings=[holds(10, 7, 8), holds(11, 8, 9), holds(12)], rested={Pid(10), Pid(12)})
    ended = Resting(Instance(1, 0, 0), (), holds(13, 5), FdLinks(((Fd(3), SocketInode(5)),), ()), None)
    known = {Pid(13): ended, Pid(10): ended._replace(links=FdLinks(((Fd(3), SocketInode(7)),), ()))}
    assert find_stirred(walk, known) == Stirred(
        {LISTENER, CONNECTION}, {SocketInode(9), CONNECTION, SocketInode(5)}, True
    )
    aside = {Pid(10): {SocketInode(3)}, Pid(11): {SocketInode(4)}, Pid(13): {SocketInode(6)}}
    assert find_stirred(walk, known, aside).others == {SocketInode(9), CONNECTION, SocketInode(5), SocketInode(6)}
    walk.denied = 1
    assert not find_stirred(walk, {}).whole
