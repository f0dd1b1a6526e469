"""`--since FILE`: an earlier pass tells who held what is closing now."""

import json
from pathlib import Path
from typing import Any

import pytest

from nsagent.errors import EXIT_FAILED
from nsagent.scan.capture import encode_capture
from tests.cli.conftest import Run
from tests.kernel.diag_message import make_message
from tests.scan.facts import WEB_CGROUP, WEB_ID, diag_table, facts, netns, reading

BOOT, OTHER_BOOT = "e523c4a2-e603-4479-bf78-59a0d295cc50", "00000000-e603-4479-bf78-59a0d295cc50"
NOW_NS = 1_767_323_045 * 10**9
MINUTE_NS = 60 * 10**9
ESTABLISHED, TIME_WAIT = 1, 6


def keep(path: Path, state: int, *, boot_id: str | None = BOOT, taken_at_ns: int = NOW_NS) -> Path:
    """A capture of a host with one connection, which process 10 in a container holds until it is closed."""
    open_now = state == ESTABLISHED
    row = make_message(state=state, cookie=77, inode=7 if open_now else 0, timer=0 if open_now else 3)
    client = reading(10, {3: 7} if open_now else {}, cgroup=WEB_CGROUP)
    kept = facts([client, reading(1)], [netns(diag_table(row))])
    path.write_bytes(encode_capture(kept._replace(boot_id=boot_id, taken_at_ns=taken_at_ns)))
    return path


@pytest.fixture
def now(tmp_path: Path) -> Path:
    """The connection in TIME_WAIT."""
    return keep(tmp_path / "now", TIME_WAIT)


def row_of(text: str) -> dict[str, Any]:
    (row,) = json.loads(text)["sockets"]
    return row  # type: ignore[no-any-return]


def test_a_row_in_time_wait_is_charged_to_who_held_it_earlier(run_cli: Run, now: Path, tmp_path: Path) -> None:
    earlier = keep(tmp_path / "earlier", ESTABLISHED, taken_at_ns=NOW_NS - MINUTE_NS)
    row = row_of(run_cli("scan", "--from", now, "--since", earlier, "-o", "json").out)
    assert (row["verdict"]["kind"], row["verdict"]["charged_to"]) == ("time_wait", {"pid": 10, "container_id": WEB_ID})
    assert (row["container_id"], row["attribution"], row["confidence"]) == (WEB_ID, "memory", "inferred")


def test_without_an_earlier_pass_nobody_is_charged(run_cli: Run, now: Path) -> None:
    row = row_of(run_cli("scan", "--from", now, "-o", "json").out)
    assert (row["verdict"]["charged_to"], row["attribution"]) == (None, "none")


@pytest.mark.parametrize("boot_id", [OTHER_BOOT, None])
def test_a_pass_of_another_boot_is_refused_and_both_are_named(
    run_cli: Run, now: Path, tmp_path: Path, boot_id: str | None
) -> None:
    other = keep(tmp_path / "other", ESTABLISHED, boot_id=boot_id, taken_at_ns=NOW_NS - MINUTE_NS)
    ran = run_cli("scan", "--from", now, "--since", other)
    assert (ran.status, ran.out) == (EXIT_FAILED, "")
    assert ran.err == f"nsagent: {other}: is of boot {boot_id}, this pass of boot {BOOT}\n"


def test_a_later_pass_is_refused_and_both_are_named(run_cli: Run, now: Path, tmp_path: Path) -> None:
    later = keep(tmp_path / "later", ESTABLISHED, taken_at_ns=NOW_NS + MINUTE_NS)
    ran = run_cli("scan", "--from", now, "--since", later)
    assert (ran.status, ran.out) == (EXIT_FAILED, "")
    assert ran.err == (
        f"nsagent: {later}: was taken at 2026-01-02 03:05:05 UTC, this pass earlier, at 2026-01-02 03:04:05 UTC\n"
    )


def test_an_earlier_pass_that_cannot_be_read_fails_and_is_named(run_cli: Run, now: Path) -> None:
    ran = run_cli("scan", "--from", now, "--since", "/nowhere")
    assert (ran.status, ran.out) == (EXIT_FAILED, "")
    assert ran.err == "nsagent: /nowhere: cannot be read: No such file or directory\n"
