"""procfs on the live kernel: processes that exit, change and lose fds between two reads."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from nsagent.errors import Gone
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.ids import Fd, Pid, SocketInode
from tests.kernel.children import Child, start_child
from tests.live.deadlines import until

LISTEN = """
made = socket.create_server(("127.0.0.1", 0))
"""
DEAD_LEADER = (
    LISTEN
    + """
import ctypes
def stay():
    until_dead = lambda: open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] == "Z"
    while not until_dead():
        time.sleep(0.01)
    ready(os.fstat(made.fileno()).st_ino)
    wait()
    os._exit(0)
threading.Thread(target=stay).start()
libc = ctypes.CDLL(None)
libc.pthread_exit.restype = None
libc.pthread_exit(None)
"""
)

READS: dict[str, Callable[[ProcessDir], object]] = {
    "stat": ProcessDir.read_stat,
    "cgroup": ProcessDir.read_cgroup,
    "netns inode": ProcessDir.read_netns_inode,
    "fd links": ProcessDir.read_fd_links,
    "live thread": ProcessDir.open_live_thread,
    "netns": ProcessDir.open_netns,
    "mounts": lambda process: process.read_netns_mounts(4096),
    "table": lambda process: process.read_net("tcp"),
    "a missing table": lambda process: process.read_net("nothing"),
    "key": ProcessDir.read_netns_key,
}


def open_child(child: Child) -> ProcessDir:
    return ProcFs().open_process(Pid(child.pid))


@pytest.mark.usefixtures("same_fds")
@pytest.mark.parametrize("name", READS)
def test_every_read_through_the_held_directory_of_an_exited_process_is_process_gone(name: str) -> None:
    with start_child("ready(); wait()") as child, open_child(child) as process:
        child.end()
        with pytest.raises(Gone):
            READS[name](process)


def test_the_fds_of_a_child_are_its_sockets_and_netns() -> None:
    program = LISTEN + "netns = os.open('/proc/self/ns/net', os.O_RDONLY); "
    program += "ready(f'{made.fileno()} {os.fstat(made.fileno()).st_ino} {netns}'); wait()"
    with start_child(program) as child, open_child(child) as process:
        fd, inode, netns = map(int, child.said.split())
        found = process.read_fd_links()
    assert found.sockets == ((Fd(fd), SocketInode(inode)),)
    assert found.netns == ((Fd(netns), os.stat("/proc/self/ns/net").st_ino),)


def test_an_fd_that_closes_during_the_walk_is_no_vanished_process() -> None:
    program = """
ready()
while True:
    for fd in [os.dup(0) for _ in range(200)]:
        os.close(fd)
"""
    with start_child(program) as child:
        with open_child(child) as process:
            for _ in range(500):
                process.read_fd_links()
        child.kill()


def test_a_zombie_has_no_fds_and_no_netns() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as zombie, ProcFs().open_process(Pid(zombie.pid)) as process:
        until(lambda: process.read_stat().is_dead, "the child is a zombie")
        assert process.read_fd_links().sockets == ()
        with pytest.raises(Gone):
            process.read_net("tcp6")


def test_the_live_thread_of_a_zombie_leader_has_its_fds_and_its_netns() -> None:
    with start_child(DEAD_LEADER) as child, open_child(child) as process:
        assert process.read_stat().is_dead
        assert process.read_fd_links().sockets == ()
        with process.open_live_thread() as thread:
            assert [inode for _, inode in thread.read_fd_links().sockets] == [int(child.said)]
            assert thread.read_netns_inode() == os.stat("/proc/self/ns/net").st_ino


def test_the_facts_of_the_own_process_are_its_own() -> None:
    with ProcFs().open_process(Pid(os.getpid())) as process:
        assert process.read_uid() == os.geteuid()
        assert process.read_netns_inode() == os.stat("/proc/self/ns/net").st_ino
        assert process.read_netns_key() == os.stat("/proc/self/net/dev").st_ino
        assert threading.get_native_id() in process.list_threads()


def test_a_netns_opened_through_a_process_is_its_netns() -> None:
    with ProcFs().open_process(Pid(os.getpid())) as process:
        fd = process.open_netns()
    try:
        assert os.fstat(fd).st_ino == os.stat("/proc/self/ns/net").st_ino
        assert os.get_inheritable(fd) is False
    finally:
        os.close(fd)


def test_the_netns_that_an_fd_holds_is_opened_anew() -> None:
    netns = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        with ProcFs().open_process(Pid(os.getpid())) as process:
            fd = process.open_netns_of_fd(Fd(netns))
        try:
            assert fd != netns
            assert os.path.samestat(os.fstat(fd), os.fstat(netns))
        finally:
            os.close(fd)
    finally:
        os.close(netns)


def test_the_procfs_of_the_running_kernel_is_live() -> None:
    assert ProcFs("/proc").is_live()


def test_a_directory_of_the_procfs_ends_in_no_slash() -> None:
    assert (ProcFs("/proc/").root, ProcFs("/").root) == ("/proc", "/")


def test_the_own_pid_is_found_in_the_live_procfs() -> None:
    assert ProcFs().read_own_pid() == os.getpid()
