"""Directories that are held open, and who may have a hand in what is written there."""

import fcntl
import os
from pathlib import Path

import pytest

from nsagent.errors import PathRefused
from nsagent.scan.held_directory import (
    check_own,
    check_unshared,
    hold_directory,
    open_listing,
    remove_unfinished,
    replace_file,
)
from tests.live.capabilities import Capability, require

NOBODY = 65534


def refusal(path: Path) -> str | None:
    """Why a file may not be written in that directory, None where it may."""
    try:
        with hold_directory(path, guarded=True):
            return None
    except PathRefused as err:
        return str(err)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "middle" / "inner").mkdir(parents=True)
    return tmp_path / "middle" / "inner"


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_directory_on_the_way_that_others_may_write_is_refused(directory: Path, mode: int) -> None:
    directory.parent.chmod(mode)
    assert refusal(directory) == f"others may write in middle on its way (mode {mode:04o})"


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1777])
def test_a_directory_in_which_nobody_can_replace_what_is_ours_is_held(directory: Path, mode: int) -> None:
    directory.chmod(mode)
    assert refusal(directory) is None


def test_a_directory_of_another_user_is_refused(directory: Path) -> None:
    require(Capability.ROOT)
    os.chown(directory, NOBODY, 0)
    assert refusal(directory) == f"inner on its way belongs to uid {NOBODY}"


@pytest.mark.parametrize(("mode", "is_refused"), [(0o700, False), (0o755, False), (0o1777, True), (0o770, True)])
def test_a_sticky_bit_keeps_nobody_from_making_files(directory: Path, mode: int, is_refused: bool) -> None:
    directory.chmod(mode)
    with hold_directory(directory) as held:
        listing = open_listing(held)
    expected = f"others may write in it (mode {mode:04o}, uid {os.geteuid()})" if is_refused else None
    try:
        check_unshared(listing)
        told = None
    except PathRefused as err:
        told = str(err)
    finally:
        os.close(listing)
    assert told == expected


def test_a_file_is_written_with_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        with hold_directory(tmp_path) as held:
            replace_file("report", held, b"text", 0o640)
    finally:
        os.umask(before)
    assert ((tmp_path / "report").read_bytes(), (tmp_path / "report").stat().st_mode & 0o7777) == (b"text", 0o640)


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    require(Capability.ROOT)
    left, held_by_another, foreign, fifo, link = (f".nsagent-{number:016x}" for number in range(5))
    for name in (left, held_by_another, foreign, "report", ".nsagent-x"):
        (tmp_path / name).write_bytes(b"")
    os.chown(tmp_path / foreign, NOBODY, 0)
    os.mkfifo(tmp_path / fifo)
    (tmp_path / link).symlink_to("report")
    with open(tmp_path / held_by_another, "rb") as writer, hold_directory(tmp_path) as held:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert remove_unfinished(held) == 1
    assert {each.name for each in tmp_path.iterdir()} == {
        held_by_another, foreign, fifo, link, "report", ".nsagent-x"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("link", "it is a symbolic link"),
        ("fifo", "it is no regular file"),
        ("directory", "it is no regular file"),
        ("foreign", f"it belongs to uid {NOBODY}"),
        ("twice", "it has a second name (hard link)"),
    ],
)
def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, kind: str, told: str) -> None:
    path = tmp_path / "report"
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"")
    if kind == "foreign":
        require(Capability.ROOT)
        os.chown(path, NOBODY, 0)
    elif kind == "twice":
        os.link(path, tmp_path / "second")
    with hold_directory(tmp_path) as held, pytest.raises(PathRefused) as refused:
        check_own("report", held)
    assert str(refused.value) == told
