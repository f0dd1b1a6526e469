"""Details of live processes, odd ones too."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsagent.errors import ProcessGone
from nsagent.inspect.request import Wanted
from nsagent.inspect.subject import find_leader
from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Pid
from nsagent.model.inspection import Inspection
from nsagent.model.process import CommandLine
from nsagent.model.process_details import FdKind, Namespace
from tests.inspect.inspecting import WANTED, await_sleep, inspect, inspect_each, known, list_missing, read_proc
from tests.kernel.children import start_child
from tests.kernel.test_command_lines import DEAD_LEADER
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until

OPENED = """
file = open(sys.argv[1], "w")
file.write("x" * 1234)
file.flush()
directory = os.open("/", os.O_RDONLY)
pipe = os.pipe()
listener = socket.create_server(("127.0.0.1", 0))
memory = os.memfd_create("mine")
epoll = __import__("select").epoll()
netns = os.open("/proc/self/ns/net", os.O_RDONLY)
ready(" ".join(map(str, (file.fileno(), directory, pipe[0], listener.fileno(), memory, epoll.fileno(), netns))))
wait()
"""


EXECS = """
ready()
sys.stdin.readline()
os.execv(sys.executable, [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"])
"""


def run_python(program: str, *arguments: str | bytes) -> "subprocess.Popen[bytes]":
    """A child with these arguments that has said something; to be killed."""
    prelude = "import os, socket, sys, threading, time\ndef ready(text=''):\n print(text, flush=True)\n"
    program = f"{prelude}def wait():\n sys.stdin.read()\n{program}"
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def end(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.communicate()


@pytest.mark.usefixtures("same_fds")
def test_bug_65_the_own_process_is_told_as_any_other() -> None:
    """OpenSnitch has nothing to say about itself."""
    one = inspect(os.getpid())
    assert (one.key.pid, one.asked, one.kernel_thread, one.state) == (os.getpid(), os.getpid(), False, "R")
    assert one.exe is not None
    assert (one.exe.path, one.exe.state) == (os.path.realpath(sys.executable), "present")
    assert one.cwd == os.getcwd()
    assert one.status is not None
    assert (one.status.parent, one.status.uids[1]) == (os.getppid(), os.geteuid())
    assert one.parents[0].key.pid == os.getppid()
    assert list_missing(one) == {}


def test_bug_55_arguments_keep_their_boundaries() -> None:
    """OpenSnitch splits them at spaces, and loses those that are empty."""
    child = run_python("ready(); wait()", "a  b", "", b"\xff\x1b[31m", "--name", "a b", "")
    try:
        assert child.stdout is not None
        child.stdout.readline()
        line = inspect(child.pid).command_line
    finally:
        end(child)
    assert line is not None
    assert line.argv[3:] == ("a  b", "", "\udcff\x1b[31m", "--name", "a b", "")
    assert not line.cut


def test_of_64_ki_arguments_so_many_are_told_as_128_kib_have() -> None:
    child = run_python("ready(); wait()", *["x"] * (1 << 16), "yy")
    try:
        assert child.stdout is not None
        child.stdout.readline()
        line = inspect(child.pid).command_line
    finally:
        end(child)
    assert line is not None
    assert line.cut
    assert sum(len(each.encode()) + 1 for each in line.argv) in (128 << 10, (128 << 10) + 1)
    assert set(line.argv[3:-1]) == {"x"}


def test_bugs_51_and_52_each_kind_of_fd_is_told_and_the_size_of_files_alone(tmp_path: Path) -> None:
    """OpenSnitch asks its own mount namespace for what a link says, and names a socket by its fd."""
    path = tmp_path / "opened"
    child = run_python(OPENED, str(path))
    try:
        assert child.stdout is not None
        numbers = list(map(int, child.stdout.readline().split()))
        path.unlink()
        one = inspect(child.pid)
        links = {fd: os.readlink(f"/proc/{child.pid}/fd/{fd}") for fd in numbers}
    finally:
        end(child)
    found = {int(each.fd): each for each in known(one.fds) if each.fd in numbers}
    assert {fd: each.target for fd, each in found.items()} == links
    kinds = [found[fd].kind for fd in numbers]
    assert kinds == ["file", "directory", "pipe", "socket", "memfd", "anon_inode", "namespace"]
    file, memory = found[numbers[0]], found[numbers[4]]
    assert (file.size_bytes, file.target) == (1234, f"{path} (deleted)")
    assert file.modified_ns is not None
    assert abs(file.modified_ns / 1e9 - time.time()) < 600
    assert memory.size_bytes == 0
    assert [found[fd].size_bytes for fd in numbers[1:4]] == [None] * 3
    assert [each.inode for each in one.sockets] == [int(links[numbers[3]][8:-1])]


def test_bug_56_the_environment_is_read_where_it_is_asked_for_and_as_it_is_told(tmp_path: Path) -> None:
    """OpenSnitch keeps what an earlier image had, and cuts white space off."""
    environment = {"A": " x\n", "B": "", "TOKEN": "s3cret"}
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, env=environment) as child:
        until(lambda: read_proc(child.pid, "comm") == b"cat\n", "it runs cat")
        silent = inspect(child.pid)
        told = inspect(child.pid, WANTED._replace(environ=str.lower))
    assert silent.environ is None
    assert told.environ == ("a= x\n", "b=", "token=s3cret")


def test_a_thread_finds_its_process_and_threads_have_names() -> None:
    program = (
        "import ctypes\n"
        "def live():\n ctypes.CDLL(None).prctl(15, b'worker'); ready(threading.get_native_id()); time.sleep(1e6)\n"
        "threading.Thread(target=live, daemon=True).start(); wait()"
    )
    with start_child(program) as child:
        tid = int(child.said)
        one = inspect(tid)
        assert find_leader(ProcFs(), tid) == child.pid
        assert (one.key.pid, one.asked, one.is_thread) == (child.pid, tid, True)
        assert [(int(each.tid), each.comm) for each in known(one.threads) if each.tid == tid] == [(tid, "worker")]
        assert len(known(one.threads)) == 2


def test_of_a_process_whose_first_thread_has_ended_another_one_tells() -> None:
    with start_child("socket_ = socket.create_server(('127.0.0.1', 0))\n" + DEAD_LEADER) as child:
        one = inspect(child.pid)
        assert (one.leader_ended, one.key.pid) == (True, child.pid)
        assert one.exe is not None
        assert one.exe.state == "present"
        assert [each.kind for each in known(one.fds)].count(FdKind.SOCKET) == 1
        assert list_missing(one) == {}


def test_bugs_64_and_67_a_zombie_is_told_as_one_and_has_no_gaps() -> None:
    """OpenSnitch takes it for alive, and what has no maps for a thread of the kernel."""
    child = subprocess.Popen(["/bin/true"])
    try:
        until(lambda: b") Z " in read_proc(child.pid, "stat"), "it has ended")
        one = inspect(child.pid)
    finally:
        child.wait()
    assert (one.state, one.kernel_thread, one.comm) == ("Z", False, "true")
    assert (one.exe, one.command_line, known(one.fds), one.maps, one.cwd) == (None, None, (), None, None)
    assert list_missing(one) == {}
    assert one.parents[0].key.pid == os.getpid()


def test_bug_67_a_thread_of_the_kernel_is_told_by_its_flag() -> None:
    require(Capability.ROOT)
    one = inspect(2)
    assert (one.kernel_thread, one.comm, one.parents) == (True, "kthreadd", ())
    assert (one.exe, one.command_line, known(one.fds), one.memory) == (None, None, (), None)
    assert one.children
    assert {child.comm for child in one.children} >= {"rcu_preempt"} or len(one.children) > 5
    assert list_missing(one) == {}


def test_a_process_of_another_pid_namespace_tells_both_its_pids_and_which_namespaces_differ() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    command = ("unshare", "--fork", "--pid", "--net", "--kill-child", "--")
    with start_child("ready(); wait()", *command) as child:
        (below,) = inspect(child.pid).children
        inner = below.key.pid
        one = inspect(inner)
    assert one.status is not None
    assert one.status.pids == (inner, 1)
    assert {each.kind for each in known(one.namespaces) if each.is_host is False} >= {"pid", "net", "pid_for_children"}
    assert Namespace("uts", os.stat("/proc/self/ns/uts").st_ino, True) in known(one.namespaces)


def test_a_pid_that_is_gone_is_no_process() -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    (told,) = inspect_each(child.pid)
    assert isinstance(told, ProcessGone)


def test_one_that_cannot_be_read_costs_no_other() -> None:
    gone, here = inspect_each(1 << 22, os.getpid())
    assert isinstance(gone, ProcessGone)
    assert isinstance(here, Inspection)


def test_bug_64_a_pid_that_is_given_out_again_is_never_mixed_in() -> None:
    """What is held is the process that was there first: after that only errors come."""
    child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
    with ProcFs().open_process(Pid(child.pid)) as process:
        end(child)
        with pytest.raises(ProcessGone):
            process.read_stat()


def test_a_process_of_a_pass_whose_pid_is_another_one_s_by_now_is_gone() -> None:
    own = inspect(os.getpid()).key
    (same, other) = inspect_each(own, own._replace(start_ticks=own.start_ticks - 1))
    assert isinstance(same, Inspection)
    assert (same.key, same.asked) == (own, own.pid)
    assert isinstance(other, ProcessGone)


def test_control_characters_in_comm_are_told_as_they_are() -> None:
    with start_child("import ctypes; ctypes.CDLL(None).prctl(15, b') R 1 \\n\\x1b['); ready(); wait()") as child:
        await_sleep(child.pid)
        one = inspect(child.pid)
    assert (one.comm, one.state) == (") R 1 \n\x1b[", "S")
    assert one.parents[0].key.pid == os.getpid()


def test_a_process_that_is_stopped_is_told_whole() -> None:
    with start_child("ready(); wait()") as child:
        os.kill(child.pid, signal.SIGSTOP)
        until(lambda: b") T " in read_proc(child.pid, "stat"), "it is stopped")
        one = inspect(child.pid)
        os.kill(child.pid, signal.SIGCONT)
    assert one.state == "T"
    assert isinstance(one.command_line, CommandLine)
    assert list_missing(one) == {}


def test_no_time_is_no_answer_and_what_is_told_at_once_is_there() -> None:
    one = inspect(os.getpid(), Wanted(lookup_seconds=0.0))
    assert (one.command_line, one.maps, one.io) == (None, None, None)
    assert one.status is not None
    assert list_missing(one)["cmdline"] == "no_answer"


def test_a_program_that_begins_while_the_one_before_is_read_is_a_gap() -> None:
    child = run_python(EXECS)
    assert child.stdin
    assert child.stdout
    say, listen = child.stdin, child.stdout
    began: list[bytes] = []

    def go_on(variable: str) -> str:
        """Called for each variable of the environment, when most is read."""
        if not began:
            say.write(b"go on\n")
            say.flush()
            began.append(listen.readline())
        return variable

    try:
        listen.readline()
        assert "program" not in list_missing(inspect(child.pid))
        told = inspect(child.pid, WANTED._replace(environ=go_on))
    finally:
        end(child)
    assert list_missing(told)["program"] == "changed"
