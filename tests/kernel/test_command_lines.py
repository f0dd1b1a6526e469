"""Command lines through the look-up child: whose they are, and what is left behind."""

import threading
import time

import pytest

from nsagent.errors import Gone, NotRead, ProcessGone
from nsagent.kernel.command_lines import read_command_lines
from nsagent.kernel.lookups import Lookups
from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Pid
from nsagent.model.process import CommandLine, ProcessKey
from tests.kernel.children import start_child

DEAD_LEADER = """
import ctypes
def live():
    while open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    ready("dead")
    wait()
    os._exit(0)
threading.Thread(target=live).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def read(*keys: ProcessKey) -> dict[ProcessKey, CommandLine | Gone | NotRead]:
    return dict(read_command_lines(keys, ProcFs(), Lookups(), 60.0, clock=time.monotonic, stop=threading.Event()))


def find_key(pid: int) -> ProcessKey:
    with ProcFs().open_process(Pid(pid)) as process:
        return ProcessKey(Pid(pid), process.read_stat().start_ticks)


@pytest.mark.usefixtures("same_fds")
def test_each_process_has_its_own_and_who_is_gone_has_none() -> None:
    absent = ProcessKey(Pid(1 << 22), 1)
    with start_child("ready(); wait()") as one, start_child("ready(); wait()", "nice", "-n", "0") as other:
        keys = find_key(one.pid), find_key(other.pid)
        earlier = keys[0]._replace(start_ticks=keys[0].start_ticks - 1)
        told = read(*keys, absent, earlier)
        programs = {key: line.argv[-1][-16:] for key, line in told.items() if isinstance(line, CommandLine)}
    assert programs == dict.fromkeys(keys, "\nready(); wait()")
    assert [type(told[key]) for key in (absent, earlier)] == [ProcessGone, ProcessGone]


def test_of_a_process_whose_first_thread_has_ended_another_one_tells() -> None:
    with start_child(DEAD_LEADER) as child:
        (line,) = read(find_key(child.pid)).values()
    assert isinstance(line, CommandLine)
    assert line.argv[-1].endswith(DEAD_LEADER)
