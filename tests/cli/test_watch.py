"""`nsagent watch`: what it takes and refuses, on a host on which nothing happens."""

import json

import pytest

from nsagent.cli.durations import find_seconds, parse_seconds
from nsagent.errors import EXIT_NOT_FOUND, EXIT_USAGE, UsageError
from tests.cli.conftest import NODE, Run

ENDING = ("--duration", "0s")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--processes", "--sockets"], "--processes, --sockets: expected one of them; without, both are told"),
        (["--follow"], "--follow: expected --pid, whose children are to be followed"),
        (
            ["--processes", "--port", "80"],
            "--processes: the filter asks for sockets: for ports, addresses, protocols or",
        ),
        (["--processes", "sport = :80"], "--processes: the filter asks for sockets"),
        (["--interval", "2"], "--interval: expected a duration of 0.1s or more, like 500ms, 30s, 5m or 1h, got '2'"),
        (["--interval", "50ms"], "--interval: expected a duration of 0.1s or more"),
        (["--duration", "soon"], "--duration: expected a duration of 0s or more"),
        (["--count", "0"], "--count: expected a number from 1, got '0'"),
        (["-o", "csv"], "--output: expected one of table, jsonl, got 'csv'"),
        (["--columns", "nosuch"], "no column 'nosuch'"),
        (["-o", "jsonl", "--columns", "pid"], "--columns: jsonl has none; they are of table"),
        (["--port", "http"], "--port: expected a number from 0 to 65535, got 'http'"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(on_node: Run, arguments: list[str], told: str) -> None:
    ran = on_node("watch", *ENDING, *arguments)
    assert (ran.status, ran.out, ran.err.count("\n")) == (EXIT_USAGE, "", 1)
    assert told in ran.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["-c", "nosuch"], "no container 'nosuch'"), (["--pid", "999999"], "no process '999999'")],
)
def test_what_nobody_knows_is_not_waited_for(on_node: Run, arguments: list[str], told: str) -> None:
    ran = on_node("watch", *arguments, *ENDING)
    assert (ran.status, ran.out) == (EXIT_NOT_FOUND, "")
    assert told in ran.err


def test_where_the_kernel_tells_nothing_of_this_procfs_that_is_said_once_and_in_the_first_line(on_node: Run) -> None:
    ran = on_node("watch", *ENDING, "-o", "jsonl")
    head = json.loads(ran.out)
    reason = f"{NODE} has the pids of another PID namespace"
    assert (ran.status, head["processes"]) == (0, {"engine": "poll", "reason": reason})
    assert ran.err.count(reason) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--processes"], (True, False)), (["--sockets"], (False, True)), (["--port", "1"], (False, True))],
)
def test_what_is_not_asked_for_is_not_listened_for(on_node: Run, arguments: list[str], told: tuple[bool, bool]) -> None:
    head = json.loads(on_node("watch", *arguments, *ENDING, "-o", "jsonl").out)
    assert (head["processes"] is not None, head["sockets"] is not None) == told


def test_a_table_has_its_header_at_once_or_none(on_node: Run) -> None:
    ran = on_node("watch", "--sockets", *ENDING, "--columns", "time,event")
    assert (ran.status, ran.out.split()) == (0, ["TIME", "EVENT"])
    assert on_node("watch", "--sockets", *ENDING, "--no-headers").out == ""


def test_a_format_of_other_commands_in_the_environment_is_no_matter(
    on_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSAGENT_OUTPUT", "yaml")
    assert on_node("watch", "--sockets", *ENDING).out.startswith("TIME ")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("2s", 2),
        ("1.5s", 1.5),
        ("5m", 300),
        ("1h", 3600),
        ("7d", 604800),
        ("2", None),
        ("s", None),
        ("-1s", None),
    ],
)
def test_a_duration_is_a_number_with_its_unit(text: str, seconds: float | None) -> None:
    assert find_seconds(text) == seconds


def test_a_duration_that_is_too_short_is_refused() -> None:
    assert parse_seconds("100ms", "--interval", 0.1) == 0.1
    with pytest.raises(UsageError, match=r"--interval: expected a duration of 0\.1s or more"):
        parse_seconds("99ms", "--interval", 0.1)
