"""`nsagent capture FILE` and `--capture FILE`."""

import os
import stat
from pathlib import Path

import pytest

from nsagent.errors import EXIT_FAILED, EXIT_USAGE
from nsagent.model.net import Protocol
from nsagent.scan.capture import decode_capture
from tests.cli.conftest import Run


def test_the_facts_of_a_pass_are_in_the_file(on_node: Run, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    assert on_node("capture", path) == (0, "", "")
    facts = decode_capture(path.read_bytes(), "kept")
    assert [reading.pid for reading in facts.processes] == [2, 100, 110, 200, 201, 300, 400, 500]


@pytest.mark.parametrize(
    ("arguments", "protocols", "deep"),
    [
        ([], {Protocol.TCP, Protocol.UDP}, False),
        (["--all"], set(Protocol), False),
        (["--deep", "--tcp-info"], {Protocol.TCP, Protocol.UDP}, True),
    ],
)
def test_a_capture_holds_what_was_asked_for(
    on_node: Run, tmp_path: Path, arguments: list[str], protocols: set[Protocol], deep: bool
) -> None:
    path = tmp_path / "kept"
    assert on_node("capture", path, *arguments).status == 0
    facts = decode_capture(path.read_bytes(), "kept")
    assert (set(facts.protocols), facts.deep) == (protocols, deep)


def test_only_its_owner_may_read_it(on_node: Run, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    on_node("capture", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_earlier_file_is_replaced_whole_and_nothing_else_is_left(on_node: Run, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"x" * 1_000_000)
    path.chmod(0o644)
    assert on_node("capture", path).status == 0
    decode_capture(path.read_bytes(), "kept")
    assert os.listdir(tmp_path) == ["kept"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_replaced_and_its_target_left_alone(on_node: Run, tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "kept"
    target.write_text("precious")
    path.symlink_to(target)
    assert on_node("capture", path).status == 0
    assert (target.read_text(), path.is_symlink()) == ("precious", False)


@pytest.mark.parametrize("name", ["nowhere/kept", "directory", "x" * 300])
def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left(on_node: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "directory").mkdir()
    ran = on_node("capture", tmp_path / name)
    assert (ran.status, ran.out) == (EXIT_FAILED, "")
    assert ran.err.startswith(f"nsagent: {tmp_path / name}: cannot be written: ")
    assert os.listdir(tmp_path) == ["directory"]


@pytest.mark.parametrize("path", ["/", ".", "..", ""])
def test_a_path_that_names_no_file_is_one_line_and_no_traceback(on_node: Run, path: str) -> None:
    ran = on_node("capture", path)
    assert ran.status in (EXIT_FAILED, EXIT_USAGE)
    assert ran.out == ""


def test_a_scan_that_is_answered_from_a_file_may_keep_it_again(
    on_node: Run, node_capture: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    assert on_node("scan", "--from", node_capture, "--capture", copy).status == 0
    assert decode_capture(copy.read_bytes(), "") == decode_capture(node_capture.read_bytes(), "")


def test_a_capture_needs_a_file(on_node: Run) -> None:
    assert on_node("capture").status == EXIT_USAGE


def test_no_device_or_fifo_is_replaced(on_node: Run, tmp_path: Path) -> None:
    """As root a capture to /dev/null would take it away from the whole machine."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    ran = on_node("capture", path)
    assert (ran.status, ran.err) == (EXIT_FAILED, f"nsagent: {path}: cannot be written: it is no regular file\n")
    assert stat.S_ISFIFO(path.lstat().st_mode)
