"""`nsagent diff A [B]`: two captures, or one and this host."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from nsagent.errors import EXIT_FAILED, EXIT_FOUND, EXIT_NOT_FOUND, EXIT_PARTIAL, EXIT_USAGE
from nsagent.model.facts import ProcessReading
from nsagent.scan.capture import encode_capture
from tests.cli.conftest import Run, run_with_stdin
from tests.kernel.diag_message import make_message
from tests.scan.facts import WEB_CGROUP, diag_table, facts, netns, reading

NOW_NS = 1_767_323_045 * 10**9
LISTEN = 10


def keep(
    path: Path,
    ports: Mapping[int, ProcessReading],
    *,
    minute: int = 0,
    boot_id: str = "boot",
    host: str = "node-1",
    denied: bool = False,
) -> Path:
    """A capture of a host on which these processes listen."""
    rows = b"".join(
        make_message(
            state=LISTEN, local=bytes(4), remote=bytes(4), local_port=port, remote_port=0, cookie=port, inode=port
        )
        for port in ports
    )
    processes = [each._replace(socket_fds=((3, port),)) for port, each in ports.items()]  # type: ignore[arg-type]
    kept = facts([*processes, reading(1)], [netns(diag_table(rows), is_host=True)])
    counts = kept.process_counts
    if denied:
        counts = replace(counts, ok=counts.ok - 1, denied=1)
    kept = kept._replace(boot_id=boot_id, host=host, taken_at_ns=NOW_NS + minute * 60 * 10**9, process_counts=counts)
    path.write_bytes(encode_capture(kept))
    return path


WEB, SSHD = reading(10, comm="httpd", cgroup=WEB_CGROUP), reading(20, comm="sshd")


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return keep(tmp_path / "before", {22: SSHD})


@pytest.fixture
def after(tmp_path: Path) -> Path:
    return keep(tmp_path / "after", {22: SSHD, 80: WEB}, minute=1)


def test_a_new_listener_is_shown(run_cli: Run, before: Path, after: Path) -> None:
    ran = run_cli("diff", before, after)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (
        "CHANGE          NETNS  PROTO  STATE   LOCAL       REMOTE     PID  COMMAND  CONTAINER     POD\n"
        "container_come  -      -      -       -           -          -    -        c0ffee000000  -\n"
        "new_listener    host   tcp    listen  0.0.0.0:80  0.0.0.0:*  10   httpd    c0ffee000000  -\n"
    )


def test_the_document_says_from_when_to_when(run_cli: Run, before: Path, after: Path) -> None:
    document = json.loads(run_cli("diff", before, after, "-o", "json").out)
    assert (document["host"], document["from"], document["to"]) == (
        "node-1",
        "2026-01-02T03:04:05.000Z",
        "2026-01-02T03:05:05.000Z",
    )


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (["new-listener"], EXIT_FOUND),
        (["NEW_LISTENER"], EXIT_FOUND),
        (["opened,listener-gone"], 0),
        (["opened", "--fail-on", "container-come"], EXIT_FOUND),
    ],
)
def test_a_change_that_is_failed_on_is_status_5(
    run_cli: Run, before: Path, after: Path, kinds: list[str], status: int
) -> None:
    ran = run_cli("diff", before, after, "--fail-on", *kinds)
    assert (ran.status, "new_listener" in ran.out) == (status, True)


def test_a_change_of_another_container_is_not_failed_on(run_cli: Run, before: Path, after: Path) -> None:
    assert run_cli("diff", before, after, "-c", "c0ffee", "--fail-on", "new_listener").status == EXIT_FOUND
    ran = run_cli("diff", before, after, "--port", "22", "--fail-on", "new_listener", "--no-headers")
    assert (ran.status, ran.out) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "status", "essentials"),
    [
        (["--fail-on", "new-lisener"], EXIT_USAGE, "did you mean new_listener?"),
        (["-c", "nosuch"], EXIT_NOT_FOUND, "no container 'nosuch'"),
        (["--columns", "nosuch"], EXIT_USAGE, "no column 'nosuch'"),
        (["-o", "name"], EXIT_USAGE, "--output: name has nothing to say of changes"),
    ],
)
def test_a_mistake_is_one_line(
    run_cli: Run, before: Path, after: Path, arguments: list[str], status: int, essentials: str
) -> None:
    ran = run_cli("diff", before, after, *arguments)
    assert (ran.status, ran.out, ran.err.count("\n")) == (status, "", 1)
    assert essentials in ran.err


def test_a_capture_that_is_none_is_an_error(run_cli: Run, before: Path, tmp_path: Path) -> None:
    ran = run_cli("diff", before, tmp_path / "nosuch")
    assert (ran.status, ran.err) == (
        EXIT_FAILED,
        f"nsagent: {tmp_path}/nosuch: cannot be read: No such file or directory\n",
    )


@pytest.mark.parametrize("first", [True, False])
def test_either_one_may_come_from_stdin(run_cli: Run, before: Path, after: Path, *, first: bool) -> None:
    arguments, through = (["-", str(after)], before) if first else ([str(before), "-"], after)
    ran = run_with_stdin("diff", *arguments, data=through.read_bytes())
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.decode() == run_cli("diff", before, after).out


def test_both_cannot_come_from_stdin(run_cli: Run) -> None:
    ran = run_cli("diff", "-", "-")
    assert (ran.status, ran.err) == (EXIT_USAGE, "nsagent: A, B: only one of them can be read from stdin\n")


def test_what_makes_two_captures_hard_to_compare_is_told(run_cli: Run, before: Path, tmp_path: Path) -> None:
    other = keep(tmp_path / "other", {22: SSHD}, minute=-1, boot_id="next", host="node-2")
    assert run_cli("diff", before, other).err == (
        f"nsagent: {before} is of host node-1, {other} of host node-2\n"
        f"nsagent: {before} is later than {other}: 2026-01-02T03:04:05.000Z, 2026-01-02T03:03:05.000Z\n"
        f"nsagent: {before} and {other} are of two boots: no socket is the same, listeners are told by where they are\n"
    )


def test_a_pass_that_was_not_complete_is_told_and_is_status_3_if_strict(
    run_cli: Run, before: Path, tmp_path: Path
) -> None:
    partial = keep(tmp_path / "partial", {22: SSHD}, minute=1, denied=True)
    ran = run_cli("diff", before, partial)
    assert ran.status == 0
    assert ran.err.startswith(f"nsagent: {partial}: ")
    assert run_cli("diff", before, partial, "--strict").status == EXIT_PARTIAL
    assert run_cli("diff", partial, before, "--strict").status == EXIT_PARTIAL


def test_one_capture_is_compared_with_this_host(on_node: Run, node_capture: Path, tmp_path: Path) -> None:
    """Which is the very node that the capture is of."""
    ran = on_node("diff", node_capture, "--no-headers")
    assert (ran.status, ran.out) == (0, "")
    other = keep(tmp_path / "other", {22: SSHD})
    assert "new_listener" in on_node("diff", other).out
