"""Events of real processes and sockets, as `nsagent watch` prints them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.agent_bed import AgentBed
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until
from tests.live.docker_bed import DockerBed
from tests.live.made_cgroups import MadeCgroups, find_hierarchies
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import NSAGENT, clean_environment, run_nsagent
from tests.live.watching import Event, Watch, is_exit, is_of_port

pytestmark = pytest.mark.timeout(180)

SHELL = "read line; sh -c 'exit 3'; kill -9 $$"


def list_pids(event: Event) -> list[int]:
    """Who holds the socket of an event."""
    return [holder["pid"] for holder in event["socket"]["holders"]]


def is_at(socket: Event | None, netns: MadeNetns, port: int) -> bool:
    """Whether it is one of this netns, with this local port."""
    return socket is not None and (socket["netns"], socket["local"]["port"]) == (netns.inode, port)


def make_report(view: str, netns: MadeNetns, path: Path) -> dict[str, Any]:
    """One of a view, of one netns, that goes on in a file."""
    output = {"type": "file", "path": str(path), "max_size": "1MiB"}
    select = {"netns": netns.name}
    return {"name": view, "every": "1s", "view": view, "select": select, "format": "jsonl", "outputs": [output]}


@pytest.fixture
def shell() -> Iterator[subprocess.Popen[bytes]]:
    """One that waits for a line, has a child that ends with 3, and is killed."""
    with subprocess.Popen(["sh", "-c", SHELL], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_process_and_its_children_are_told_of_from_birth_to_end(shell: subprocess.Popen[bytes]) -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    with Watch("--pid", str(shell.pid), "--follow", "--processes") as watch:
        shell.communicate(b"go on\n")
        ended = watch.wait_for(is_exit(shell.pid), "the end of the shell")
        fork = watch.events[0]
        child = fork["pid"]
        assert (fork["event"], fork["parent"], fork["comm"], fork["identity"]) == ("fork", shell.pid, "sh", "parent")
        assert [name for name, _ in watch.of_pid(child)] == ["fork", "exec", "exit"]
        assert [each["status"] for each in watch.events if each["event"] == "exit"] == [
            {"code": 3, "signal": 0, "core_dumped": False},
            {"code": 0, "signal": 9, "core_dumped": False},
        ]
        assert (ended["netns"], ended["engine"], watch.head["processes"]) == (
            os.stat("/proc/self/ns/net").st_ino, "connector", {"engine": "connector", "reason": None},
        )  # fmt: skip
        assert watch.process.wait(60) == 0, "all that is followed has ended"


def test_without_follow_no_child_is_told_of_but_its_birth(shell: subprocess.Popen[bytes]) -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    with Watch("--pid", str(shell.pid)) as watch:
        shell.communicate(b"go on\n")
        watch.wait_for(is_exit(shell.pid), "the end of the shell")
        assert [event["event"] for event in watch.events] == ["fork", "exit"]


def test_sockets_are_told_of_as_they_come_and_go_each_end_once(bed: NetnsBed) -> None:
    netns, actor = bed.stage()
    listener = actor.listen()
    with Watch("--sockets", "--netns", str(netns.inode)) as watch:
        assert watch.head["sockets"] == {"engines": ["diff", "destroy"], "every_seconds": 2.0, "reason": None}
        pair = actor.pair(listener)
        actor.drop(pair.client, pair.server)
        closed = watch.wait_for(is_of_port("close", pair.client.port), "the end of the connection")
        assert (closed["engine"], closed["socket"]["netns"]) == ("destroy", netns.inode)
        held = actor.listen()
        opened = watch.wait_for(is_of_port("open", held.port), "the listener")
        assert (opened["engine"], opened["kind"], list_pids(opened)) == ("diff", "new_listener", [actor.pid])
        actor.drop(listener)
        gone = watch.wait_for(lambda event: event["kind"] == "listener_gone", "the end of the listener")
        assert (gone["engine"], gone["identity"], list_pids(gone)) == ("destroy", "snapshot", [actor.pid])
        for _ in range(2):
            later = actor.listen()
            watch.wait_for(is_of_port("open", later.port), "a later pass")
        ends = [each for each in watch.events if each["event"] == "close" and each["kind"] == "listener_gone"]
        assert ends == [gone]


def test_a_socket_that_is_left_to_a_child_has_changed_hands(bed: NetnsBed) -> None:
    netns, actor = bed.stage()
    held = actor.listen()
    with Watch("--sockets", "--netns", str(netns.inode), "--interval", "200ms") as watch:
        child = actor.fork()
        actor.drop(held)
        is_change = is_of_port("change", held.port)
        watch.wait_for(lambda event: is_change(event) and list_pids(event) == [child], "the change")


def test_a_connection_whose_peer_closes_its_half_is_in_another_state_and_held_by_the_same(
    agent: AgentBed, bed: NetnsBed, tmp_path: Path
) -> None:
    """By a watch, by an agent's reports of changes and of events, and by its history."""
    netns, server = bed.stage()
    client = bed.actor(netns)
    pair = server.pair(server.listen(), client)
    files = {view: tmp_path / f"{view}.jsonl" for view in ("changes", "events")}
    reports = [make_report(view, netns, path) for view, path in files.items()]
    agent.write_config(*reports, history={"path": str(tmp_path / "history.db")})
    agent.start()
    agent.await_report("changes", lambda one: one["outputs"][0]["written"], "what later passes are compared with")

    def list_told(lines: bytes) -> list[Event]:
        changed = (each for each in map(json.loads, lines.splitlines()) if each.get("kind") == "state_changed")
        return [each for each in changed if is_at(each["socket"], netns, pair.server.port)]

    def ask_history(*arguments: str) -> bytes:
        return run_nsagent("history", "--config", str(agent.config), "-o", "jsonl", *arguments).stdout

    with Watch("--sockets", "--netns", str(netns.inode), "--interval", "300ms") as watch:
        client.shutdown(pair.client)
        event = watch.wait_for(is_of_port("change", pair.server.port), "the change of the server's end")
        until(lambda: all(list_told(path.read_bytes()) for path in files.values()), "the reports that tell it")
    told = [event, *(one for path in files.values() for one in list_told(path.read_bytes())), *list_told(ask_history())]
    assert len(told) == 4
    for one in told:
        assert (one["kind"], one["state_before"], one["socket"]["state"]) == (
            "state_changed",
            "established",
            "close_wait",
        )
        assert (list_pids(one), one["before"], one["socket"]["netns"]) == ([server.pid], [], netns.inode)
    open_now = (each["socket"] for each in map(json.loads, ask_history("--at", "0s").splitlines()[1:]))
    states = [each["state"] for each in open_now if is_at(each, netns, pair.server.port)]
    assert sorted(states) == ["close_wait", "listen"]


@pytest.mark.parametrize("visited", [False, True], ids=["alone", "beside somebody who left lately"])
def test_what_no_pass_saw_is_whose_who_lives_alone_there_unless_another_did_in_the_last_minute(
    bed: NetnsBed, visited: bool
) -> None:
    require(Capability.PROCESS_EVENTS, Capability.NSENTER)
    cgroups, web = MadeCgroups(), "ab" * 32
    try:
        netns, actor = bed.stage()
        cgroups.enter(actor.pid, f"/docker/{web}", find_hierarchies())
        # The pass at its beginning is the only one, and the kernel tells all the rest.
        with Watch("--interval", "1h", "--netns", str(netns.inode)) as watch:
            if visited:
                visit(watch, netns.path)
            pair = actor.pair(actor.listen())
            actor.drop(pair.client, pair.server)
            closed = [watch.wait_for(is_of_port("close", one.port), "an end") for one in (pair.client, pair.server)]
            told = ("none", None) if visited else ("netns", web)
            assert [(one["identity"], one["container_id"]) for one in closed] == [told] * 2
            assert {one["engine"] for one in closed} == {"destroy"}
    finally:
        bed.close()
        cgroups.close()


def visit(watch: Watch, path: str) -> None:
    """Live in a netns, until that is told, and end, until that is."""
    enter = ["nsenter", f"--net={path}", "--", "sh", "-c", "read line"]
    with subprocess.Popen(enter, stdin=subprocess.PIPE) as visitor:
        watch.wait_for(lambda event: event["event"] == "exec" and event["pid"] == visitor.pid, "who came")
        visitor.communicate(b"go\n")
    watch.wait_for(is_exit(visitor.pid), "who left")


def test_a_container_sees_its_own_alone(docker_bed: DockerBed) -> None:
    require(Capability.PROCESS_EVENTS)
    web = docker_bed.run("watched", "bridge", ["sleep", "600"])
    other = docker_bed.run("unwatched", "bridge", ["sleep", "600"])
    with Watch(*docker_bed.runtime_option, "-c", "watched", "--interval", "500ms") as watch:
        for made in (other, web):
            docker_bed.execute(made, ["sh", "-c", "sh -c 'exit 7'; exec httpd -f -p 8099"])
        opened = watch.wait_for(is_of_port("open", 8099), "the listener")
        watch.wait_for(lambda event: bool(event.get("status")) and event["status"]["code"] == 7, "the end with 7")
        assert {each["container_id"] for each in watch.events} == {web.id}
        assert {each["container_name"] for each in watch.events} == {"watched"}
        assert opened["socket"]["netns"] == web.netns_inode
        assert {"fork", "exec", "exit"} <= {each["event"] for each in watch.events}
    docker_bed.remove_all()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_it_quietly(number: int) -> None:
    require(Capability.ROOT)
    with Watch("--sockets") as watch:
        assert (watch.end(number), "interrupted" in watch.err) == (130, False)


def test_a_signal_ends_it_though_nobody_reads() -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    with Watch("--processes") as watch:
        for _ in range(200):
            subprocess.run(["true"], check=True)
        assert watch.end() == 130


def test_a_reader_that_goes_away_ends_it_even_where_nothing_happens() -> None:
    require(Capability.ROOT)
    with Watch("--sockets", "--port", "1") as watch:
        assert watch.process.stdout is not None
        watch.process.stdout.close()
        assert watch.process.wait(60) == 0
        watch.process.stdout = None


def test_a_slow_reader_loses_events_with_a_count_and_costs_no_memory() -> None:
    """Without CAP_NET_ADMIN the kernel keeps 208 KiB, some hundred events: the loss is soon there."""
    require(Capability.ROOT, Capability.PROCESS_EVENTS, Capability.SETPRIV)
    without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-all", "--", *NSAGENT]
    program = "import os\nfor _ in range(6000):\n    pid = os.fork() or os._exit(0)\n    os.waitpid(pid, 0)"
    with Watch("--processes", command=without) as watch:
        subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)
        with open(f"/proc/{watch.process.pid}/statm", encoding="ascii") as statm:
            pages = int(statm.read().split()[1])
        lost = watch.wait_for(lambda event: event["type"] == "lost", "the loss")
        assert lost["of"] == "process"
        assert pages * os.sysconf("SC_PAGE_SIZE") < 200 << 20


def test_in_a_pid_namespace_of_its_own_it_says_so_once_and_polls() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    in_part = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--", *NSAGENT]
    with Watch("--processes", command=in_part) as watch:
        reason = watch.head["processes"]["reason"]
        assert (watch.head["processes"]["engine"], "PID namespace" in reason) == ("poll", True)
        watch.end(signal.SIGKILL)  # unshare passes no other one on.
        assert watch.err.count(reason) == 1


def test_in_a_table_every_line_is_written_at_once_until_the_count_is_reached() -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    with subprocess.Popen(
        [*NSAGENT, "watch", "--processes", "--count", "3", "--runtime", "none", 'comm = "true"'],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment(), text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().startswith("TIME ")
        until(lambda: subprocess.run(["true"], check=True) and process.poll() is not None, "three events were told")
        lines = process.stdout.read().splitlines()
    assert (process.returncode, len(lines)) == (0, 3)
    assert {line.split()[3] for line in lines} == {"true"}


def test_a_duration_ends_it() -> None:
    require(Capability.ROOT)
    ran = run_nsagent("watch", "--duration", "200ms", "--sockets", "--port", "1", "--runtime", "none")
    assert (ran.status, len(ran.stdout.splitlines())) == (0, 1)
