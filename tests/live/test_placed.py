"""Containers without a cgroup of their own: which process a runtime's pid may stand for.

The runtime is a stand-in that says what a test wants; the processes and their mounts are real. What a
real podman tells of such containers is in test_podman.py.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from nsagent.errors import EXIT_PARTIAL, Reason
from nsagent.kernel.boot_clock import date_start
from nsagent.kernel.formats.pid_stat import parse_pid_stat
from nsagent.runtimes.discover import discover_runtimes
from tests.live.capabilities import Capability, lack, require
from tests.live.leftovers import marked_environment
from tests.live.made_cgroups import MadeCgroups, find_hierarchies
from tests.live.nsagent_cli import Scan, run_named_scan, run_nsagent
from tests.runtimes.engine_server import rows, saying, serve
from tests.scan.collect.passes import run_pass

ID, OTHER_ID = "a1" * 32, "b2" * 32
NOBODY = 65534
# Each with a listener of its own, until their stdin ends.
_PARENT_AND_CHILD = """
import os, socket, sys
def listen():
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    return listener
first = listen()
if os.fork():
    os.wait()
else:
    first.close()
    second = listen()
    sys.stdin.read()
"""


class Lone(NamedTuple):
    """A process with a listener, in no container by its cgroup, and its child with another; and its start."""

    pid: int
    ports: tuple[int, ...]
    started: float


Start = Callable[..., Lone]


@pytest.fixture
def start(token: str, tmp_path: Path) -> Iterator[Start]:
    """Starts such processes, with a file of each of the containers `ids` mounted, as podman does it."""
    require(Capability.ROOT, Capability.SETPRIV)
    with contextlib.ExitStack() as stack:

        def start_one(*ids: str, uid: int = 0) -> Lone:
            mounts = []
            for id_ in ids:
                source, target = tmp_path / "overlay-containers" / id_ / "userdata" / "hosts", tmp_path / id_
                source.parent.mkdir(parents=True)
                for file in (source, target):
                    file.touch()
                mounts.append(f"mount --bind {source} {target}")
            script = " && ".join([*mounts, 'exec "$@"'])
            become = ["setpriv", f"--reuid={uid}", "--clear-groups", "--"] if uid else []
            # Not that of the environment, which may be in a directory that is closed to the user.
            program = [*become, os.path.realpath(sys.executable), "-I", "-c", _PARENT_AND_CHILD]
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", script, "sh", *program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=marked_environment(token),
                text=True,
            )
            stack.enter_context(process)
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(2)]
            if uid and not all(lines):
                lack(Capability.READABLE_INTERPRETER)
            ports = tuple(map(int, lines))
            stat = parse_pid_stat(Path(f"/proc/{process.pid}/stat").read_bytes())
            return Lone(process.pid, ports, date_start(stat.start_ticks))

        yield start_one


@pytest.fixture
def cgroups() -> Iterator[MadeCgroups]:
    """Cgroups by hand; to be asked for before processes, which have to end first."""
    made = MadeCgroups()
    yield made
    made.close()


def listed(pid: int, started: float, id_: str = ID, name: str = "lone") -> dict[str, object]:
    """What podman's list says of a container that runs."""
    return {"Id": id_, "Names": [name], "Pid": pid, "StartedAt": int(started), "State": "running"}


def scan(directory: Path, *containers: dict[str, object]) -> Scan:
    """A scan that asks a podman which lists these."""
    with serve(directory, saying(rows(*containers))) as url:
        return run_named_scan("--runtime", f"podman={url}", "--state", "listen")


def owners_of(found: Scan, *ports: int) -> list[str | None]:
    """In which containers those are who hold these ports."""
    rows_here = found.of_netns(os.stat("/proc/self/ns/net").st_ino)
    by_port = {row["local"]["port"]: row["container_id"] for row in rows_here}
    return [by_port[port] for port in ports]


def untold(found: Scan, code: str = "unproven") -> list[tuple[str, list[str]]]:
    """Of which containers the processes are not known: the stage, for an answer lacks them, and the names."""
    return [(gap["stage"], gap["ids"]) for gap in found.coverage["gaps"] if gap["code"] == code]


def test_the_process_of_a_container_and_what_it_has_started_are_in_it(start: Start, tmp_path: Path) -> None:
    lone = start(ID)
    found = scan(tmp_path, listed(lone.pid, lone.started))
    assert owners_of(found, *lone.ports) == [ID, ID]
    assert untold(found) == []


@pytest.mark.parametrize(
    "tell",
    [
        pytest.param(lambda lone: listed(os.getpid(), time.time()), id="the pid of another process"),
        pytest.param(lambda lone: listed(lone.pid, lone.started, OTHER_ID), id="without a file of the container"),
        pytest.param(lambda lone: listed(lone.pid, lone.started - 60), id="started after the container"),
    ],
)
def test_a_pid_that_is_not_proven_owns_nothing_and_that_is_told(
    start: Start, tmp_path: Path, tell: Callable[[Lone], dict[str, object]]
) -> None:
    """Whose pid the runtime tells has ended since, or was never here: it is stale, or another host's."""
    lone = start(ID)
    found = scan(tmp_path, tell(lone))
    assert owners_of(found, *lone.ports) == [None, None]
    assert untold(found) == [("processes", ["lone"])]


def test_a_container_that_has_ended_meanwhile_is_no_complaint(start: Start, tmp_path: Path) -> None:
    lone = start(ID)
    ended = subprocess.Popen(["true"])
    ended.wait()
    found = scan(tmp_path, listed(ended.pid, time.time(), OTHER_ID), listed(lone.pid, lone.started))
    assert (owners_of(found, *lone.ports), untold(found)) == ([ID, ID], [])


def test_of_two_containers_in_each_other_a_process_is_in_the_inner_one(start: Start, tmp_path: Path) -> None:
    """An inner mount namespace begins with the mounts of the outer one."""
    lone = start(ID, OTHER_ID)
    (child,) = map(int, Path(f"/proc/{lone.pid}/task/{lone.pid}/children").read_text().split())
    inner = listed(child, time.time(), OTHER_ID, "inner")
    found = scan(tmp_path, inner, listed(lone.pid, lone.started))
    assert (owners_of(found, *lone.ports), untold(found)) == ([ID, OTHER_ID], [])


def test_a_user_s_cgroup_that_bears_its_id_hides_no_container(
    cgroups: MadeCgroups, start: Start, tmp_path: Path
) -> None:
    """A container without a cgroup of its own has none that could be held against that one."""
    lone, forger = start(ID), start()
    path = f"/user.slice/user-1000.slice/user@1000.service/libpod-{ID}.scope"
    cgroups.enter(forger.pid, path, find_hierarchies())
    found = scan(tmp_path, listed(lone.pid, lone.started))
    assert owners_of(found, *lone.ports, *forger.ports) == [ID, ID, None, None]
    assert untold(found) == []


def test_a_runtime_of_a_user_that_was_only_found_tells_of_that_user_s_processes_alone(
    start: Start, tmp_path: Path
) -> None:
    """A user can have it say anything."""
    lone = start(ID)
    runtime_directory = tmp_path / "root" / "run" / "podman"
    runtime_directory.mkdir(parents=True)
    with serve(runtime_directory, saying(rows(listed(lone.pid, lone.started))), "podman.sock") as url:
        path = url.removeprefix("unix://")
        Path(path).chmod(0o666)
        for uid, container_id in ((0, ID), (NOBODY, None)):
            os.chown(path, uid, uid)
            found = run_named_scan("--host-root", str(tmp_path / "root"), "--state", "listen")
            assert owners_of(found, *lone.ports) == [container_id] * 2


def test_a_runtime_is_that_of_who_listens_whatever_its_path_leads_to_when_that_is_looked_at(
    start: Start, tmp_path: Path
) -> None:
    """In a directory of a user's a link may lead to a socket of root's first, and then to another one."""
    lone = start(ID)
    path = tmp_path / "root" / "run" / "podman" / "podman.sock"
    path.parent.mkdir(parents=True)
    say = saying(rows(listed(lone.pid, lone.started)))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        os.seteuid(NOBODY)
        try:
            listener.listen()
        finally:
            os.seteuid(0)

        def answer_each() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        say(connection)

        thread = threading.Thread(target=answer_each)
        thread.start()
        try:
            found = run_named_scan("--host-root", str(tmp_path / "root"), "--state", "listen")
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert owners_of(found, *lone.ports) == [None, None]
    assert untold(found) == [("processes", ["lone"])]


def test_of_a_container_of_the_system_s_runtime_no_user_s_tells_another_process(start: Start, tmp_path: Path) -> None:
    """Ids are no secret, and a user can mount a file below a directory called by one."""
    lone = start(ID, uid=NOBODY)
    runtimes = tmp_path / "root" / "run"
    (runtimes / "podman").mkdir(parents=True)
    users, systems = listed(lone.pid, lone.started), listed(os.getpid(), time.time())
    with serve(runtimes, saying(rows(users)), "docker.sock") as url:
        Path(url.removeprefix("unix://")).chmod(0o666)
        os.chown(url.removeprefix("unix://"), NOBODY, NOBODY)
        alone = run_named_scan("--host-root", str(tmp_path / "root"), "--state", "listen")
        with serve(runtimes / "podman", saying(rows(systems)), "podman.sock"):
            beside = run_named_scan("--host-root", str(tmp_path / "root"), "--state", "listen")
    assert owners_of(alone, *lone.ports) == [ID, ID]
    assert (owners_of(beside, *lone.ports), untold(beside)) == ([None, None], [("processes", ["lone"])])


@pytest.mark.parametrize(("told", "placed"), [(ID, [(ID, True), (ID, False)]), (OTHER_ID, [])])
def test_a_pass_has_among_its_facts_who_was_placed_and_who_could_not_be(
    start: Start, tmp_path: Path, told: str, placed: list[tuple[str, bool]]
) -> None:
    lone = start(ID)
    with serve(tmp_path, saying(rows(listed(lone.pid, lone.started, told)))) as url:
        runtimes = discover_runtimes(f"podman={url}", {}, "/", clock=time.monotonic, deadline_seconds=60.0)
        with contextlib.closing(runtimes):
            facts = run_pass(runtimes=runtimes)
    found = [(one.container_id, one.pid == lone.pid) for one in facts.placed]
    assert sorted(found, reverse=True) == placed  # By pid, which begins anew beyond pid_max.
    assert any(gap.reason is Reason.UNPROVEN for gap in facts.gaps) == (not placed)


def test_a_container_that_is_asked_for_and_of_which_no_process_is_seen_is_told(tmp_path: Path) -> None:
    """Docker's list tells no pid: without a cgroup there is nothing to go by."""
    with serve(tmp_path, saying(rows({"Id": ID, "Names": ["/web"], "State": "running"}))) as url:
        found = run_named_scan("-c", "web", "--runtime", f"docker={url}")
    assert found.sockets == []
    assert ("processes", ["web"]) in untold(found, "unseen")


def test_a_runtime_of_whose_containers_no_process_is_seen_is_told(tmp_path: Path) -> None:
    """They run elsewhere: outside of this PID namespace, or on another host."""
    with serve(tmp_path, saying(rows({"Id": ID, "Names": ["/web"], "State": "running"}))) as url:
        found = run_named_scan("--runtime", f"docker={url}")
        strict = run_nsagent("scan", "--strict", "--runtime", f"docker={url}")
    assert untold(found, "unseen") == [("processes", [f"docker ({url})"])]
    assert (found.coverage["complete"], strict.status) == (False, EXIT_PARTIAL)
