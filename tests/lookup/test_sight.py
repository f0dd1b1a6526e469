"""What a resolver sees of real processes of this host."""

import os
import socket
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from nsagent.errors import Aborted
from nsagent.kernel.procfs import ProcFs
from nsagent.lookup.sight import HostLooks, Running, read_running
from nsagent.model.ids import Pid
from nsagent.model.process import CommandLine, ProcessKey

PROCFS = ProcFs("/proc")


def own_key() -> ProcessKey:
    with PROCFS.open_process(Pid(os.getpid())) as process:
        return ProcessKey(Pid(os.getpid()), process.read_stat().start_ticks)


def test_what_a_process_runs_is_told() -> None:
    key = own_key()
    assert read_running(PROCFS, key, float) == Running(
        float(key.start_ticks), Pid(os.getppid()), os.readlink("/proc/self/exe"), str(Path.cwd()), None
    )


@pytest.mark.parametrize("pid", [None, Pid(1 << 22)])
def test_bug_27_nothing_is_told_of_a_process_that_has_the_pid_of_another(pid: Pid | None) -> None:
    key = own_key()
    other = ProcessKey(pid or key.pid, key.start_ticks - 1)
    assert read_running(PROCFS, other, float) == Running(float(other.start_ticks))


def test_a_thread_tells_what_a_process_runs_whose_first_thread_has_ended() -> None:
    program = (
        "import ctypes, os, threading; "
        "threading.Thread(target=lambda: (print(flush=True), input())).start(); "
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    read_end, write_end = os.pipe()
    told_end, tell_end = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, read_end, 0), (os.POSIX_SPAWN_DUP2, tell_end, 1)]
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", program], os.environ, file_actions=actions)
    try:
        assert os.read(told_end, 1) == b"\n"
        key = await_dead_leader(Pid(pid))
        assert read_running(PROCFS, key).exe == os.path.realpath(sys.executable)
    finally:
        os.write(write_end, b"\n")
        os.waitpid(pid, 0)
        for fd in (read_end, write_end, told_end, tell_end):
            os.close(fd)


def await_dead_leader(pid: Pid) -> ProcessKey:
    """The key of a process once its first thread has ended."""
    while True:
        with PROCFS.open_process(pid) as process:
            stat = process.read_stat()
        if stat.is_dead:
            return ProcessKey(pid, stat.start_ticks)


def test_a_look_brings_what_the_holders_of_sockets_run() -> None:
    key = own_key()
    with closing(HostLooks(runtime="none")) as looks, socket.create_server(("127.0.0.1", 0)) as server:
        sight = looks.look(threading.Event())
        inode = os.fstat(server.fileno()).st_ino
        assert [one.owners[0].process.key for one in sight.snapshot.sockets if one.row.inode == inode] == [key]
        line = tuple(Path("/proc/self/cmdline").read_text().removesuffix("\0").split("\0"))
        running = sight.running[key]
        assert running == read_running(PROCFS, key, lambda _: running.started_at)._replace(
            command_line=CommandLine(line)
        )
        assert {owner.process.key for one in sight.snapshot.sockets for owner in one.owners} == {*sight.running}


def test_a_look_is_given_up_once_it_shall_stop() -> None:
    stop = threading.Event()
    stop.set()
    with closing(HostLooks(runtime="none")) as looks, pytest.raises(Aborted):
        looks.look(stop)
