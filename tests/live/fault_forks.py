"""`fault_forks.py CAPTURE GATE`: forks a scan for each line on stdin, so that nothing is imported while calls fail.

Each child is said by its PID, and waits for a byte on the fd GATE before it scans; what it prints goes to the
two files that the line names. When it has ended its status is said, 128 and its number for a signal. A first
answer from CAPTURE loads what is loaded late.
"""

import os
import sys
from contextlib import suppress

from nsagent.cli.app import run
from nsagent.kernel import links, pidfd  # noqa: F401 - what a scan may import late.
from nsagent.kernel.libc import call_libc
from nsagent.report import json, render  # noqa: F401
from nsagent.runtimes import discover  # noqa: F401
from nsagent.scan import attribute, collect, memory, take  # noqa: F401

SCAN = ("scan", "--runtime", "none", "-o", "json")


def main() -> None:
    with open(os.devnull, "w", encoding="utf-8") as sys.stdout:
        run(["scan", "-o", "json", "--from", sys.argv[1]])  # Whatever is imported on the way is there from now on.
    sys.stdout = sys.__stdout__
    call_libc("getpid")  # Loads ctypes.
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            scan(*line.rstrip("\n").split("\t"))
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        print(code if code >= 0 else 128 - code, flush=True)


def scan(out: str, err: str) -> None:
    listener = os.dup(1)
    for place, number in ((out, 1), (err, 2)):
        os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.write(listener, f"{os.getpid()}\n".encode())
    opened = b""
    while not opened:
        with suppress(OSError):  # That one may be made to fail, too.
            opened = os.read(int(sys.argv[2]), 1)
    status = run(SCAN)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        status = status or 1
    os._exit(status)


if __name__ == "__main__":
    main()
