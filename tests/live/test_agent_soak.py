"""The agent over time: what it holds does not grow, and whatever happens around it, it goes on.

At the default scale a minute each, of which a quarter for the faults; NSAGENT_TEST_SCALE=full takes two hours.
"""

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from nsagent.cli.agent_client import ask_capture
from tests.live.agent_bed import Status, read_lines
from tests.live.capabilities import Capability, choose_seed, require, trials
from tests.live.closed_bed import ClosedBed, read_report
from tests.live.deadlines import until
from tests.live.netns_bed import run_ip
from tests.live.nsagent_cli import ATTEMPTS
from tests.live.soak_bed import Reading, SoakBed, find_floors, find_slope
from tests.live.soak_faults import EACH, KINDS, Faults

SOAK_SECONDS = trials(default=60, full=7200)
CONNECTIONS_PER_SECOND, PROCESSES_PER_SECOND = 50, 5
TIME_WAIT_ROWS = 50
RELOADED_PASSES = trials(default=3, full=20)
PORT = 9469
STORM_SECONDS = trials(default=15, full=60)
PASS_SECONDS = 5.0
"""How long before its report is written a pass may have begun, at most."""

pytestmark = pytest.mark.timeout(SOAK_SECONDS + 300)

BRIEF_NETNS = "while :; do unshare --net sh -c 'ip link set lo up; sleep 0.4'; done"
"""A netns without a name that comes and goes, again and again, a few times a second."""


FILES = {
    *("config.yaml", "stderr", "run", "history.sqlite"),
    *("changes.csv", "page.html", "nsagent.prom", "top.csv", "netns.json"),
    *(f"{name}.jsonl{ending}" for name in ("diff", "lines") for ending in ("", ".1", ".2")),
}
"""What may be there at the end."""

WRITERS = 4
"""Threads that are started when so many reports are to be written at once, and stay."""
LINK = "soak"
CLEAN_UP_SECONDS = 600.0
"""The kernel takes netns apart in one thread, those of everybody else on the machine first."""
LEAST_OF_RATE = 0.3
"""Of the scrapes, one a second: on a busy machine an answer takes its time."""
MOST_BYTES_PER_SECOND = trials(default=64 << 10, full=1 << 10)
"""By which the memory may grow, at a pass a second.

In the first quarter of an hour the 10,000 changes that are kept become more, by 8 to 30 KiB a second here; what is
flat from then on still has a step of 2 MiB now and then, which is 1 KiB a second in an hour. A snapshot of this bed
that is never let go is more than either.
"""


@pytest.fixture
def soak(closed_bed: ClosedBed, tmp_path: Path, token: str) -> Iterator[SoakBed]:
    require(Capability.GCC)
    bed = SoakBed(closed_bed, tmp_path, token)
    try:
        yield bed
    finally:
        bed.close()


def file_output(path: Path, **settings: Any) -> dict[str, Any]:
    return {"type": "file", "path": str(path), **settings}


def list_kinds(directory: Path) -> list[dict[str, Any]]:
    """A report of each kind, due every second."""
    kinds: dict[str, dict[str, Any]] = {
        "diff": {
            "view": "listeners",
            "diff": True,
            "outputs": [file_output(directory / "diff.jsonl", max_size="64KiB", keep=2)],
        },
        "changes": {"view": "changes", "format": "csv", "outputs": [file_output(directory / "changes.csv")]},
        "page": {"format": "html", "outputs": [file_output(directory / "page.html")]},
        "lines": {"outputs": [file_output(directory / "lines.jsonl", max_size="256KiB", keep=2)]},
        "metrics": {"outputs": [{"type": "textfile", "path": str(directory / "nsagent.prom")}]},
        "top": {
            "view": "top",
            "group_by": ["netns", "state"],
            "format": "csv",
            "outputs": [file_output(directory / "top.csv")],
        },
        "netns": {"view": "netns", "format": "json", "outputs": [file_output(directory / "netns.json")]},
    }
    return [{"name": name, "every": "1s", **settings} for name, settings in kinds.items()]


def test_what_it_holds_does_not_grow(soak: SoakBed, program: Callable[[str], str], tmp_path: Path) -> None:
    """Under churn, with reports of all kinds, and asked every second."""
    soak.agent.write_config(
        *list_kinds(tmp_path),
        interval="1s",
        http={"listen": f"127.0.0.1:{PORT}"},
        history={"path": str(tmp_path / "history.sqlite"), "max_size": "1MiB"},
    )
    # Closed connections would be a load that grows for a minute.
    soak.closed.run("sh", "-c", f"echo {TIME_WAIT_ROWS} >/proc/sys/net/ipv4/tcp_max_tw_buckets")
    churn = soak.closed.start(program("churn"), os.devnull, str(CONNECTIONS_PER_SECOND), str(PROCESSES_PER_SECOND))
    read_report(churn, "ready")
    soak.closed.start("sh", "-c", BRIEF_NETNS)
    soak.start()
    end_scraper = soak.start_peer("scrape", PORT)
    started = time.monotonic()
    while time.monotonic() < started + SOAK_SECONDS:
        let_netns_come_and_go(soak)
        ask_capture(soak.agent.socket)
    scrapes = int(end_scraper())
    status = soak.look()
    assert soak.own_netns == soak.closed.host_netns
    assert soak.list_zombies() == []
    assert {report["error"] for report in status["reports"]} == {None}
    assert soak.end()[0] == 0
    assert list_files(tmp_path) - FILES == set()
    print(f"{status['passes']} passes, {scrapes} scrapes")
    assert scrapes >= LEAST_OF_RATE * SOAK_SECONDS
    check_readings(soak.readings)


def check_readings(readings: Sequence[Reading]) -> None:
    """What stays between passes is the same in the second quarter as in the last, and the memory does not grow."""
    quarter = len(readings) // 4
    early, late = readings[quarter : 2 * quarter], readings[-quarter:]
    slope = find_slope(readings[2 * quarter :])
    print(f"{find_floors(early)}, then {find_floors(late)}; memory grows by {slope / 1024:.1f} KiB a second")
    before, after = find_floors(early), find_floors(late)
    assert after == {**before, "threads": after["threads"], "nsfs_fds": 0, "away": 0}
    assert after["threads"] <= before["threads"] + WRITERS
    assert slope <= MOST_BYTES_PER_SECOND


def list_files(directory: Path) -> set[str]:
    """What is in a directory, with what is in the directories there."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def let_netns_come_and_go(soak: SoakBed) -> None:
    """A netns with a process and a listener, that is gone two passes after it was let go."""
    bed = soak.closed.netns_bed
    netns = bed.named()
    actor = bed.actor(netns)
    actor.listen()
    # Its other end goes with the netns, once nothing keeps that any more.
    run_ip(
        "link", "add", "soak", "type", "veth", "peer", "name", "far", "netns", str(netns.name), enter=soak.closed.enter
    )
    soak.await_passes(2)
    bed.end(actor)
    bed.delete(netns)
    soak.await_passes(2)
    devices = Path(f"/proc/{soak.closed.init_pid}/net/dev")
    # The kernel takes a netns away by and by.
    until(lambda: f"{LINK}:" not in devices.read_text(encoding="ascii"), "the netns is gone", seconds=CLEAN_UP_SECONDS)


def test_whatever_happens_around_it_it_goes_on(soak: SoakBed, tmp_path: Path) -> None:
    seed = choose_seed(fixed=13)
    faults = Faults(soak, tmp_path)
    try:
        soak.start()
        faults.break_everything()
        soak.agent.await_status(lambda status: list_failed(status) == {*KINDS} - {"well"}, "all that can fail has")
        end = time.monotonic() + STORM_SECONDS
        done = faults.storm(seed, lambda: time.monotonic() < end)
        faults.mend()
        status = check_reports(soak, faults, time.time())
        print(f"seed {seed}: {len(done)} faults and ends of faults, {status['passes']} passes")
        assert status["passes_failed"] == 0
        assert list_failed(status) == {*KINDS} - {"well"}
        check_in_time(1.0, soak.agent.tell_status)
        code, seconds = soak.end()
        assert code == 0
        assert seconds < 2.0 or is_busy()
    finally:
        faults.close()


def list_failed(status: Status) -> set[str]:
    """The kinds of reports of which an output has failed."""
    return {
        kind for kind in KINDS for report in status["reports"] if is_of(report, kind) and report["outputs"][0]["failed"]
    }


def is_of(report: Status, kind: str) -> bool:
    return str(report["name"]).startswith(kind)


def check_reports(soak: SoakBed, faults: Faults, mended: float) -> Status:
    """Each report is made of a pass after all was mended, and whole where it is; nothing waits for the receiver."""
    status = soak.agent.await_status(
        lambda status: status["config"]["last_reload_ok"] and all(is_well(one, mended) for one in status["reports"]),
        "each report is made again",
    )
    assert len(status["reports"]) == len(KINDS) * EACH
    for report in status["reports"]:
        if not is_of(report, "http"):
            path = Path(soak.closed.root + str(faults.path_of(report["name"])))
            document = json.loads(path.read_text(encoding="utf-8"))
            assert datetime.fromisoformat(document["taken_at"]).timestamp() > mended - PASS_SECONDS
    return status


def is_well(report: Status, since: float) -> bool:
    """Whether a report was made since then, and everything that waited for its outputs has gone there."""
    made_at = report["last_success_at"]
    late = made_at is not None and datetime.fromisoformat(made_at).timestamp() > since
    return late and report["error"] is None and not any(output["spooled"] for output in report["outputs"])


def check_in_time(seconds: float, ask: Callable[[], object]) -> None:
    """Fails unless it takes no longer than that once in a few times: a busy machine has its moments."""
    taken = []
    for _ in range(ATTEMPTS):
        started = time.monotonic()
        ask()
        taken.append(time.monotonic() - started)
    assert min(taken) < seconds, taken


def is_busy() -> bool:
    """Whether others want more CPUs than there are."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


def test_reloads_in_the_middle_of_passes_repeat_no_change_and_lose_none(soak: SoakBed, tmp_path: Path) -> None:
    """An engine that does not answer makes each pass last for seconds."""
    with socket.socket(socket.AF_UNIX) as silent:
        engine = tmp_path / "docker.sock"
        silent.bind(str(engine))
        silent.listen(64)
        new = {"view": "listeners", "diff": True, "outputs": [file_output(tmp_path / "new.jsonl", max_size="1MiB")]}
        history = {"path": str(tmp_path / "history.sqlite")}
        soak.agent.write_config(
            {"name": "new", "every": "1s", **new}, interval="1s", runtime=f"docker=unix://{engine}", history=history
        )
        soak.start()
        soak.agent.await_report("new", lambda one: one["outputs"][0]["written"], "a report before")
        actor = soak.closed.netns_bed.stage()[1]
        ports = []
        for _ in range(RELOADED_PASSES):
            ports.append(actor.listen().port)
            passes = soak.look()["passes"]
            until(lambda: hang_up(soak, passes), "the next pass")  # noqa: B023 - it is called at once.
        soak.await_passes(2)
        assert soak.end()[0] == 0
    told = [line["socket"]["local"]["port"] for line in read_lines(tmp_path / "new.jsonl") if line["type"] == "change"]
    with closing(sqlite3.connect(tmp_path / "history.sqlite")) as database:
        rows = database.execute("SELECT local_port FROM changes WHERE kind = 'new_listener'")
        remembered = [port for (port,) in rows]
    assert sorted(told) == sorted(remembered) == sorted(ports)


def hang_up(soak: SoakBed, passes: int) -> bool:
    """Have the config loaded anew; whether there is a further pass."""
    os.kill(soak.pid, signal.SIGHUP)
    return bool(soak.look()["passes"] > passes)
