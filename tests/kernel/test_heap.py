"""One heap for all threads, counted by glibc itself."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from nsagent.kernel.heap import share_heap
if sys.argv[1:]:
    share_heap()
allocated = threading.Barrier(4)
def allocate():
    kept = bytes(100_000)
    allocated.wait(60)
threads = [threading.Thread(target=allocate) for _ in range(3)]
for thread in threads:
    thread.start()
allocated.wait(60)
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def count_heaps(*arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, check=True, timeout=60, text=True
    )
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="missing capability: glibc")
def test_threads_share_one_heap_once_that_is_asked_for() -> None:
    assert count_heaps() > 1
    assert count_heaps("share") == 1
