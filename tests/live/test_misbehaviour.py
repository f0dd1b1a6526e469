"""Runtimes that misbehave in every way beside a real scan: names may be missing, sockets may not, and nobody waits."""

import contextlib
import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.live.nsagent_cli import Ran, Scan, owners_in, run_in_time, run_nsagent
from tests.runtimes.cri_server import answering, container, frame, lists, sandbox
from tests.runtimes.engine_server import HEAD, Behaviour, answer, read_request, rows, saying, serve
from tests.runtimes.misbehaviours import MISBEHAVIOURS, dripping

BUDGET_SECONDS = 2.0
# Floods, and what decodes them, share two cores with all that runs beside this.
NOISE_SECONDS = 2.0
ID = "a" * 64
OTHER_ID = "b" * 64

Names = Mapping[str, str | None]


class Engine(NamedTuple):
    """Where to ask, and the names that it tells of ids; without any it is a gap.

    `may_be_slow`: it may be a gap all the same.
    """

    kind: str
    url: str
    names: Names
    may_be_slow: bool = False


class Listener(NamedTuple):
    """What a scan has to find: a socket of this process."""

    inode: int
    fd: int


@pytest.fixture
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield Listener(os.fstat(made.fileno()).st_ino, made.fileno())


def scan_alone() -> Ran:
    """A scan that asks nobody."""
    return run_nsagent("scan", "-o", "json", "--runtime", "none")


def scan_beside(listener: Listener, *engines: Engine, noise_seconds: float = NOISE_SECONDS) -> None:
    """A scan that asks these has the listener and its owner in time, and of each engine its names or one gap."""
    ran = run_in_time(lambda: run_beside(listener, engines), BUDGET_SECONDS + noise_seconds, usual=scan_alone)
    scan = Scan(json.loads(ran.stdout))
    gaps = list_gaps(scan)
    mute = [engine for engine in engines if not engine.names]
    if gaps and not mute:
        mute = [engine for engine in engines if engine.may_be_slow]
    # Those that fail for the same reason share a gap, which spells out the first few.
    spelled = [subject for gap in gaps for subject in gap["subject"].partition(" and ")[0].split(", ")]
    assert set(spelled) <= {f"{engine.kind} ({engine.url})" for engine in mute}
    assert sum(gap["count"] for gap in gaps) == len(mute)
    assert len([line for line in ran.complaints if "names from" in line]) <= len(mute)
    names = {one["id"]: one["name"] for one in scan.containers}
    told = {id_: name for engine in reversed(engines) if engine not in mute for id_, name in engine.names.items()}
    assert {id_: names.get(id_, "not there") for id_ in told} == told


def run_beside(listener: Listener, engines: Sequence[Engine]) -> Ran:
    """A scan that asks these; one that took for ever if the machine kept one from answering that has names to tell."""
    option = ",".join(f"{engine.kind}={engine.url}" for engine in engines)
    ran = run_nsagent("scan", "-o", "json", "--runtime", option)
    assert ran.status == 0, ran.stderr
    scan = Scan(json.loads(ran.stdout))
    assert owners_in(scan.one(listener.inode)) == {os.getpid(): [listener.fd]}
    slow = sum(gap["count"] for gap in list_gaps(scan) if "no answer within" in gap["reason"])
    may_be_slow = sum(not engine.names or engine.may_be_slow for engine in engines)
    return ran._replace(seconds=inf) if slow > may_be_slow else ran


def list_gaps(scan: Scan) -> list[Mapping[str, Any]]:
    """Those of engines: names are missing of somebody's netns, too."""
    return [gap for gap in scan.coverage["gaps"] if gap["stage"] == "names" and gap["kind"] == "source"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Starts an engine that treats each connection like that."""
    numbers = itertools.count()
    with contextlib.ExitStack() as running:

        def start(behave: Behaviour, names: Names | None = None, kind: str = "docker") -> Engine:
            url = running.enter_context(serve(tmp_path, behave, f"{next(numbers)}.sock"))
            return Engine(kind, url, names or {})

        yield start


def taking_turns(*answers: bytes) -> Behaviour:
    """One answer after the other."""
    turns = itertools.cycle(answers)
    return lambda connection: saying(next(turns))(connection)


FLOODS = [name for name in MISBEHAVIOURS if "2 GB" in name or "without end" in name]


def test_every_way_in_which_an_engine_does_not_answer(engine: Callable[..., Engine], listener: Listener) -> None:
    ways = [behave for name, behave in MISBEHAVIOURS.items() if name not in FLOODS]
    assert len(ways) > 20
    scan_beside(listener, *map(engine, ways))


@pytest.mark.parametrize("way", FLOODS)
def test_engines_that_never_stop_talking(engine: Callable[..., Engine], listener: Listener, way: str) -> None:
    scan_beside(listener, engine(MISBEHAVIOURS[way]))


def test_a_byte_a_second(engine: Callable[..., Engine], listener: Listener) -> None:
    def slowly(connection: socket.socket) -> None:
        read_request(connection)
        for byte in b"HTTP/1.1 200 OK":
            connection.sendall(bytes([byte]))
            time.sleep(1)

    scan_beside(listener, engine(slowly), engine(dripping(b"\x00" * 1000), kind="cri"))


def test_every_place_at_which_there_is_no_engine(tmp_path: Path, listener: Listener) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(rows({"Id": ID, "Names": ["/web"]}))
    (tmp_path / "dangling").symlink_to("nowhere")
    with contextlib.ExitStack() as made:
        for name, backlog in (("stale", None), ("full", 0), ("deaf", 8)):
            listening = made.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(str(tmp_path / name))
            if backlog is not None:
                listening.listen(backlog)
        # The queue of one is taken: connect(2) would wait.
        made.enter_context(socket.socket(socket.AF_UNIX)).connect(str(tmp_path / "full"))
        places = ["fifo", "file", "dangling", "stale", "full", "deaf", "absent", ".", "x" * 120]
        urls = [f"unix://{tmp_path}/{place}" for place in places]
        scan_beside(listener, *(Engine("docker", url, {}) for url in [*urls, "tcp://127.0.0.1:1"]))


def test_odd_answers_that_tell_names(engine: Callable[..., Engine], listener: Listener) -> None:
    """Pids that are none, names with NULs, ids twice, another's id, another content type, a rename meanwhile."""

    def one(number: int, **fields: object) -> dict[str, object]:
        return {"Id": f"{number:064x}", "Names": [f"/c{number}"], **fields}

    ids = [f"{number:064x}" for number in range(10)]
    body = json.dumps([one(6)]).encode()
    scan_beside(
        listener,
        engine(saying(rows(one(1, Pid=0), one(2, Pid=-1), one(3, Names=["/a\x00b"]))), {
            ids[1]: "c1", ids[2]: "c2", ids[3]: "a\x00b",
        }),
        engine(saying(rows(one(4), one(4, Names=["/twice"]), {"Id": ids[4][1:], "Names": ["/short"]})), {ids[4]: "c4"}),
        engine(saying(rows(one(5, Names=None), one(1, Names=["/not-mine"]))), {ids[5]: None, ids[1]: "not-mine"}),
        engine(saying(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body), {ids[6]: "c6"}),
        engine(taking_turns(rows(one(7, Names=["/old"])), rows(one(7, Names=["/new"]))), {ids[7]: "old"}),
        engine(saying(HEAD + b"Content-Length: 2147483647\r\n\r\n" + rows(one(8)).partition(b"\r\n\r\n")[2]), {
            ids[8]: "c8",
        }),
    )  # fmt: skip


@pytest.mark.parametrize(("count", "may_be_slow"), [(10_000, False), (100_000, True)])
def test_very_many_containers(engine: Callable[..., Engine], listener: Listener, count: int, may_be_slow: bool) -> None:
    """They are named as far as that is possible in the time that all engines have: to read 10^5 takes 1 s or 2.

    To write them takes as long, and all of it longer where others want the CPUs, too.
    """
    may_be_slow = may_be_slow or os.getloadavg()[0] > 2 * (os.cpu_count() or 1)
    many = saying(rows(*({"Id": f"{number:064x}", "Names": [f"/c{number}"]} for number in range(count))))
    one = engine(many, {f"{number:064x}": f"c{number}" for number in (0, count - 1)})
    scan_beside(listener, one._replace(may_be_slow=may_be_slow), noise_seconds=6.0)


CRI_MISBEHAVIOURS: dict[str, Behaviour] = {
    "another protocol": saying(answer(b"[]")),
    "silence": MISBEHAVIOURS["silence"],
    "hangs up": MISBEHAVIOURS["hangs up at once"],
    "reset": MISBEHAVIOURS["reset"],
    "NULs": lambda connection: connection.sendall(b"\0" * 100_000),
    "a frame of 16 MB": lambda connection: connection.sendall(frame(0, 0, 1, length=0xFFFFFF)),
    "no message": answering({"Version": b"\xff" * 9, "ListContainers": b"\xff" * 9, "ListPodSandbox": b"\xff" * 9}),
    "GOAWAY": lambda connection: connection.sendall(frame(4, 0, 0) + frame(7, 0, 0, bytes(8))),
}


def test_every_way_in_which_a_cri_engine_does_not_answer(engine: Callable[..., Engine], listener: Listener) -> None:
    mute = [engine(behave, kind="cri") for behave in CRI_MISBEHAVIOURS.values()]
    odd = lists(
        [container(ID, OTHER_ID, "a\x00b"), container(ID, OTHER_ID, "twice"), container("f00", OTHER_ID)],
        [sandbox(OTHER_ID)],
    )
    scan_beside(listener, *mute, engine(answering(odd), {ID: "a\x00b"}, kind="cri"))
