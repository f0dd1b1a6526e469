"""`nsagent scan` on the node of fixtures/proc: filters, formats, and how it ends."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from nsagent.errors import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_PARTIAL, EXIT_USAGE
from tests.cli.conftest import NODE, Run
from tests.kernel.proc_tree import HOST_NETNS, ProcTree
from tests.scan.facts import WEB_ID, WEB_NETNS


def inodes(text: str) -> list[int | None]:
    return [socket["inode"] for socket in json.loads(text)["sockets"]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [7000, 7001, 7002, None, None, 7732, 7750, 7740, None]),
        (["--port", "22"], [7000, 7001, None, None]),
        (["--port", "68,80"], [7002, 7732, 7740]),
        (["--port", "68", "--port", "80"], [7002, 7732, 7740]),
        (["--protocol", "udp"], [7002]),
        (["--state", "listen"], [7000, 7001, 7732, 7750]),
        (["--state", "TIME-WAIT,syn_recv"], [None, None]),
        (["--listening"], [7000, 7001, 7002, 7732, 7750]),
        (["--pid", "201"], [7732, 7740]),
        (["--netns", "host"], [7000, 7001, 7002, None, None]),
        (["--netns", str(WEB_NETNS), "--listening"], [7732, 7750]),
        (["--container", WEB_ID[:6]], [7732, 7740, None]),
        (["-c", WEB_ID, "--pid", "100"], []),
    ],
)
def test_filters_select_rows(on_node: Run, arguments: list[str], expected: list[int | None]) -> None:
    ran = on_node("scan", "-o", "json", *arguments)
    assert (ran.status, inodes(ran.out), ran.err) == (0, expected, "")


def test_json_is_one_document_with_the_published_keys(on_node: Run) -> None:
    document = json.loads(on_node("scan", "-o", "json").out)
    head = "schema host boot_id taken_at duration_seconds engine"
    assert list(document) == [*head.split(), "netns", "containers", "sockets", "coverage"]


def test_yaml_is_the_same_document(on_node: Run, node_capture: Path) -> None:
    as_yaml, as_json = (on_node("scan", "--from", node_capture, "-o", format_).out for format_ in ("yaml", "json"))
    assert yaml.safe_load(as_yaml) == json.loads(as_json)


def test_jsonl_is_a_head_a_line_for_each_row_and_the_coverage(on_node: Run) -> None:
    lines = [json.loads(line) for line in on_node("scan", "-o", "jsonl").out.splitlines()]
    assert [line["type"] for line in lines] == ["snapshot", *["socket"] * 9, "coverage"]


def test_a_table_has_a_line_for_each_row_below_its_header(on_node: Run) -> None:
    lines = on_node("scan").out.splitlines()
    assert lines[0].split() == ["NETNS", "PROTO", "STATE", "LOCAL", "REMOTE", "PID", "COMMAND", "CONTAINER", "POD"]
    assert len(lines) == 10
    assert lines[1].split()[1:7] == ["tcp", "listen", "0.0.0.0:22", "0.0.0.0:*", "100", "sshd"]


def test_a_table_without_headers_has_rows_alone(on_node: Run) -> None:
    bare, whole = (on_node("scan", *more).out.splitlines() for more in (["--no-headers"], []))
    assert [line.split() for line in bare] == [line.split() for line in whole[1:]]


def test_wide_has_more_columns_than_table(on_node: Run) -> None:
    header = on_node("scan", "-o", "wide").out.splitlines()[0].split()
    more = "UNIT FDS UID INODE RXQ TXQ ACCEPTQ TIMER CGROUP-ID CHARGED ATTRIBUTION CONFIDENCE FLAGS"
    assert header[9:] == more.split()


def test_csv_has_the_chosen_columns(on_node: Run) -> None:
    out = on_node("scan", "-o", "csv", "--columns", "inode,pid", "--columns", "verdict", "--pid", "200").out
    assert list(csv.reader(io.StringIO(out))) == [["inode", "pid", "verdict"], ["7732", "200,201", ""]]


def test_name_prints_one_name_a_line(on_node: Run) -> None:
    assert on_node("scan", "-o", "name", "--pid", "100").out == "socket/inode:7000\nsocket/inode:7001\n"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("inode", [7000, 7001, 7002, 7732, 7740, 7750]),
        ("-inode", [7750, 7740, 7732, 7002, 7001, 7000]),
        ("proto,-inode", [7750, 7740, 7732, 7001, 7000, 7002]),
    ],
)
def test_rows_are_sorted_by_columns(on_node: Run, columns: str, expected: list[int]) -> None:
    out = on_node("scan", "-o", "json", "--sort-by", columns).out
    assert [inode for inode in inodes(out) if inode is not None] == expected


@pytest.mark.parametrize(
    ("arguments", "protocols"),
    [
        ([], ["tcp", "udp"]),
        (["--protocol", "tcp"], ["tcp", "udp"]),
        (["--protocol", "raw,icmp6"], ["icmp", "raw", "tcp", "udp"]),
        (["--all"], ["icmp", "netlink", "packet", "raw", "sctp", "tcp", "udp", "udplite", "vsock"]),
        (
            ["--all", "--protocol", "tcp"],
            ["icmp", "netlink", "packet", "raw", "sctp", "tcp", "udp", "udplite", "vsock"],
        ),
    ],
)
def test_the_tables_of_tcp_and_udp_are_read_and_those_asked_for(
    on_node: Run, arguments: list[str], protocols: list[str]
) -> None:
    document = json.loads(on_node("scan", "-o", "json", *arguments).out)
    assert sorted(document["coverage"]["protocols"]) == protocols


def test_the_accept_queue_of_a_container_is_that_of_all_its_listeners_whatever_is_selected(on_node: Run) -> None:
    documents = [json.loads(on_node("scan", "-o", "json", *more).out) for more in ([], ["--state", "established"])]
    queues = [document["containers"][0]["accept_queue"] for document in documents]
    assert queues[0] == queues[1]
    assert (queues[0]["listeners"], queues[0]["limit"]) == (1, None)


@pytest.mark.parametrize(
    ("arguments", "essentials"),
    [
        (["--port", "http"], "--port: expected a number from 0 to 65535, got 'http'"),
        (["--port", "65536"], "--port: expected a number"),
        (["--pid", "x"], "--pid: expected a number"),
        (["--protocol", "dccp"], "--protocol: expected one of tcp, udp"),
        (["--state", "listne"], "did you mean listen?"),
        (["--columns", "nonsense"], "nonsense"),
        (["--sort-by", "nonsense"], "nonsense"),
        (["-o", "csv", "--columns", "pid,nonsense"], "nonsense"),
        (["--runtime", "nonsense"], "nonsense"),
        (["-o", "nonsense"], "nonsense"),
        (["--engine", "nonsense"], "nonsense"),
        (["--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
    ],
)
def test_what_is_no_valid_value_is_a_usage_error(on_node: Run, arguments: list[str], essentials: str) -> None:
    ran = on_node("scan", *arguments)
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert essentials in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("format_", ["json", "jsonl", "yaml", "name"])
def test_columns_of_a_format_that_has_none_are_a_usage_error(on_node: Run, format_: str) -> None:
    ran = on_node("scan", "-o", format_, "--columns", "pid")
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert ran.err == f"nsagent: --columns: {format_} has none; they are of table, wide, csv, markdown, html\n"


def test_sockets_are_counted_by_columns(on_node: Run) -> None:
    ran = on_node("scan", "--count-by", "proto,state", "--count-by", "uid", "--port", "22,68")
    assert (ran.status, ran.err) == (0, "")
    assert [line.split() for line in ran.out.splitlines()] == [
        ["PROTO", "STATE", "UID", "COUNT"],
        ["tcp", "listen", "0", "2"],
        ["tcp", "established", "-", "1"],
        ["tcp", "time_wait", "-", "1"],
        ["udp", "unconn", "101", "1"],
    ]


def test_counts_are_sorted_by_count_too(on_node: Run) -> None:
    out = on_node("scan", "--count-by", "state", "--sort-by", "count,-state", "-o", "json").out
    counts = [each["count"] for each in json.loads(out)["counts"]]
    assert counts == sorted(counts)
    assert sum(counts) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count-by", ""], "--count-by: expected a value, got ''"),
        (["--count-by", "stat"], "no column 'stat'; near names: state"),
        (["--count-by", "state", "--columns", "pid"], "no column 'pid' (columns: state, count)"),
        (["--count-by", "state", "-o", "name"], "--output: name has nothing to say of counts; table, wide, csv, "),
    ],
)
def test_what_cannot_be_counted_is_a_usage_error(on_node: Run, arguments: list[str], message: str) -> None:
    ran = on_node("scan", *arguments)
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert ran.err.startswith(f"nsagent: {message}")


@pytest.mark.parametrize("command", ["scan", "netns", "containers"])
@pytest.mark.parametrize(("format_", "sign"), [("markdown", "| --- |"), ("html", "<table"), ("prom", "nsagent_netns ")])
def test_every_command_has_every_format(on_node: Run, command: str, format_: str, sign: str) -> None:
    ran = on_node(command, "-o", format_)
    assert (ran.status, ran.err) == (0, "")
    assert sign in ran.out


@pytest.mark.parametrize(
    "arguments",
    [["--columns", "nonsense"], ["-o", "json", "--sort-by", "-nonsense"], ["-o", "name", "--columns", "pid"]],
)
@pytest.mark.parametrize("command", ["scan", "netns", "containers"])
def test_a_column_that_there_is_not_is_found_before_anything_is_read(
    on_node: Run, tmp_path: Path, command: str, arguments: list[str]
) -> None:
    ran = on_node(command, "--proc-root", "/nowhere", "--capture", tmp_path / "kept", *arguments)
    assert (ran.status, ran.out, os.listdir(tmp_path)) == (EXIT_USAGE, "", [])


@pytest.mark.parametrize("option", ["--port", "--pid", "--container", "--netns", "--state", "--protocol"])
def test_an_empty_value_is_a_usage_error_and_no_request_for_everything(on_node: Run, option: str) -> None:
    assert on_node("scan", option, "").status == EXIT_USAGE


@pytest.mark.parametrize(
    ("arguments", "essentials"),
    [
        (["--pid", "99999"], "no process '99999'"),
        (["--netns", "wep"], "no netns 'wep'"),
        (["--container", "wep"], "no container 'wep'"),
    ],
)
def test_what_nobody_knows_is_not_found(on_node: Run, arguments: list[str], essentials: str) -> None:
    ran = on_node("scan", *arguments)
    assert (ran.status, ran.out) == (EXIT_NOT_FOUND, "")
    assert ran.err.startswith(f"nsagent: {essentials}")


def test_the_engine_sock_diag_cannot_read_a_tree(on_node: Run) -> None:
    ran = on_node("scan", "--engine", "sock_diag")
    assert (ran.status, ran.out) == (EXIT_FAILED, "")
    assert "use --engine proc" in ran.err


@pytest.mark.parametrize("option", ["--proc-root", "--host-root"])
def test_a_root_that_is_not_there_is_a_wrong_use(on_node: Run, tmp_path: Path, option: str) -> None:
    ran = on_node("scan", option, tmp_path / "nowhere")
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert f"Invalid value for '{option}'" in ran.err
    assert "nowhere' does not exist" in ran.err


def test_a_directory_without_a_process_fails_and_is_named(on_node: Run, tmp_path: Path) -> None:
    ran = on_node("scan", "--proc-root", tmp_path)
    assert (ran.status, ran.out) == (EXIT_FAILED, "")
    assert ran.err == f"nsagent: {tmp_path}: no procfs, nor a copy of one: there is no process in it\n"


@pytest.fixture
def partial(tmp_path: Path) -> ProcTree:
    """A tree with a process whose stat line is damaged."""
    tree = ProcTree(tmp_path / "proc")
    tree.process(10)
    tree.process(11)
    tree.write("11/stat", "11 (damaged")
    return tree


def test_what_could_not_be_seen_is_told_on_stderr(on_node: Run, partial: ProcTree) -> None:
    ran = on_node("scan", "--proc-root", partial.path)
    assert ran.status == 0
    assert ran.err.startswith("nsagent: 1 of 2 processes not readable")
    assert ran.err.count("\n") == 1


def test_strict_exits_with_3_when_something_could_not_be_seen(on_node: Run, partial: ProcTree) -> None:
    strict, plain = (on_node("scan", "-o", "json", *more, "--proc-root", partial.path) for more in (["--strict"], []))
    assert (strict.status, plain.status) == (EXIT_PARTIAL, 0)
    assert inodes(strict.out) == inodes(plain.out)


def test_strict_exits_with_0_when_everything_was_seen(on_node: Run) -> None:
    assert on_node("scan", "--strict").status == 0


def test_a_capture_gives_what_the_pass_gave(on_node: Run, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    live = on_node("scan", "-o", "json", "--capture", kept)
    assert on_node("scan", "-o", "json", "--from", kept).out == live.out


def test_a_capture_is_filtered_as_a_host_is(run_cli: Run, node_capture: Path) -> None:
    ran = run_cli("scan", "--from", node_capture, "--port", "80", "-o", "json")
    assert (ran.status, inodes(ran.out)) == (0, [7732, 7740])


@pytest.mark.parametrize(
    ("content", "essentials"),
    [(b"", "cut off"), (b"no gzip", "not a capture"), (None, "cannot be read: No such file or directory")],
)
def test_an_unreadable_capture_fails_and_is_named(
    run_cli: Run, tmp_path: Path, content: bytes | None, essentials: str
) -> None:
    path = tmp_path / "bad.capture"
    if content is not None:
        path.write_bytes(content)
    ran = run_cli("scan", "--from", path)
    assert (ran.status, ran.out) == (EXIT_FAILED, "")
    assert ran.err.startswith(f"nsagent: {path}: ")
    assert essentials in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value", "check"),
    [
        ("NSAGENT_OUTPUT", "json", lambda ran: json.loads(ran.out)["schema"] == "nsagent/v1"),
        ("NSAGENT_OUTPUT", "nonsense", lambda ran: ran.status == EXIT_USAGE and "nonsense" in ran.err),
        ("NSAGENT_ENGINE", "sock_diag", lambda ran: ran.status == EXIT_FAILED),
        ("NSAGENT_ENGINE", "nonsense", lambda ran: ran.status == EXIT_USAGE),
        ("NSAGENT_PROC_ROOT", "/nowhere/proc", lambda ran: ran.status == EXIT_USAGE and "/nowhere/proc" in ran.err),
        ("NSAGENT_RUNTIME", "nonsense", lambda ran: ran.status == EXIT_USAGE),
        ("NSAGENT_COLOR", "always", lambda ran: "\x1b[" in ran.out),
        ("NSAGENT_COLOR", "nonsense", lambda ran: ran.status == EXIT_USAGE),
    ],
)
def test_a_variable_is_the_default_of_its_option(
    on_node: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, check: Any
) -> None:
    monkeypatch.setenv(variable, value)
    ran = on_node("scan")
    assert check(ran), ran


def test_an_option_wins_over_its_variable(on_node: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAGENT_OUTPUT", "json")
    assert on_node("scan", "-o", "name", "--pid", "110").out == "socket/inode:7002\n"


def test_strict_may_be_set_by_its_variable(on_node: Run, partial: ProcTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAGENT_STRICT", "1")
    assert on_node("scan", "--proc-root", partial.path).status == EXIT_PARTIAL


@pytest.mark.parametrize(("value", "host"), [("node-7", "node-7"), ("", os.uname().nodename)])
def test_the_host_is_what_its_variable_says_or_the_kernel(
    on_node: Run, monkeypatch: pytest.MonkeyPatch, value: str, host: str
) -> None:
    monkeypatch.setenv("NSAGENT_HOST", value)
    assert json.loads(on_node("scan", "-o", "json").out)["host"] == host


def test_a_table_that_goes_to_no_terminal_has_no_colour_and_is_not_cut(on_node: Run) -> None:
    out = on_node("scan").out
    assert "\x1b" not in out
    assert "2001:db8::1" in out


def test_the_netns_of_the_host_is_called_host(on_node: Run) -> None:
    document = json.loads(on_node("scan", "-o", "json", "--netns", "host").out)
    assert [(one["inode"], one["is_host"]) for one in document["netns"]] == [(HOST_NETNS, True)]


@pytest.mark.parametrize(
    ("arguments", "as_documented"),
    [
        (("--columns", "PID,Local"), ("--columns", "pid,local")),
        (("--sort-by", "-PID"), ("--sort-by", "-pid")),
        (("--count-by", "CGROUP-ID"), ("--count-by", "cgroup_id")),
        (("-o", "CSV"), ("-o", "csv")),
        (("--state", "FIN-WAIT-1"), ("--state", "fin_wait1")),
        (("--engine", "Proc"), ("--engine", "proc")),
    ],
)
def test_words_are_taken_in_any_case_and_as_they_stand_above_a_table(
    run_cli: Run, arguments: tuple[str, ...], as_documented: tuple[str, ...]
) -> None:
    scan = ("scan", "--proc-root", NODE, "--runtime", "none")
    typed, documented = run_cli(*scan, *arguments), run_cli(*scan, *as_documented)
    assert (typed.status, typed.out, typed.err) == (0, documented.out, documented.err)


@pytest.mark.parametrize("command", [(), ("scan",), ("report",), ("report", "list")])
def test_h_is_help(run_cli: Run, command: tuple[str, ...]) -> None:
    assert run_cli(*command, "-h").out == run_cli(*command, "--help").out != ""
