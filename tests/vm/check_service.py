"""The agent as manifests/nsagent.service runs it, under systemd; installed as docs/install.md says, Python apart."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from nsagent.cli.agent_client import find_status
from tests.live.deadlines import until
from tests.live.nsagent_cli import Scan, owners_in, run_nsagent, run_scan, verdict_kind
from tests.vm import town
from tests.vm.check_whole import UNPROVEN

ROOT: Final = Path(__file__).parents[2]
UNIT: Final = "nsagent.service"
CONFIG: Final = Path("/etc/nsagent/config.yaml")
STATE: Final = Path("/var/lib/nsagent")
SOCKET: Final = Path("/run/nsagent/agent.sock")
DROP_IN: Final = Path(f"/run/systemd/system/{UNIT}.d/check.conf")
RIGHTS: Final = 1 << 2 | 1 << 11 | 1 << 12 | 1 << 19 | 1 << 21
"""DAC_READ_SEARCH, NET_BROADCAST, NET_ADMIN, SYS_PTRACE and SYS_ADMIN."""

SLOW: Final = 600.0
"""Seconds for what takes a second elsewhere, and Python to start: this machine is emulated."""


def write_config(*names: str, **settings: Any) -> None:
    """Put a config that is root's alone in the place of the one before: a report of each name, every second."""
    reports = [
        {
            "name": name,
            "every": "1s",
            "view": "listeners",
            "outputs": [{"type": "file", "path": str(STATE / f"{name}.jsonl"), "max_size": "64MiB"}],
        }
        for name in names
    ]
    config = {"version": 1, "interval": "1s", "history": {"path": str(STATE / "history.db")}, **settings}
    new = CONFIG.with_suffix(".new")
    new.write_text(json.dumps({**config, "reports": reports}))
    new.chmod(0o600)
    new.rename(CONFIG)


def show(name: str) -> str:
    """A property of the unit."""
    return town.run("systemctl", "show", f"--property={name}", "--value", UNIT).strip()


def await_status(wanted: Any, what: str) -> dict[str, Any]:
    """How the agent fares, once it is as wanted."""

    def look() -> dict[str, Any] | None:
        status = find_status(SOCKET)
        return status if status is not None and wanted(status) else None

    status = until(look, what, seconds=SLOW)
    assert status is not None
    return status


def await_restart(before: int) -> None:
    """systemd has started it once more, and it makes passes."""
    until(lambda: int(show("NRestarts")) > before and show("ActiveState") == "active", "a restart", seconds=SLOW)
    await_status(lambda status: status["pid"] == int(show("MainPID")) and status["passes"], "a pass after that")


@pytest.fixture(scope="module", autouse=True)
def service(built: None) -> Iterator[None]:
    """The unit, installed and started; in the groups of the engines' sockets."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(ROOT / "nsagent")], check=True)
    town.run("useradd", "--system", "--home-dir", str(STATE), "--no-create-home", "nsagent")
    town.run("usermod", "--append", "--groups", "docker", "nsagent")
    CONFIG.parent.mkdir()
    write_config("first")
    text = (ROOT / "manifests" / UNIT).read_text()
    (Path("/etc/systemd/system") / UNIT).write_text(text.replace("/opt/nsagent/bin/python", sys.executable))
    DROP_IN.parent.mkdir(parents=True)
    DROP_IN.write_text("[Service]\nTimeoutStartSec=300\nRestartSec=1\n")
    town.run("systemctl", "daemon-reload")
    town.run("systemctl", "start", UNIT)
    yield
    town.run("systemctl", "stop", UNIT)


def test_start_returns_once_it_is_ready() -> None:
    assert (show("ActiveState"), show("SubState")) == ("active", "running")
    await_status(lambda status: status["passes"], "a pass")
    until(lambda: "sockets in" in show("StatusText"), "systemd is told", seconds=SLOW)


def test_it_is_no_root_and_has_what_the_unit_grants() -> None:
    lines = dict(line.split(":\t") for line in Path(f"/proc/{show('MainPID')}/status").read_text().splitlines())
    assert "0" not in lines["Uid"].split()
    assert {lines[f"Cap{kind}"] for kind in ("Prm", "Eff", "Bnd", "Amb")} == {f"{RIGHTS:016x}"}
    assert (lines["NoNewPrivs"], lines["Seccomp"]) == ("1", "2")


def list_ways(netns: Mapping[str, Any]) -> list[str]:
    """What led to a netns; fds of the other nsagent, which is in the middle of a pass, do so too."""
    return [way for way in netns["found_by"] if way != "fd"]


def is_of_nfs_client(row: Mapping[str, Any]) -> bool:
    """Whether it is a connection of the kernel's NFS client, or one beside these."""
    return bool(row["remote"]["port"] == town.NFS)


def tell(scan: Scan) -> dict[Any, Any]:
    """All that a scan says of sockets with an inode, netns and containers, and what it could not see but names.

    The connections of the kernel's NFS client are left out: to prove them takes a mount, which the unit refuses.
    """
    return {
        **{
            ("row", row["netns"], row["inode"], row["cookie"]): (owners_in(row), row["container_id"], row["verdict"])
            for row in scan.sockets
            if row["inode"] is not None and not is_of_nfs_client(row)
        },
        **{
            ("netns", one["inode"]): (
                one["names"],
                one["engine"],
                one["is_host"],
                one["foreign_mounts"],
                list_ways(one),
            )
            for one in scan.netns
        },
        **{("container", one["id"]): one["runtime"] for one in scan.containers},
        "gaps": [gap for gap in scan.coverage["gaps"] if gap["stage"] != "names"],
        "complete": scan.coverage["complete"],
    }


def test_its_answer_is_root_s() -> None:
    """Until both say the same: nothing in this machine opens or closes a socket, but engines may."""

    def differ() -> dict[Any, Any]:
        agent, root = tell(run_scan("--agent")), tell(run_scan())
        return {key: (agent.get(key), root.get(key)) for key in agent | root if agent.get(key) != root.get(key)}

    differences: list[dict[Any, Any]] = []

    def are_alike() -> bool:
        differences.append(differ())
        return not differences[-1]

    try:
        until(are_alike, "both say the same", seconds=SLOW)
    except TimeoutError:
        assert differences[-1] == {}


def test_of_the_connections_of_the_nfs_client_it_says_no_more_than_it_can_prove() -> None:
    rows = [row for row in run_scan("--agent").sockets if is_of_nfs_client(row) and row["inode"] is not None]
    assert len(rows) > town.CONNECTIONS
    assert [row["owners"] for row in rows] == [[]] * len(rows)
    assert {verdict_kind(row) for row in rows} <= UNPROVEN


def test_its_user_may_ask_an_engine_by_its_group() -> None:
    """An engine that is too slow at times is asked again after a while."""
    until(
        lambda: "docker-web" in {one["name"] for one in run_scan("--agent").containers}, "Docker's name", seconds=SLOW
    )


def test_reload_takes_a_changed_config() -> None:
    before = await_status(lambda status: status["passes"], "a pass")
    write_config("second")
    town.run("systemctl", "reload", UNIT)
    after = await_status(lambda status: [one["name"] for one in status["reports"]] == ["second"], "the other config")
    assert (after["pid"], show("ActiveState")) == (before["pid"], "active")


def test_a_changed_config_needs_no_reload_and_a_broken_one_changes_nothing() -> None:
    CONFIG.write_text("version: 1\nreports: [{name: r, evry: 1s}]\n")
    broken = await_status(lambda status: not status["config"]["last_reload_ok"], "it is refused")
    assert [one["name"] for one in broken["reports"]] == ["second"]
    assert f"{CONFIG}:2:" in broken["config"]["error"]
    write_config("first", http={"listen": "127.0.0.1:9469"})
    await_status(lambda status: [one["name"] for one in status["reports"]] == ["first"], "it is mended")


def count_kept() -> tuple[int, int]:
    """Runs in the history, and lines in the file of the report."""
    with closing(sqlite3.connect(f"file:{STATE}/history.db?mode=ro", uri=True)) as history:
        (runs,) = history.execute("SELECT count(*) FROM runs").fetchone()
    lines = (STATE / "first.jsonl").read_text().splitlines()
    assert all(json.loads(line) for line in lines)
    return runs, len(lines)


def test_one_that_is_killed_is_started_again_and_nothing_is_lost() -> None:
    await_status(lambda status: status["reports"][0]["outputs"][0]["written"], "a report")
    runs, lines = count_kept()
    restarts = int(show("NRestarts"))
    town.run("systemctl", "kill", "--signal=KILL", UNIT)
    await_restart(restarts)
    until(lambda: count_kept() > (runs, lines), "it goes on where it was", seconds=SLOW)
    assert run_nsagent("history", "--path", str(STATE / "history.db"), seconds=SLOW).status == 0


def test_one_that_makes_no_pass_any_more_is_started_again() -> None:
    with DROP_IN.open("a") as drop_in:
        drop_in.write("WatchdogSec=60\n")
    write_config("first", interval="30s")
    town.run("systemctl", "daemon-reload")
    town.run("systemctl", "restart", UNIT)
    await_status(lambda status: status["passes"] >= 3, "passes under the watchdog")
    restarts = int(show("NRestarts"))
    town.run("systemctl", "kill", "--signal=STOP", UNIT)
    await_restart(restarts)
    said = town.run("journalctl", "--unit", UNIT, "--no-pager", "--output=cat")
    assert "Watchdog timeout" in said


def test_it_ends_by_itself_when_it_is_stopped() -> None:
    """Within the TimeoutStopSec= of the unit; in two seconds where Python is not 10 to 17 times slower (tests/live)."""
    await_status(lambda status: status["passes"], "a pass")
    town.run("systemctl", "stop", UNIT)
    assert (show("ActiveState"), show("Result"), os.path.exists(SOCKET.parent)) == ("inactive", "success", False)


def test_a_config_that_is_wrong_at_the_start_is_told_and_not_tried_again() -> None:
    CONFIG.write_text("version: 3\n")
    with pytest.raises(RuntimeError, match=UNIT):
        town.run("systemctl", "start", UNIT)
    assert (show("ActiveState"), show("ExecMainStatus"), show("NRestarts")) == ("failed", "2", "0")
    shutil.rmtree(CONFIG.parent)
