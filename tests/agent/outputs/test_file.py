"""Reports in files: whole or not at all, whatever stands at the path, and however the last one ended."""

import os
import resource
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nsagent.agent.outputs import open_output
from nsagent.agent.outputs.report import Out
from nsagent.agent.outputs.stdout import Stdout
from nsagent.agent.status import OutputStatus
from nsagent.config.model import FileOutput, Output, TextfileOutput
from nsagent.errors import OutputFailed
from tests.agent.outputs.reports import make_report

Open = Callable[[Output], Out]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def open_(told: list[str]) -> Open:
    return lambda config: open_output(config, stdout=Stdout(None), tell=told.append)


def whole(path: Path) -> FileOutput:
    return FileOutput.model_validate({"type": "file", "path": str(path)})


def appended(path: Path, most: str = "1MiB", keep: int = 5) -> FileOutput:
    return FileOutput.model_validate({"type": "file", "path": str(path), "max_size": most, "keep": keep})


def texts(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def failure(out: Out, data: bytes = b"new\n") -> str:
    with pytest.raises(OutputFailed) as failed:
        out.write(make_report(data=data))
    return str(failed.value)


@contextmanager
def file_size_limit(most_bytes: int) -> Iterator[None]:
    """A file system on which no file gets longer: write(2) is EFBIG there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_each_report_replaces_the_one_before(tmp_path: Path, open_: Open) -> None:
    out = open_(whole(tmp_path / "report"))
    for number in (1, 2):
        out.write(make_report(number))
    assert texts(tmp_path) == {"report": b'{"number": 2}\n'}
    assert stat.S_IMODE((tmp_path / "report").stat().st_mode) == 0o640
    assert out.status() == OutputStatus(f"file {tmp_path / 'report'}", written=2)


def test_a_textfile_may_be_read_by_its_collector(tmp_path: Path, open_: Open) -> None:
    out = open_(TextfileOutput(type="textfile", path=str(tmp_path / "nsagent.prom")))
    out.write(make_report(data=b"up 1\n"))
    assert texts(tmp_path) == {"nsagent.prom": b"up 1\n"}
    assert stat.S_IMODE((tmp_path / "nsagent.prom").stat().st_mode) == 0o644
    assert out.status() == OutputStatus(f"textfile {tmp_path / 'nsagent.prom'}", written=1)


def test_a_reader_of_the_old_report_keeps_it_whole(tmp_path: Path, open_: Open) -> None:
    out = open_(whole(tmp_path / "report"))
    out.write(make_report(1))
    with open(tmp_path / "report", "rb") as reader:
        out.write(make_report(2, b"short\n"))
        assert reader.read() == b'{"number": 1}\n'


def test_reports_are_appended(tmp_path: Path, open_: Open) -> None:
    out = open_(appended(tmp_path / "report"))
    for number in (1, 2):
        out.write(make_report(number))
    assert texts(tmp_path) == {"report": b'{"number": 1}\n{"number": 2}\n'}
    assert stat.S_IMODE((tmp_path / "report").stat().st_mode) == 0o640


def test_the_mode_of_a_file_is_not_the_umask_s(tmp_path: Path, open_: Open) -> None:
    before = os.umask(0o777)
    try:
        open_(appended(tmp_path / "report")).write(make_report())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report").stat().st_mode) == 0o640


def test_a_text_without_a_last_newline_gets_one(tmp_path: Path, open_: Open, told: list[str]) -> None:
    out = open_(appended(tmp_path / "report"))
    out.write(make_report(data=b"a"))
    out.write(make_report(data=b"b"))
    assert (texts(tmp_path), told) == ({"report": b"a\nb\n"}, [])


def test_a_file_that_would_be_too_large_is_rotated_and_the_oldest_goes(tmp_path: Path, open_: Open) -> None:
    out = open_(appended(tmp_path / "report", "10B", keep=2))
    for text in (b"one\n", b"two\n", b"three\n", b"four\n", b"five\n", b"six\n", b"seven\n"):
        out.write(make_report(data=text))
    assert texts(tmp_path) == {"report": b"six\nseven\n", "report.1": b"four\nfive\n", "report.2": b"three\n"}


def test_a_report_larger_than_a_file_may_be_is_alone_in_one(tmp_path: Path, open_: Open) -> None:
    out = open_(appended(tmp_path / "report", "10B"))
    for text in (b"one\n", b"a very long one\n", b"two\n"):
        out.write(make_report(data=text))
    assert texts(tmp_path) == {"report": b"two\n", "report.1": b"a very long one\n", "report.2": b"one\n"}


def test_a_rotation_that_was_cut_short_costs_no_file(tmp_path: Path, open_: Open) -> None:
    """A kill between two renames leaves a number free."""
    for name in ("report", "report.2", "report.3"):
        (tmp_path / name).write_text(f"{name}\n")
    open_(appended(tmp_path / "report", "8B", keep=3)).write(make_report(data=b"new\n"))
    assert texts(tmp_path) == {
        "report": b"new\n", "report.1": b"report\n", "report.2": b"report.2\n", "report.3": b"report.3\n"
    }  # fmt: skip


def test_a_rotation_moves_nothing_that_is_not_ours(tmp_path: Path, open_: Open) -> None:
    (tmp_path / "report").write_bytes(b"0123456789")
    os.mkfifo(tmp_path / "report.1")
    out = open_(appended(tmp_path / "report", "10B", keep=1))
    assert failure(out) == f"{tmp_path / 'report'}: cannot be written: it is no regular file"
    assert stat.S_ISFIFO((tmp_path / "report.1").stat().st_mode)
    assert (tmp_path / "report").read_bytes() == b"0123456789"


def test_a_line_that_a_kill_cut_off_is_ended_before_the_next_report(
    tmp_path: Path, open_: Open, told: list[str]
) -> None:
    path = tmp_path / "report"
    path.write_bytes(b'{"number": 1}\n{"num')
    open_(appended(path)).write(make_report(3))
    assert path.read_bytes() == b'{"number": 1}\n{"num\n{"number": 3}\n'
    assert told == [f"{path}: its last line was cut off, as by a kill; it is ended where it is"]


@pytest.mark.parametrize("config", [whole, appended], ids=["whole", "appended"])
def test_a_file_that_others_moved_away_is_made_anew(
    tmp_path: Path, open_: Open, config: Callable[[Path], FileOutput]
) -> None:
    out = open_(config(tmp_path / "report"))
    out.write(make_report(1))
    (tmp_path / "report").rename(tmp_path / "rotated")
    out.write(make_report(2))
    assert texts(tmp_path) == {"rotated": b'{"number": 1}\n', "report": b'{"number": 2}\n'}


@pytest.mark.parametrize("config", [whole, appended], ids=["whole", "appended"])
def test_a_directory_that_is_gone_is_told_and_may_come_back(
    tmp_path: Path, open_: Open, config: Callable[[Path], FileOutput]
) -> None:
    path = tmp_path / "directory" / "report"
    out = open_(config(path))
    error = f"{path}: cannot be written: No such file or directory"
    assert failure(out) == error
    assert out.status() == OutputStatus(f"file {path}", failed=1, error=error)
    path.parent.mkdir()
    out.write(make_report())
    assert out.status() == OutputStatus(f"file {path}", written=1, failed=1)


@pytest.mark.parametrize("config", [whole, appended], ids=["whole", "appended"])
@pytest.mark.parametrize("kind", ["fifo", "link", "directory", "socket"])
def test_what_is_no_file_at_the_path_is_refused_and_stays(
    tmp_path: Path, open_: Open, kind: str, config: Callable[[Path], FileOutput]
) -> None:
    """Neither waits for the other end of a FIFO, nor writes where a link leads."""
    path, target = tmp_path / "report", tmp_path / "target"
    target.write_bytes(b"precious")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(target)
    elif kind == "directory":
        path.mkdir()
    else:
        os.mknod(path, stat.S_IFSOCK | 0o600)
    before = path.lstat()
    told = "it is a symbolic link" if kind == "link" else "it is no regular file"
    assert failure(open_(config(path))) == f"{path}: cannot be written: {told}"
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("config", [whole, appended], ids=["whole", "appended"])
def test_nothing_is_written_where_others_may_write(
    tmp_path: Path, open_: Open, config: Callable[[Path], FileOutput]
) -> None:
    tmp_path.chmod(0o770)
    path = tmp_path / "report"
    told = f"{path}: cannot be written: others may write in {tmp_path.name} on its way (mode 0770)"
    assert failure(open_(config(path))) == told
    assert texts(tmp_path) == {}


@pytest.mark.parametrize("config", [whole, appended], ids=["whole", "appended"])
def test_a_report_that_does_not_fit_leaves_what_was_there(
    tmp_path: Path, open_: Open, config: Callable[[Path], FileOutput]
) -> None:
    out = open_(config(tmp_path / "report"))
    out.write(make_report(data=b"old\n"))
    with file_size_limit(100):
        assert failure(out, b"x" * 1000 + b"\n") == f"{tmp_path / 'report'}: cannot be written: File too large"
    assert texts(tmp_path) == {"report": b"old\n"}
    out.write(make_report(data=b"new\n"))
    assert (tmp_path / "report").read_bytes().endswith(b"new\n")


@pytest.mark.parametrize("config", [whole, appended], ids=["whole", "appended"])
def test_a_start_removes_what_a_killed_agent_left_also_where_the_directory_comes_later(
    tmp_path: Path, open_: Open, config: Callable[[Path], FileOutput]
) -> None:
    stray = tmp_path / f".nsagent-{1:016x}"
    stray.write_bytes(b"half")
    open_(config(tmp_path / "report"))
    assert texts(tmp_path) == {}
    later = tmp_path / "later"
    out = open_(config(later / "report"))
    later.mkdir()
    (later / stray.name).write_bytes(b"half")
    out.write(make_report(data=b"new\n"))
    assert texts(later) == {"report": b"new\n"}
