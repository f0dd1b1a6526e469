"""The process connector: what it tells, what it says where it tells nothing, and that losses show."""

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from errno import EAGAIN, EBADF, ENOBUFS
from functools import partial
from pathlib import Path

import pytest

from nsagent.errors import EventsUnavailable, ReadFailed, Reason
from nsagent.kernel.capabilities import Capability as Right
from nsagent.kernel.capabilities import give_back_capabilities
from nsagent.kernel.formats.cn_proc import Ack, Event, Exec, Exit, Fork
from nsagent.kernel.netlink import Received
from nsagent.kernel.proc_events import Batch, EventQueue, EventsLost, ProcConnector, Timed, open_connector
from nsagent.kernel.procfs import ProcFs
from tests.kernel.apart import run_apart
from tests.kernel.children import start_child
from tests.kernel.formats.test_cn_proc import RECORDED
from tests.kernel.proc_tree import ProcTree
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until


def tell(cpu: int, sequence: int) -> bytes:
    """An exit."""
    data = bytearray(RECORDED[-1])
    struct.pack_into("=I", data, 24, sequence)
    struct.pack_into("=I", data, 40, cpu)
    return bytes(data)


def queue_of(*told: bytes | OSError | tuple[bytes, int]) -> EventQueue:
    """A queue of what recvmsg(2) gives or raises, and from whom if that is not the kernel."""
    waiting = iter(told)

    def receive(buffer: bytearray) -> Received:
        found = next(waiting, OSError(EAGAIN, "nothing waits"))
        if isinstance(found, OSError):
            raise found
        data, sender = found if isinstance(found, tuple) else (found, 0)
        buffer[: len(data)] = data
        return Received(len(data), 0, sender)

    return EventQueue(receive)


NOTHING_WAITS = OSError(EAGAIN, "nothing waits")
OVERRUN = OSError(ENOBUFS, "overrun")
EXIT = Timed(72612890772200, Exit(2873, 2873, 768))


def test_what_waits_is_told_in_order_and_then_that_it_was_all() -> None:
    queue = queue_of(tell(0, 5), tell(1, 9), tell(0, 6), NOTHING_WAITS, tell(1, 10))
    assert [queue.read() for _ in range(3)] == [
        Batch((EXIT,) * 3, None, True),
        Batch((EXIT,), None, True),
        Batch((), None, True),
    ]


def test_a_storm_is_taken_in_batches() -> None:
    queue = queue_of(*(tell(0, number) for number in range(5000)))
    assert [(len(batch.events), batch.drained) for batch in (queue.read(), queue.read())] == [
        (4096, False),
        (904, True),
    ]


def test_bug_73_numbers_that_are_missing_are_counted_for_each_cpu() -> None:
    queue = queue_of(tell(0, 5), tell(1, 9), tell(0, 8), tell(1, 10), tell(1, 12))
    assert queue.read().lost == EventsLost(3, True)


def test_numbers_begin_anew_behind_the_largest() -> None:
    assert queue_of(tell(0, 0xFFFFFFFF), tell(0, 0)).read().lost is None
    assert queue_of(tell(0, 0xFFFFFFFE), tell(0, 1)).read().lost == EventsLost(2, True)


def test_an_overrun_is_one_loss_whose_number_shows_later() -> None:
    """What waits yet is older than the loss; then the first event of each CPU shows what it has lost."""
    queue = queue_of(
        *(tell(0, 5), tell(1, 9), OVERRUN, tell(0, 6), NOTHING_WAITS),
        *(tell(0, 17), NOTHING_WAITS, tell(1, 20), NOTHING_WAITS, tell(1, 22)),
    )
    assert [queue.read().lost for _ in range(4)] == [
        EventsLost(0, True),
        EventsLost(10, False),
        EventsLost(10, False),
        EventsLost(1, True),
    ]


def test_a_cpu_that_lost_nothing_in_an_overrun_tells_of_a_later_loss() -> None:
    queue = queue_of(tell(0, 5), OVERRUN, NOTHING_WAITS, tell(0, 6), tell(0, 8))
    assert [queue.read().lost for _ in range(2)] == [EventsLost(0, True), EventsLost(1, True)]


def test_bug_76_only_the_kernel_is_believed() -> None:
    queue = queue_of(tell(0, 5), (tell(0, 900), 664), tell(0, 6))
    assert queue.read() == Batch((EXIT,) * 2, None, True)


def test_bug_83_a_short_datagram_is_a_loss_and_the_next_one_is_read() -> None:
    assert queue_of(tell(0, 5), b"short", tell(0, 6)).read() == Batch((EXIT,) * 2, EventsLost(0, True), True)


def test_any_other_error_is_told() -> None:
    with pytest.raises(ReadFailed, match="EBADF"):
        queue_of(OSError(EBADF, "closed")).read()


open_here = partial(open_connector, ProcFs(), time.monotonic)


@pytest.fixture
def connector(same_fds: None) -> Iterator[ProcConnector]:
    require(Capability.ROOT, Capability.SETPRIV, Capability.PROCESS_EVENTS)
    connector = open_here()
    yield connector
    connector.close()


def await_exit(connector: ProcConnector, pid: int) -> list[Timed]:
    """The events of a process until it ends, with those of its threads."""
    found: list[Timed] = []

    def has_ended() -> bool:
        found.extend(each for each in connector.read().events if getattr(each.event, "tgid", None) == pid)
        return any(isinstance(each.event, Exit) and each.event.pid == pid for each in found)

    until(has_ended, "the exit of a child is told")
    return found


def test_a_child_is_told_of_from_its_fork_to_its_exit(connector: ProcConnector) -> None:
    before = time.monotonic_ns()
    child = subprocess.Popen(["sh", "-c", "exit 3"])
    child.wait()
    told = await_exit(connector, child.pid)
    assert [each.event for each in told] == [
        Fork(child.pid, child.pid, os.getpid()),
        Exec(child.pid, child.pid),
        Exit(child.pid, child.pid, 3 << 8),
    ]
    times = [before, *(each.timestamp_ns for each in told), time.monotonic_ns()]
    assert times == sorted(times)


def test_the_buffer_holds_32_mib(connector: ProcConnector) -> None:
    with socket.fromfd(connector.fileno(), socket.AF_NETLINK, socket.SOCK_DGRAM, 11) as same:
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * (32 << 20)


def test_bug_74_who_closes_tells_the_kernel(connector: ProcConnector) -> None:
    """It answers to all who listen: to the other one's request to begin, and to that to end."""
    other = open_here()
    other.close()
    acks = [each.event for each in connector.read().events if isinstance(each.event, Ack)]
    assert [ack.errno for ack in acks] == [0, 0]
    assert acks[1] == Ack(0, 0)


AFTER_A_FORK = """
import os, subprocess, time
from nsagent.kernel.proc_events import open_connector
from nsagent.kernel.procfs import ProcFs
connector = open_connector(ProcFs(), time.monotonic)
pid = os.fork()
if not pid:
    connector.close()
    os._exit(0)
os.waitpid(pid, 0)
subprocess.run(["sh", "-c", "exit 7"])
while not any(getattr(each.event, "code", 0) == 7 << 8 for each in connector.read().events):
    time.sleep(0.01)
connector.close()
"""


def test_a_fork_that_closes_takes_nothing_from_its_parent() -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    subprocess.run([sys.executable, "-c", AFTER_A_FORK], check=True, timeout=60)


def test_bug_81_two_of_one_process_hear_the_same(connector: ProcConnector) -> None:
    with start_child("ready(); wait()") as child:
        other = open_here()
        child.kill()
        assert [await_exit(each, child.pid)[-1].event for each in (connector, other)] == [
            Exit(child.pid, child.pid, 9)
        ] * 2
        other.close()


def test_a_forged_event_is_passed_over(connector: ProcConnector) -> None:
    forged = bytearray(RECORDED[-1])
    struct.pack_into("=II", forged, 52, 1, 1)  # PID 1 has ended.
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 11) as forger:
        forger.sendto(forged, (0, 1))
    child = subprocess.Popen(["true"])
    child.wait()
    events: list[Event] = []

    def has_ended() -> bool:
        events.extend(each.event for each in connector.read().events)
        return Exit(child.pid, child.pid, 0) in events

    until(has_ended, "the exit of a child is told")
    assert not [event for event in events if isinstance(event, Exit) and event.tgid == 1]


IN_ANOTHER_NETNS = """
import subprocess, time
from nsagent.errors import EventsUnavailable
from nsagent.kernel.proc_events import ProcConnector, open_connector
from nsagent.kernel.procfs import ProcFs
try:
    ProcConnector(time.monotonic)
except EventsUnavailable as err:
    print(err.reason, err.errno)
connector = open_connector(ProcFs(), time.monotonic)
here = os.readlink("/proc/thread-self/ns/net")
subprocess.run(["sh", "-c", "exit 7"])
while not any(getattr(each.event, "code", 0) == 7 << 8 for each in connector.read().events):
    time.sleep(0.01)
connector.close()
print(here == os.readlink("/proc/self/ns/net") != os.readlink(f"/proc/{os.getppid()}/ns/net"))
"""


def test_bug_77_from_another_netns_the_hosts_is_entered() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.PROCESS_EVENTS)
    command = ["unshare", "--net", "--", sys.executable, "-c", "import os" + IN_ANOTHER_NETNS]
    said = subprocess.check_output(command, text=True, timeout=60)
    assert said.splitlines() == ["unreachable ECONNREFUSED", "True"]


PRINT_REASON = """
import time
from nsagent.errors import EventsUnavailable
from nsagent.kernel.proc_events import open_connector
from nsagent.kernel.procfs import ProcFs
try:
    open_connector(ProcFs(), time.monotonic)
except EventsUnavailable as err:
    print(err.reason, err)
"""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--pid", "--mount-proc"), "pid_namespace the kernel ignores who is in a PID namespace of its own"),
        (("--pid",), "pid_namespace /proc has the pids of another PID namespace"),
        (("--user",), "denied the kernel ignores who is in a user namespace of its own"),
    ],
)
def test_bug_77_in_other_namespaces_it_says_why_nothing_is_told(options: tuple[str, ...], told: str) -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.PROCESS_EVENTS)
    command = ["unshare", *options, "--fork", "--kill-child", "--", sys.executable, "-c", PRINT_REASON]
    assert subprocess.check_output(command, text=True, timeout=60) == told + "\n"


def test_a_copy_of_proc_has_no_events(tree: ProcTree) -> None:
    with pytest.raises(EventsUnavailable, match="the pids of another PID namespace"):
        open_connector(ProcFs(tree.path), time.monotonic)


def test_no_answer_is_told_after_a_second(same_fds: None) -> None:
    """A clock that has run out stands for a kernel that does not answer."""
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    times = iter((0.0, 2.0))
    with pytest.raises(EventsUnavailable, match="CONFIG_PROC_EVENTS"):
        ProcConnector(lambda: next(times))


def test_without_rights_the_buffer_is_smaller_or_it_says_so(same_fds: None) -> None:
    """From Linux 6.6 anybody may listen."""
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    kept: list[ProcConnector | EventsUnavailable] = []

    def open_without_rights() -> None:
        give_back_capabilities((Right.SYS_PTRACE, Right.SYS_ADMIN), own="/proc/thread-self")
        try:
            kept.append(ProcConnector(time.monotonic))
        except EventsUnavailable as err:
            kept.append(err)

    run_apart(open_without_rights)
    (found,) = kept
    if isinstance(found, EventsUnavailable):
        assert (found.reason, found.errno) == (Reason.DENIED, "EPERM")
        return
    with socket.fromfd(found.fileno(), socket.AF_NETLINK, socket.SOCK_DGRAM, 11) as same:
        most = 2 * int(Path("/proc/sys/net/core/rmem_max").read_text())
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == min(most, 2 * (32 << 20))
    found.close()
