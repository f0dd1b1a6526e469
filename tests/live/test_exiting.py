"""A process in the middle of its end: nobody is in it any more who has a netns, and it is not gone either."""

import os
import platform
import sys

import pytest

from tests.live.closed_bed import ClosedBed, read_report
from tests.live.deadlines import until
from tests.live.nsagent_cli import owners_in

pytestmark = pytest.mark.timeout(120)

SYS_EXIT = {"x86_64": 60, "aarch64": 93, "riscv64": 93}[platform.machine()]
CLONE_NEWPID = 0x20000000
WAITING = f"""
import ctypes, os, sys, threading
libc = ctypes.CDLL(None)
told, tell = os.pipe()
def outlive():
    os.read(told, 1)
    while open("/proc/self/stat").read().split()[2] != "Z":
        pass
    libc.syscall({SYS_EXIT}, 0)
assert libc.unshare({CLONE_NEWPID}) == 0
first = os.fork()
if first == 0:
    threading.Thread(target=outlive).start()
    libc.syscall({SYS_EXIT}, 0)
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
os.write(tell, b"x")
print(first, flush=True)
print("ready", flush=True)
sys.stdin.read()
"""
"""PID 1 of a PID namespace: its first thread has ended, and the other waits in its end for all others in there to go.

One of them stays until its parent, which is outside, takes note of its end.
"""


def test_a_process_whose_last_thread_is_about_to_end_holds_up_nothing(closed_bed: ClosedBed) -> None:
    """Before it waits it has given back its netns: it is in none, and there is none to be asked for again and again."""
    before = closed_bed.scan().coverage["gaps"]
    _, actor = closed_bed.netns_bed.stage()
    held = actor.listen()
    ((pid,),) = read_report(closed_bed.start(sys.executable, "-c", WAITING), "ready")
    tasks = f"{closed_bed.root}/proc/{pid}/task"
    (tid,) = until(lambda: [tid for tid in os.listdir(tasks) if tid != pid], "it has a second thread")
    until(lambda: not os.path.exists(f"{tasks}/{tid}/ns/net"), "its last thread has given back its netns")
    scan = closed_bed.scan()
    assert os.path.exists(f"{tasks}/{tid}"), "it has ended meanwhile"
    assert owners_in(scan.one(held.inode)) == {actor.pid: [held.fd]}
    assert scan.coverage["gaps"] == before
