"""`python -m tests.bench.one_process PID`: the least that `nsagent inspect PID` can take, which names nobody else.

All that it reads of the process itself, each table of its netns once, and its JSON. In the states of the benchmark
that is where its sockets are. Nobody is looked for who holds them too, or their other ends: that takes the fds of all
processes.
"""

import os
import sys
import threading
from contextlib import suppress
from functools import partial

from nsagent.errors import DumpUnavailable
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns import Entering
from nsagent.kernel.sock_diag import SockDiag
from nsagent.kernel.threads import run_in_threads
from nsagent.model.net import Protocol
from nsagent.report.inspection import render_inspections_json
from tests.inspect.inspecting import inspect


def main() -> None:
    """Tell of the process, and fail if its netns has no rows."""
    pid = int(sys.argv[1])
    sys.stdout.writelines(render_inspections_json([inspect(pid)], host="bench"))
    (rows,) = run_in_threads([partial(count_rows, f"/proc/{pid}/ns/net")], threading.Event())
    if not rows:
        raise SystemExit(f"no rows in the netns of {pid}")


def count_rows(path: str) -> int:
    """The rows of a netns, each table dumped once; moves the calling thread (kernel.netns)."""
    entering, buffer, rows = Entering("/proc"), make_buffer(), 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        entering.enter(fd)
    finally:
        os.close(fd)
    with SockDiag() as diag:
        for protocol in Protocol:
            with suppress(DumpUnavailable):
                rows += diag.dump(protocol, buffer).rows
    return rows


if __name__ == "__main__":
    main()
