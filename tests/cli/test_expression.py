"""`nsagent scan EXPRESSION` and `nsagent diff --filter`: what is selected, and how a wrong one is told."""

import json
import socket
from pathlib import Path

import pytest

from nsagent.cli.expression import point_at
from nsagent.cli.options import Source
from nsagent.cli.threads import name_processes
from nsagent.errors import EXIT_NOT_FOUND, EXIT_USAGE, WrongExpression
from nsagent.query.filter import Filter
from nsagent.query.grammar import parse_expression
from nsagent.report.columns import SOCKET_COLUMNS
from tests.cli.conftest import Run
from tests.cli.test_diff import SSHD, WEB, keep
from tests.cli.test_threads import PID, SNAPSHOT, tid  # noqa: F401 -- a fixture.
from tests.kernel.rows import FIXTURES

DOCKER = FIXTURES / "captures" / "docker.json.gz"


def ports(out: str) -> list[int]:
    return [each["local"]["port"] for each in json.loads(out)["sockets"]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sport = :22 and not dport = :50000"], [22, 22]),
        (["sport", "=", ":22", "and", "not", "dport", "=", ":50000"], [22, 22]),
        (["state = syn_recv or comm = dhclient"], [68, 443]),
        (["comm = 'nginx: w) R 1'"], [80, 80]),
        (["src [2001:db8::]:443"], []),
        (["src [2001:db8::/32]:443"], [443]),
        (["addr 10.0.0.1"], [80]),
        (["owner = none and netns = host"], [22, 50001]),
        (["state listening", "--netns", "host"], [22, 22]),
        (["--local", "::1,2001:db8::/32"], [8080, 443]),
        (["--remote", "10/8"], [80]),
        (["--remote", "10.0.0.0/8", "--remote", "2001:db8::2"], [80, 443]),
        (["--local", "127.0.0.1", "dport = 22"], [50001]),
        (["pid = 201 and container = c0ffee"], [80, 80]),
        (["autobound"], [50001]),
    ],
)
def test_an_expression_and_options_select_the_rows_that_meet_all_of_them(
    on_node: Run, words: list[str], expected: list[int]
) -> None:
    ran = on_node("scan", "-o", "json", *words)
    assert (ran.status, ports(ran.out)) == (0, expected)


def test_services_have_the_names_that_this_host_knows(on_node: Run) -> None:
    ran = on_node("scan", "-o", "json", "sport = :ssh")
    try:
        socket.getservbyname("ssh")
    except OSError:  # This host knows none.
        assert ran.status == EXIT_USAGE
    else:
        assert ports(ran.out) == [22, 22, 22]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["sport = :22 and"],
            ["expected a condition like sport = :443; got the end", "  sport = :22 and", f"  {' ' * 15}^"],
        ),
        (
            ["sport", "=", "nosuch"],
            [
                "expected a port from 0 to 65535 or the name of a service, got 'nosuch'",
                "  sport = nosuch",
                "          ^",
            ],
        ),
        ([""], ["expected a condition like sport = :443; got the end", "  ", "  ^"]),
        (
            ["comm = a\x1b[31m )"],
            [
                "expected one of a condition like sport = :443, and, or, the end; got ')'",
                "  comm = a\\x1b[31m )",
                "                   ^",
            ],
        ),
    ],
)
def test_what_is_wrong_with_one_is_a_line_and_a_caret_below_the_place(
    run_cli: Run, words: list[str], lines: list[str]
) -> None:
    ran = run_cli("scan", "--from", DOCKER, *words)
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert ran.err.splitlines() == [f"nsagent: filter: {lines[0]}", *lines[1:]]


def test_of_a_long_one_the_part_around_the_place_is_shown(run_cli: Run) -> None:
    ran = run_cli("scan", "--from", DOCKER, "sport = 1 or " * 1000 + "x " + "and sport = 2 " * 100)
    assert [len(line) < 300 for line in ran.err.splitlines()] == [True] * 3
    assert run_cli("scan", "--from", DOCKER, "(" * (1 << 16)).err.count("\n") == 3


@pytest.mark.parametrize(
    ("text", "position", "lines"),
    [
        ("a b", 2, ["  a b", "    ^"]),
        ("ü日 b", 3, ["  ü日 b", "      ^"]),
        ("x" * 100, 80, [f"  ...{'x' * 80}", f"  {' ' * 63}^"]),
        ("x" * 100, 10, [f"  {'x' * 70}...", f"  {' ' * 10}^"]),
    ],
)
def test_the_caret_stands_below_the_place_on_a_terminal(text: str, position: int, lines: list[str]) -> None:
    assert point_at(WrongExpression("", text, position)) == lines


def test_a_name_that_nothing_has_ends_with_4(run_cli: Run) -> None:
    ran = run_cli("scan", "--from", DOCKER, "sport = 80 or container = wep")
    assert (ran.status, ran.out) == (EXIT_NOT_FOUND, "")
    assert ran.err.startswith("nsagent: no container 'wep'; near names: web")


@pytest.mark.parametrize("text", ["pid = 1", "not comm = x", "sport = 1 or unit = x", "owner = none"])
def test_who_holds_a_socket_is_not_asked_where_nobody_is_looked_for(on_node: Run, text: str) -> None:
    ran = on_node("scan", "--owners", "container", text)
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert ran.err.startswith("nsagent: pid, comm, unit and owner of an expression: with --owners container nobody")


def test_a_protocol_that_is_named_is_read(on_node: Run) -> None:
    ran = on_node("scan", "-o", "json", "not proto = tcp,raw")
    assert json.loads(ran.out)["coverage"]["protocols"] == ["raw", "tcp", "udp"]
    assert ports(ran.out) == [68]


@pytest.mark.parametrize("word", ["pid = {}", "not netns = /proc/{}/ns/net"])
def test_a_thread_in_an_expression_goes_for_its_process(tid: int, word: str) -> None:  # noqa: F811
    wanted = Filter(expression=parse_expression(word.format(tid)))
    named = name_processes(wanted, SNAPSHOT, Source())
    inode = Path("/proc/self/ns/net").stat().st_ino
    expected = f"not netns = {inode}" if "netns" in word else f"pid = {PID}"
    assert named == Filter(expression=parse_expression(expected))


def test_diff_tells_of_what_meets_its_filter(run_cli: Run, tmp_path: Path) -> None:
    before, after = (
        keep(tmp_path / "before", {22: SSHD}),
        keep(tmp_path / "after", {22: SSHD, 80: WEB, 81: SSHD}, minute=1),
    )

    def changed(expression: str) -> list[str]:
        out = run_cli(
            "diff", before, after, "--filter", expression, "-o", "csv", "--columns", "local", "--no-headers"
        ).out
        return out.replace('"', "").split()

    assert changed("sport < 81") == ["0.0.0.0:80"]
    assert changed("container = c0ffee") == ["0.0.0.0:80"], "known to the later one alone"
    assert changed("not container = c0ffee") == ["0.0.0.0:81"]
    assert changed("comm = sshd and sport > 22") == ["0.0.0.0:81"]
    ran = run_cli("diff", before, after, "--filter", "container = nosuch")
    assert (ran.status, ran.out) == (EXIT_NOT_FOUND, "")
    ran = run_cli("diff", before, after, "--filter", "sport = ")
    assert (ran.status, ran.err.splitlines()[-1]) == (EXIT_USAGE, "          ^")


@pytest.mark.parametrize("name", [column.name for column in SOCKET_COLUMNS if column.name != "argv"])
def test_sockets_are_counted_by_any_column(on_node: Run, name: str) -> None:
    counts = json.loads(on_node("scan", "-o", "json", "--count-by", name).out)["counts"]
    assert sum(each["count"] for each in counts) == 9
    assert {tuple(each) for each in counts} == {(name, "count")}


def test_sockets_are_counted_by_the_command_lines_of_their_owners(run_cli: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = run_cli(
            "scan", "--runtime", "none", "-o", "json", "--count-by", "argv", f"pid = {PID} and sport = {port}"
        )
    [counted] = json.loads(ran.out)["counts"]
    assert counted["count"] == 1
    [first, *_] = Path("/proc/self/cmdline").read_text().split("\0")
    assert counted["argv"].startswith(first)
