"""What is asked for and a capture does not hold is said in one line each, and answered without."""

from pathlib import Path

import pytest

from nsagent.errors import EXIT_PARTIAL, EXIT_USAGE
from nsagent.model.choices import EngineName
from nsagent.model.net import Protocol
from nsagent.scan.capture import encode_capture
from tests.cli.conftest import Run
from tests.kernel.diag_message import make_message
from tests.scan.facts import diag_table, facts, netns

IDLE = make_message(state=7, remote=bytes(4), remote_port=0)
"""A socket that is bound and does nothing."""


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ([], []),
        (["--protocol", "tcp,udp"], []),
        (["--protocol", "packet,raw"], ["holds no table of raw, packet: capture it with --all"]),
        (
            ["--all"],
            ["holds no table of udplite, raw, icmp, sctp, packet, netlink, vsock: capture it with --all"],
        ),
        (["--deep"], ["holds no sockets that are bound and do nothing: capture it with --deep"]),
        (["--tcp-info"], ["holds no TCP_INFO: capture it with --tcp-info"]),
    ],
)
def test_a_capture_that_lacks_what_is_asked_for_is_named(
    run_cli: Run, node_capture: Path, arguments: list[str], lines: list[str]
) -> None:
    ran = run_cli("scan", "--from", node_capture, "-o", "name", *arguments)
    assert (ran.status, ran.err.splitlines()) == (0, [f"nsagent: {node_capture} {line}" for line in lines])


def test_a_capture_that_holds_what_is_asked_for_is_silent(run_cli: Run, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(encode_capture(facts()._replace(protocols=tuple(Protocol), deep=True)))
    assert run_cli("scan", "--from", path, "--all", "--deep", "-o", "json").err == ""


def test_a_pass_over_this_host_lacks_what_proc_does_not_tell(on_node: Run) -> None:
    assert on_node("scan", "--all", "-o", "name").err == ""
    (line,) = on_node("scan", "--tcp-info", "-o", "name").err.splitlines()
    assert line.endswith(" has no TCP_INFO of 2 of 3 netns: they were read from /proc")
    (line,) = on_node("scan", "--deep", "-o", "name").err.splitlines()
    assert line.endswith(" has no sockets that are bound and do nothing: only sock_diag tells of them, from Linux 6.8")


@pytest.mark.parametrize(
    ("release", "rows", "lines"),
    [
        ("6.8.0", b"", []),
        (
            "6.7.12-amd64",
            b"",
            ["holds no sockets that are bound and do nothing: only sock_diag tells of them, from Linux 6.8"],
        ),
        (None, b"", ["holds no sockets that are bound and do nothing: only sock_diag tells of them, from Linux 6.8"]),
        ("5.14.0-570.el9", IDLE, []),
    ],
    ids=["a kernel that tells them", "one that does not", "one that is not known", "one that was taught to"],
)
def test_a_deep_pass_over_a_kernel_that_tells_no_idle_sockets_says_so(
    run_cli: Run, tmp_path: Path, release: str | None, rows: bytes, lines: list[str]
) -> None:
    path = tmp_path / "kept"
    held = facts([], [netns(diag_table(rows), engine=EngineName.SOCK_DIAG)])
    path.write_bytes(encode_capture(held._replace(deep=True, kernel_release=release)))
    ran = run_cli("scan", "--from", path, "--deep", "-o", "name")
    assert ran.err.splitlines() == [f"nsagent: {path} {line}" for line in lines]


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--deep"], EXIT_PARTIAL)])
def test_strict_counts_what_a_capture_lacks(
    run_cli: Run, node_capture: Path, arguments: list[str], status: int
) -> None:
    assert run_cli("scan", "--from", node_capture, "--strict", *arguments).status == status


@pytest.mark.parametrize(
    "typed", [["--engine", "proc"], ["--proc-root", "/proc"], ["--runtime", "none"], ["--host-root", "/"]]
)
def test_what_says_how_a_host_is_read_is_no_use_for_a_capture(
    on_node: Run, node_capture: Path, typed: list[str]
) -> None:
    """The variables of `on_node` are left alone: they are meant for many commands."""
    assert on_node("scan", "--from", node_capture).status == 0
    ran = on_node("scan", "--from", node_capture, *typed)
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert ran.err == f"nsagent: {typed[0]}: not used with --from, which reads a capture and no host\n"
