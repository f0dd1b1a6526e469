"""The agent as it is run: reports on time, configs that change, and bad days."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.live.agent_bed import AgentBed, read_lines, report_of
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until
from tests.live.made_cgroups import MadeCgroups, find_hierarchies
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import NSAGENT, run_nsagent

EXAMPLE = Path(__file__).parents[2] / "manifests" / "config.yaml"

FAR = "1h"
"""A period in which a report is not due within a test, but for the moment when it strikes."""


def report(name: str, path: Path | None = None, /, **settings: Any) -> dict[str, Any]:
    """A report that is due every second, unless told otherwise."""
    outputs = [{"type": "stdout"}] if path is None else [{"type": "file", "path": str(path)}]
    return {"name": name, "every": "1s", "outputs": outputs, **settings}


def test_reports_that_are_due_together_are_made_of_one_pass(agent: AgentBed, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.json" for number in range(20)]
    agent.write_config(*(report(f"r{number}", path, format="json") for number, path in enumerate(paths)))
    agent.start()
    agent.await_report("r19", lambda one: one["outputs"][0]["written"] >= 2, "two of each")
    status, out = agent.end()
    assert (status, out) == (0, b"")
    taken = {json.loads(path.read_text())["taken_at"] for path in paths}
    assert len(taken) <= 2  # The last one may have been ended in the middle.


def test_a_report_shows_what_scan_shows(agent: AgentBed, bed: NetnsBed, tmp_path: Path) -> None:
    netns, actor = bed.stage()
    held = actor.listen()
    agent.write_config(report("r", tmp_path / "r.json", format="json", select={"netns": netns.name}))
    agent.start()
    agent.await_report("r", lambda one: one["outputs"][0]["written"], "a report")
    (row,) = json.loads((tmp_path / "r.json").read_text())["sockets"]
    ran = run_nsagent("scan", "--runtime", "none", "--netns", str(netns.name), "-o", "json")
    assert row == json.loads(ran.stdout)["sockets"][0]
    assert (row["inode"], [owner["pid"] for owner in row["owners"]]) == (held.inode, [held.pid])


def await_reports(agent: AgentBed, what: str) -> None:
    """Until a report of a pass that has begun since is written: a status is of a pass before, and one is under way."""
    written = agent.await_report("events", lambda one: True, what)["outputs"][0]["written"]
    agent.await_report("events", lambda one: one["outputs"][0]["written"] >= written + 4, what)


def test_a_report_of_events_tells_what_came_and_went_between_passes(agent: AgentBed, bed: NetnsBed) -> None:
    require(Capability.PROCESS_EVENTS)
    netns, actor = bed.stage()
    agent.write_config(report("events", view="events", select={"filter": f"netns = {netns.inode}"}))
    agent.start()
    agent.await_status(lambda status: status["events"]["engine"] == "connector", "the kernel tells")
    agent.await_report("events", lambda one: one["outputs"][0]["written"] >= 1, "the first report")
    listener = actor.listen()
    child = subprocess.Popen(["nsenter", f"--net={netns.path}", "sh", "-c", "read line; exit 3"], stdin=subprocess.PIPE)
    await_reports(agent, "a pass that sees both")
    actor.drop(listener)
    child.communicate(b"go on\n")
    await_reports(agent, "a report of their ends")
    happened = agent.tell_status()["happened"]
    _, out = agent.end()
    told = [event for event in map(json.loads, out.splitlines()) if event["type"] != "events"]
    [opened, closed] = [event for event in told if event["type"] == "socket"]
    assert [(each["event"], each["engine"]) for each in (opened, closed)] == [("open", "diff"), ("close", "destroy")]
    assert {each["socket"]["local"]["port"] for each in (opened, closed)} == {listener.port}
    [ended] = [event for event in told if event["event"] == "exit" and event["pid"] == child.pid]
    assert ended["status"] == {"code": 3, "signal": 0, "core_dumped": False}
    assert happened["processes"]["exit"] > 0


def test_it_hears_of_processes_that_live_shorter_than_from_pass_to_pass(agent: AgentBed) -> None:
    require(Capability.PROCESS_EVENTS)
    agent.write_config()
    agent.start()
    agent.await_status(lambda status: status["events"]["engine"] == "connector", "the kernel tells")
    before = agent.tell_status()["events"]["events"]
    for _ in range(10):
        subprocess.run(["true"], check=True)
    status = agent.await_status(lambda status: status["events"]["events"] >= before + 30, "three events of each")
    assert (status["passes"], status["events"]["error"]) == (1, None)
    agent.end()


@pytest.mark.parametrize(("others", "charged"), [((), True), ((2,), False)], ids=["alone", "beside another container"])
def test_what_a_container_leaves_behind_is_its_own_if_nobody_else_lived_there(
    agent: AgentBed, bed: NetnsBed, tmp_path: Path, others: tuple[int, ...], charged: bool
) -> None:
    """In the last pass nobody lives in the netns, or the other one alone. One that saw the connection knows better."""
    require(Capability.PROCESS_EVENTS)
    cgroups, hierarchies, path = MadeCgroups(), find_hierarchies(), tmp_path / "r.json"
    try:
        netns, actor = bed.stage()
        for number, each in enumerate((actor, *(bed.actor(netns) for _ in others)), 1):
            cgroups.enter(each.pid, f"/docker/{'ab' * 31}{number:02x}", hierarchies)
        agent.write_config(report("r", path, format="json", select={"netns": netns.name}))
        agent.start()
        agent.await_status(lambda status: status["events"]["engine"] == "connector", "the kernel tells")
        runs = report_of(agent.tell_status(), "r")["runs"]
        agent.await_report("r", lambda one: one["runs"] >= runs + 2, "a pass that saw the container")
        pair = actor.pair(actor.listen())
        actor.drop(pair.client)
        actor.drop(pair.server)
        bed.end(actor)
        runs = report_of(agent.tell_status(), "r")["runs"]
        agent.await_report("r", lambda one: one["runs"] >= runs + 2, "a pass that saw what is left")
        rows = [row for row in json.loads(path.read_text())["sockets"] if row["state"] == "time_wait"]
        (told,) = ((row["attribution"], row["container_id"]) for row in rows)
        assert told in (("memory", f"{'ab' * 31}01"), ("netns", f"{'ab' * 31}01") if charged else ("none", None))
        agent.end()
    finally:
        bed.close()
        cgroups.close()


def test_changes_are_told_since_the_report_before(agent: AgentBed, bed: NetnsBed, tmp_path: Path) -> None:
    netns, actor = bed.stage()
    first = actor.listen()
    settings: dict[str, Any] = {"format": "jsonl", "view": "listeners", "diff": True, "select": {"netns": netns.name}}
    output = {"type": "file", "path": str(tmp_path / "new.jsonl"), "max_size": "1MiB"}
    agent.write_config({**report("new", **settings), "outputs": [output]})
    agent.start()
    agent.await_report("new", lambda one: one["outputs"][0]["written"], "a report before")
    second = actor.listen()
    actor.drop(first)

    def list_changes() -> list[tuple[str, int]]:
        lines = [line for line in read_lines(tmp_path / "new.jsonl") if line["type"] == "change"]
        return sorted((line["kind"], line["socket"]["local"]["port"]) for line in lines)

    wanted = sorted([("listener_gone", first.port), ("new_listener", second.port)])
    until(lambda: list_changes() == wanted, "both changes, once each")
    runs = agent.tell_status()["reports"][0]["runs"]
    agent.await_report("new", lambda one: one["runs"] >= runs + 2, "two reports without a change")
    assert list_changes() == wanted


def test_sigterm_ends_it_within_two_seconds_with_the_report_at_hand_whole(agent: AgentBed, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    agent.write_config(report("r", path, format="json"), interval="1s")
    agent.start()
    agent.await_report("r", lambda one: one["outputs"][0]["written"] >= 1, "a report")
    started = time.monotonic()
    status, _ = agent.end()
    took = time.monotonic() - started
    assert status == 0
    assert took < 2.0 or os.getloadavg()[0] > os.cpu_count()  # type: ignore[operator]
    json.loads(path.read_text())
    assert not agent.socket.exists()
    assert sorted(os.listdir(tmp_path)) == ["config.yaml", "r.json", "run", "stderr"]


def test_a_config_that_an_edit_breaks_leaves_the_one_before_in_force(agent: AgentBed, tmp_path: Path) -> None:
    agent.write_config(report("r", tmp_path / "r.json", format="json"))
    agent.start()
    agent.config.with_suffix(".new").write_text("version: 1\nreports:\n  - name: r\n    evry: 1s\n")
    agent.config.with_suffix(".new").rename(agent.config)
    broken = agent.await_status(lambda status: not status["config"]["last_reload_ok"], "the edit is seen")
    assert f"{agent.config}:4:5: reports[0].evry" in broken["config"]["error"]
    assert "did you mean" in broken["config"]["error"]
    runs = report_of(broken, "r")["runs"]
    agent.await_report("r", lambda one: one["runs"] > runs, "reports go on")
    agent.write_config(report("other", tmp_path / "o.json", format="json"))
    mended = agent.await_status(lambda status: status["config"]["last_reload_ok"], "the next edit")
    assert [one["name"] for one in mended["reports"]] == ["other"]
    assert len([line for line in agent.said if "evry" in line]) == 1


def test_a_swapped_link_is_another_config(agent: AgentBed, tmp_path: Path) -> None:
    """As the kubelet does with a ConfigMap: ..data is a link to a directory, and is renamed over."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        agent.write_config(report(name, tmp_path / f"{name}.json", format="json"))
        agent.config.rename(tmp_path / name / "config.yaml")
    (tmp_path / "..data").symlink_to("one")
    agent.config.symlink_to("..data/config.yaml")
    agent.start()
    (tmp_path / "..data_tmp").symlink_to("two")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    agent.await_status(lambda status: [one["name"] for one in status["reports"]] == ["two"], "the other config")


def test_sighup_loads_the_config_and_keeps_count(agent: AgentBed, tmp_path: Path) -> None:
    agent.write_config(report("r", tmp_path / "r.json", format="json"))
    agent.start()
    before = agent.await_report("r", lambda one: one["runs"] >= 2, "two reports")
    loaded = agent.tell_status()["config"]["loaded_at"]
    agent.send(signal.SIGHUP)
    after = agent.await_status(lambda status: status["config"]["loaded_at"] != loaded, "a reload")
    assert report_of(after, "r")["runs"] >= before["runs"]
    assert after["passes"] >= 2


def test_a_report_that_always_fails_is_left_alone_and_the_others_are_on_time(
    agent: AgentBed, bed: NetnsBed, tmp_path: Path
) -> None:
    """Two containers go by what it selects: a report of one of them would be of the wrong one half of the time."""
    hierarchies = find_hierarchies()
    cgroups = MadeCgroups()
    try:
        for digit in "12":
            cgroups.enter(bed.actor(bed.named()).pid, f"/docker/{'ab' * 31}{digit * 2}", hierarchies)
        agent.write_config(
            report("bad", tmp_path / "bad.csv", format="csv", select={"container": "abab"}),
            report("well", tmp_path / "well.csv", format="csv"),
        )
        agent.start()
        bad = agent.await_report("bad", lambda one: one["quarantined"], "it is left alone")
        assert "is ambiguous" in bad["error"]
        runs = report_of(agent.tell_status(), "well")["runs"]
        status = agent.await_status(lambda status: report_of(status, "well")["runs"] >= runs + 3, "the other goes on")
        assert report_of(status, "bad")["runs"] == bad["runs"]
        assert report_of(status, "well")["failed"] == 0
    finally:
        bed.close()
        cgroups.close()


def test_an_output_that_cannot_be_written_fails_alone_and_is_written_when_it_is_well_again(
    agent: AgentBed, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    agent.write_config(
        report("lost", gone / "r.json", format="json"), report("well", tmp_path / "well.json", format="json")
    )
    agent.start()
    agent.await_report("lost", lambda one: one["outputs"][0]["written"], "it is written")
    gone.rename(tmp_path / "away")  # In one step: the agent may be writing a file in it at this moment.
    failed = agent.await_report("lost", lambda one: one["error"], "it fails")
    assert str(gone) in failed["error"]
    assert not failed["quarantined"]
    runs = report_of(agent.tell_status(), "well")["runs"]
    agent.await_report("well", lambda one: one["runs"] >= runs + 2, "the other goes on")
    gone.mkdir()
    agent.await_report("lost", lambda one: one["error"] is None, "it is well again")
    json.loads((gone / "r.json").read_text())


def test_a_thousand_reports_due_at_once_are_all_made(agent: AgentBed, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"format": "csv", "every": "5s", "select": {"port": "9", "state": "listen"}}
    every = [report(f"r{number}", tmp_path / f"{number}.csv", **settings) for number in range(1000)]
    agent.write_config(*every)
    agent.start()
    until(lambda: len(list(tmp_path.glob("*.csv"))) == 1000, "each is written", seconds=250)
    assert not [one for one in agent.tell_status()["reports"] if one["failed"]]
    assert agent.end()[0] == 0


def test_an_engine_that_hangs_in_each_pass_costs_names_alone(agent: AgentBed, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held, socket.socket(socket.AF_UNIX) as silent:
        inode = os.fstat(held.fileno()).st_ino
        path = str(tmp_path / "docker.sock")
        silent.bind(path)
        silent.listen(64)
        agent.write_config(report("r", tmp_path / "r.json", format="json"), runtime=f"docker=unix://{path}")
        agent.start()
        status = agent.await_status(lambda status: status["passes"] >= 3, "passes go on")
    assert status["passes_failed"] == 0
    assert status["runtimes"] == {"cgroup paths": True, f"docker (unix://{path})": False}
    rows = json.loads((tmp_path / "r.json").read_text())["sockets"]
    (row,) = (row for row in rows if row["inode"] == inode)
    assert [owner["pid"] for owner in row["owners"]] == [os.getpid()]


def test_the_service_manager_is_told(agent: AgentBed, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        agent.write_config(interval="1s")
        agent.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="3000000")
        told: list[str] = []
        while not any("sockets in" in line for line in told) or "WATCHDOG=1" not in told:
            told += manager.recv(4096).decode().splitlines()
        agent.send(signal.SIGHUP)
        while "RELOADING=1" not in told or told[-1] != "READY=1":
            told += manager.recv(4096).decode().splitlines()
        agent.end()
        while "STOPPING=1" not in told:
            told += manager.recv(4096).decode().splitlines()
    assert told[0] == "READY=1"
    assert any(line.startswith("MONOTONIC_USEC=") for line in told)


def test_it_works_as_pid_1_and_reaps_what_it_inherits(agent: AgentBed, tmp_path: Path, token: str) -> None:
    agent = AgentBed(tmp_path, token, enter=("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"))
    try:
        agent.write_config(report("r", tmp_path / "r.json", format="json"))
        agent.start()
        status = agent.tell_status()
        assert status["pid"] == 1
        (child,) = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
        # Somebody in its PID namespace whose parent ends before it does.
        orphan = "import os; os.fork() and os._exit(0); os.fork() and os._exit(0)"
        subprocess.run(["nsenter", "-t", child, "-p", sys.executable, "-c", orphan], check=True, timeout=60)
        until(lambda: not list_zombies(int(child)), "no zombie is left")
        os.kill(int(child), signal.SIGTERM)
        until(lambda: not os.path.exists(f"/proc/{child}"), "it has ended")
    finally:
        agent.close()


def list_zombies(parent: int) -> list[str]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pid for pid in children if " Z " in Path(f"/proc/{pid}/stat").read_text()]


def test_once_makes_each_report_once_and_tells_by_its_exit_status(agent: AgentBed, tmp_path: Path) -> None:
    agent.write_config(report("a", tmp_path / "a.json", format="json", every=FAR), report("b", every=FAR, format="csv"))
    ran = run_nsagent("run", "--once", "--config", str(agent.config))
    assert ran.status == 0
    assert ran.stdout.startswith(b'"netns","proto"')
    assert json.loads((tmp_path / "a.json").read_text())["schema"] == "nsagent/v1"
    agent.write_config(report("a", tmp_path / "gone" / "a.json", every=FAR), report("b", every=FAR, format="csv"))
    ran = run_nsagent("run", "--once", "--config", str(agent.config))
    assert ran.status == 1
    assert ran.stdout.startswith(b'"netns","proto"')
    assert [line for line in ran.complaints if line.startswith("nsagent: report a: ")]


def test_one_report_is_made_now(agent: AgentBed, tmp_path: Path) -> None:
    agent.write_config(report("a", tmp_path / "a.csv", format="csv", every=FAR), report("other", every=FAR))
    ran = run_nsagent("report", "run", "a", "--config", str(agent.config))
    assert (ran.status, ran.stdout[:11]) == (0, b'"netns","pr')
    assert not (tmp_path / "a.csv").exists()
    ran = run_nsagent("report", "run", "a", "--outputs", "--config", str(agent.config))
    assert (ran.status, ran.stdout) == (0, b"")
    assert (tmp_path / "a.csv").read_text().startswith('"netns","proto"')
    ran = run_nsagent("report", "run", "othre", "--config", str(agent.config))
    assert (ran.status, ran.stderr) == (4, "nsagent: no report 'othre'; near names: other\n")


def test_the_schedule_is_told_without_a_pass(agent: AgentBed, tmp_path: Path) -> None:
    agent.write_config(
        report("hourly", tmp_path / "a.csv", every=FAR, format="csv"),
        {**report("nightly"), "every": None, "cron": "0 3 * * *", "timezone": "Europe/Berlin"},
    )
    ran = run_nsagent("run", "--dry-run", "--config", str(agent.config))
    assert ran.status == 0
    header, hourly, nightly = ran.stdout.decode().splitlines()
    assert header.split()[:3] == ["NAME", "WHEN", "NEXT"]
    assert hourly.startswith("hourly   every 1h")
    assert nightly.startswith("nightly  cron 0 3 * * * Europe/Berlin")
    listed = json.loads(run_nsagent("report", "list", "-o", "json", "--config", str(agent.config)).stdout)
    assert [len(one["next"]) for one in listed["reports"]] == [3, 3]


def test_options_and_variables_count_more_than_the_file(agent: AgentBed, tmp_path: Path) -> None:
    agent.write_config(report("a", every=FAR, format="json"), engine="sock_diag")
    scan: Callable[..., Any] = lambda *options: json.loads(  # noqa: E731
        run_nsagent("report", "run", "a", "--config", str(agent.config), *options).stdout
    )
    assert scan()["engine"] == "sock_diag"
    assert scan("--engine", "proc")["engine"] == "proc"


def test_labels_are_told_where_they_are_asked_for_alone(agent: AgentBed, tmp_path: Path) -> None:
    del tmp_path
    agent.write_config(report("a", every=FAR, format="json", view="containers"))
    ran = run_nsagent("report", "run", "a", "--config", str(agent.config))
    assert all(one["labels"] is None for one in json.loads(ran.stdout)["containers"])


def test_the_example_config_makes_its_reports(token: str) -> None:
    """In a /var/lib of its own."""
    require(Capability.ROOT, Capability.NETNS)
    inside = 'mount -t tmpfs tmpfs /var/lib && mkdir -m 0750 /var/lib/nsagent && "$@" && ls -1 /var/lib/nsagent'
    enter = ("unshare", "--mount", "--propagation", "private", "sh", "-c", inside, "sh")
    ran = run_nsagent("run", "--once", "--config", str(EXAMPLE), command=(*enter, *NSAGENT))
    assert ran.status == 0, ran.stderr
    config = yaml.safe_load(EXAMPLE.read_text())
    paths = [output["path"] for one in config["reports"] for output in one["outputs"] if output["type"] == "file"]
    assert len(config["reports"]) >= 6
    assert set(ran.stdout.decode().splitlines()) >= {os.path.basename(path) for path in paths}
