"""`nsagent history`: what the agent remembers."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nsagent.agent.history import History
from nsagent.cli.changes import parse_time, tell_time
from nsagent.errors import EXIT_FAILED, EXIT_PARTIAL, EXIT_USAGE, UsageError
from tests.agent.histories import at, connection, record_all, taken
from tests.cli.conftest import Run

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history of three passes: a connection comes, and its container's listener goes."""
    path = tmp_path / "history.db"
    last = taken(2, connection(1))
    with closing(History.open(path, 1e9, 1 << 20)) as history:
        record_all(history, [taken(0), taken(1, connection(1)), last])
    return path


def test_changes_are_listed_with_their_times(run_cli: Run, path: Path) -> None:
    ran = run_cli("history", "--path", path)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (
        "TIME                      CHANGE    NETNS  PROTO  STATE        LOCAL           REMOTE        PID  COMMAND  "
        "CONTAINER  POD\n"
        f"{at(1)}  new_peer  host   tcp    established  10.0.0.1:10001  10.0.0.9:443  20   app      -          -\n"
        f"{at(1)}  opened    host   tcp    established  10.0.0.1:10001  10.0.0.9:443  20   app      -          -\n"
    )


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (["--kind", "opened,new-listener"], ["opened"]),
        (["--since", at(1)], ["new_peer", "opened"]),
        (["--since", at(2)], []),
        (["--until", at(0)], []),
        (["--since", "1s"], []),
        (["-c", "web"], []),
        (["--pod", "web-1"], []),
    ],
)
def test_options_choose_among_the_changes(run_cli: Run, path: Path, arguments: list[str], kinds: list[str]) -> None:
    _, *lines = run_cli("history", "--path", path, "-o", "jsonl", *arguments).out.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == kinds


def test_what_was_open_is_told_and_from_when_on_it_is_known(run_cli: Run, path: Path) -> None:
    ran = run_cli("history", "--path", path, "--at", at(1), "--columns", "local,container,pod", "--no-headers")
    assert ran.out == "0.0.0.0:80      web  shop/web-1\n10.0.0.1:10001  -    -\n"
    assert ran.err == f"nsagent: as of {at(1)}; {path} knows from {at(0)} on\n"
    ran = run_cli("history", "--path", path, "--at", at(0), "-c", "web", "-o", "json")
    assert [each["socket"]["local"]["port"] for each in json.loads(ran.out)["changes"]] == [80]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "1 of 3 passes"),
        (("--since", at(1)), "1 of 2 passes"),
        (("--at", at(1)), "1 of 1 passes"),
        (("--since", at(2)), None),
        (("--until", at(0)), None),
        (("--at", at(0)), None),
        (("--at", at(2)), None),
    ],
)
def test_passes_that_could_not_see_everything_are_counted(
    run_cli: Run, tmp_path: Path, arguments: tuple[str, ...], told: str | None
) -> None:
    path = tmp_path / "history.db"
    blurred = taken(1, connection(1))
    blurred = blurred._replace(coverage=blurred.coverage._replace(complete=False))
    with closing(History.open(path, 1e9, 1 << 20)) as history:
        record_all(history, [taken(0), blurred, taken(2, connection(1))])
    ran = run_cli("history", "--path", path, *arguments)
    strict = run_cli("history", "--path", path, *arguments, "--strict")
    line = "" if told is None else f"nsagent: {told} could not see everything\n"
    assert (ran.status, ran.err.endswith(line), "see everything" in ran.err) == (0, True, told is not None)
    assert strict == (EXIT_PARTIAL if told else 0, ran.out, ran.err)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), [f"from {at(2)} to {at(10)}", f"after {at(13)}"]),
        (("--until", at(13)), [f"from {at(2)} to {at(10)}"]),
        (("--since", at(2), "--until", at(9)), [f"from {at(2)} to {at(10)}"]),
        (("--since", at(10), "--until", at(14)), []),
        (("--since", at(10), "--until", at(16)), [f"after {at(13)}"]),
        (("--since", "2025-12-31T23:00:00Z", "--until", at(1)), [f"before {at(0)}"]),
        (("--at", at(1)), []),
        (("--at", at(9)), [f"from {at(2)} to {at(10)}"]),
        (("--at", at(10)), []),
        (("--at", at(20)), [f"after {at(13)}"]),
    ],
)
def test_when_nobody_looked_is_told(run_cli: Run, tmp_path: Path, arguments: tuple[str, ...], told: list[str]) -> None:
    path = tmp_path / "history.db"
    with closing(History.open(path, 1e9, 1 << 20)) as history:
        for minute in (0, 1, 2, 10, 11, 13):
            history.record(taken(minute), (), due_seconds=30.0)
    ran = run_cli("history", "--path", path, *arguments)
    strict = run_cli("history", "--path", path, *arguments, "--strict")
    lines = [line for line in ran.err.splitlines() if "no pass" in line]
    assert (ran.status, lines) == (0, [f"nsagent: no pass {each}" for each in told])
    assert strict == (EXIT_PARTIAL if told else 0, ran.out, ran.err)


def test_of_many_times_when_nobody_looked_the_last_ones_are_told(run_cli: Run, tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(History.open(path, 1e9, 1 << 20)) as history:
        for hour in range(8):
            history.record(taken(60 * hour), (), due_seconds=1.0)
    ran = run_cli("history", "--path", path, "--until", at(7 * 60))
    assert ran.err.splitlines() == [
        "nsagent: no pass in 2 earlier stretches of time",
        *(f"nsagent: no pass from {at(60 * hour)} to {at(60 * hour + 60)}" for hour in range(2, 7)),
    ]


def test_in_an_empty_history_there_is_no_pass_yet(run_cli: Run, tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    History.open(path, 1e9, 1 << 20).close()
    ran = run_cli("history", "--path", path, "--since", "2h")
    assert (ran.status, ran.err) == (0, "nsagent: no pass yet\n")


def test_a_time_before_all_that_is_known_is_an_error(run_cli: Run, path: Path) -> None:
    ran = run_cli("history", "--path", path, "--at", "2025-01-01T00:00:00+01:00")
    assert (ran.status, ran.out, ran.err) == (
        EXIT_FAILED,
        "",
        f"nsagent: {path}: knows from {at(0)} on what was open, not at 2024-12-31T23:00:00.000Z\n",
    )


def test_where_there_is_none_is_one_line(run_cli: Run, tmp_path: Path) -> None:
    ran = run_cli("history", "--path", tmp_path / "nosuch.db")
    assert (ran.status, ran.out) == (EXIT_FAILED, "")
    assert ran.err == f"nsagent: {tmp_path}/nosuch.db: No such file or directory\n"


def test_the_config_says_where_it_is(run_cli: Run, path: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"version: 1\nhistory: {{path: {path}}}\n")
    assert run_cli("history", "--config", config).out == run_cli("history", "--path", path).out != ""
    config.write_text("version: 1\n")
    ran = run_cli("history", "--config", config)
    assert (ran.status, ran.err) == (EXIT_FAILED, f"nsagent: {config}: has no history\n")


def test_a_time_is_not_asked_for_together_with_changes(run_cli: Run, path: Path) -> None:
    ran = run_cli("history", "--path", path, "--at", "1h", "--since", "2h")
    assert (ran.status, ran.err.count("\n")) == (EXIT_USAGE, 1)


def test_a_span_that_ends_before_it_begins_is_told(run_cli: Run, path: Path) -> None:
    ran = run_cli("history", "--path", path, "--since", at(2), "--until", at(1))
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert ran.err == f"nsagent: --until: expected a time after --since, {at(2)}, got {at(1)}\n"
    assert run_cli("history", "--path", path, "--since", at(1), "--until", at(1)).status == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("30s", "2026-01-02T03:03:35.678Z"),
        ("2h", "2026-01-02T01:04:05.678Z"),
        ("7d", "2025-12-26T03:04:05.678Z"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"),
        ("2026-01-01t00:00:00.5+02:00", "2025-12-31T22:00:00.500Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_is_a_duration_ago_or_rfc_3339(text: str, told: str) -> None:
    assert tell_time(parse_time(text, "--since", NOW)) == told


@pytest.mark.parametrize(
    "text",
    ["", "2", "h", "2w", "-2h", "yesterday", "999999999d", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z"],
)
def test_what_is_no_time_is_an_error_that_names_the_option(text: str) -> None:
    with pytest.raises(UsageError, match=r"--until: expected 30m, 2h or 7d, or a time like 2026-01-02T03:04:05Z, got"):
        parse_time(text, "--until", NOW)
