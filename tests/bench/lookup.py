"""`python -m tests.bench.lookup REQUEST`: what it takes to be told who holds an end, on a state, as JSON.

To be started by sandbox.py. REQUEST is a JSON object: `state`, and `runs`, how often each command runs. What is
compared takes turns (A B A B).
"""

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from pathlib import Path
from statistics import quantiles
from typing import Any, Final
from urllib.parse import urlencode

from nsagent.lookup.resolver import Limits, Resolver
from nsagent.lookup.sight import HostLooks
from tests.bench.agent_run import SOCKET, RunningAgent
from tests.bench.host import ENVIRONMENT, WORK, Host, end_with_starter, isolate
from tests.bench.measure import measure, median
from tests.bench.states import STATES
from tests.bench.tools import NSAGENT

REQUESTS: Final = 1000
HITS: Final = 200_000
LOAD_SECONDS: Final = 20.0
LOOKUPS_PER_SECOND: Final = 10_000
MISSES_PER_SECOND: Final = 100
SCANNED: Final = f"{WORK}/scanned"
_PLACE: Final = ("--engine", "sock_diag", "--runtime", "none")

Ends = tuple[tuple[str, int], tuple[str, int]]


class UnixConnection(HTTPConnection):
    """To the agent's socket, open as long as nobody closes it."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(SOCKET))


def main() -> None:
    """Do what the request says."""
    request = json.loads(sys.argv[1])
    end_with_starter()
    isolate()
    host = Host(STATES[request["state"]])
    measure([NSAGENT, "scan", "-o", "json", *_PLACE], stdout=SCANNED, stderr=os.devnull, environment=ENVIRONMENT)
    rows = json.loads(Path(SCANNED).read_bytes())["sockets"]
    connections = list_connections(rows)
    pid = next(owner["pid"] for row in rows for owner in row["owners"] if row["state"] == "established")
    listener = next(row["local"] for row in rows if row["state"] == "listen" and row["protocol"] == "tcp")
    figures = {
        "commands": measure_commands(request["runs"], host, write(*end(listener)), connections[0], pid),
        "asked": measure_asked(write(*end(listener)), connections),
        "resolver": measure_resolver(connections),
    }
    print(json.dumps(figures))


def end(told: Mapping[str, Any]) -> tuple[str, int]:
    return ("127.0.0.1" if told["address"] in ("0.0.0.0", "::") else told["address"]), told["port"]


def write(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def list_connections(rows: list[Mapping[str, Any]]) -> list[Ends]:
    """The ends of each connection of TCP that somebody holds."""
    return [
        (end(row["local"]), end(row["remote"]))
        for row in rows
        if row["state"] == "established" and row["protocol"] == "tcp" and row["owners"]
    ]


def measure_commands(runs: int, host: Host, listener: str, connection: Ends, pid: int) -> dict[str, float]:
    """CPU seconds: of a scan, of `who` of a listener, and of both ends of a connection; of `inspect`, and its least."""
    ends = [write(*each) for each in connection]
    commands = {
        "scan": [NSAGENT, "scan", "-o", "json", *_PLACE],
        "listener": [NSAGENT, "who", "-o", "json", *_PLACE, listener],
        "connection": [NSAGENT, "who", "-o", "json", *_PLACE, *ends],
        "inspect": [NSAGENT, "inspect", "-o", "json", *_PLACE, str(pid)],
        "one_process": [sys.executable, "-m", "tests.bench.one_process", str(pid)],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        host.renew()
        for name, command in commands.items():
            run = measure(command, stdout=os.devnull, stderr=os.devnull, environment=ENVIRONMENT)
            if run.status:
                raise RuntimeError(f"{' '.join(command)}: exit {run.status}")
            taken[name].append(run.cpu_seconds)
    return {name: median(seconds) for name, seconds in taken.items()}


def measure_asked(listener: str, connections: list[Ends]) -> dict[str, float]:
    """Milliseconds of a request at the agent's socket, on one connection: the median, and what 1 % take more than."""
    paths = [f"/v1/who?{urlencode([('endpoint', listener)])}"]
    paths += [f"/v1/who?{urlencode([('endpoint', write(*each)) for each in ends])}" for ends in connections[:99]]
    with RunningAgent({"interval": "1h"}) as agent:
        agent.await_pass()
        connection = UnixConnection("localhost")
        taken = []
        for number in range(REQUESTS):
            began = time.perf_counter()
            connection.request("GET", paths[number % len(paths)])
            answer = connection.getresponse()
            answer.read()
            taken.append((time.perf_counter() - began) * 1e3)
            if answer.status != 200:
                raise RuntimeError(f"{paths[number % len(paths)]}: {answer.status}")
        connection.close()
    # The first one has the pass indexed, once for all.
    return {"median": median(taken[1:]), "p99": round(quantiles(taken[1:], n=100)[98], 3), "first": round(taken[0], 3)}


def measure_resolver(connections: list[Ends]) -> dict[str, float]:
    """What a hit takes, in times of what a dict takes with the same keys; and the share of a core under load."""
    unwaiting = Limits(patience_seconds=0)
    with Resolver(HostLooks(runtime="none"), limits=unwaiting) as resolver:
        while resolver.resolve("tcp", *connections[0]).pending:
            time.sleep(0.01)
        keys = [("tcp", *ends) for ends in connections]
        for key in keys:
            resolver.resolve(*key)
        answers = dict.fromkeys(keys)
        resolve = resolver.resolve
        hit = min(time_each(lambda: [resolve(*key) for key in keys], len(keys)) for _ in range(5))
        looked_up = min(time_each(lambda: [answers[key] for key in keys], len(keys)) for _ in range(5))
        began, looked = time.process_time(), resolver.looked
        ask_for_a_while(resolver, keys)
        share = (time.process_time() - began) / LOAD_SECONDS
        return {
            "hit_us": round(hit * 1e6, 3),
            "dict_us": round(looked_up * 1e6, 3),
            "share_of_cpu": round(share, 4),
            "looks": resolver.looked - looked,
        }


def time_each(ask_all: Callable[[], object], count: int) -> float:
    """The CPU seconds of one of as many as it asks for, asked often."""
    turns = max(HITS // count, 1)
    began = time.process_time()
    for _ in range(turns):
        ask_all()
    return (time.process_time() - began) / (turns * count)


def ask_for_a_while(resolver: Resolver, keys: list[tuple[str, tuple[str, int], tuple[str, int]]]) -> None:
    """So many lookups a second, of which so many are of connections that are not known; nobody waits for these."""
    began = time.monotonic()
    for slice_ in range(int(LOAD_SECONDS * MISSES_PER_SECOND)):
        pause = began + slice_ / MISSES_PER_SECOND - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        first = slice_ * LOOKUPS_PER_SECOND // MISSES_PER_SECOND
        for number in range(first + 1, first + LOOKUPS_PER_SECOND // MISSES_PER_SECOND):
            resolver.resolve(*keys[number % len(keys)])
        resolver.resolve("tcp", ("127.0.0.1", 1 + slice_), ("127.0.0.1", 1))


if __name__ == "__main__":
    main()
