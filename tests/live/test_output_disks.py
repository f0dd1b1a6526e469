"""Reports on disks that are full, read-only or gone for a while: the old ones stay, and the next is written."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nsagent.agent.outputs import open_output
from nsagent.agent.outputs.report import Out
from nsagent.agent.outputs.stdout import Stdout
from nsagent.config.model import FileOutput, HttpOutput, TextfileOutput
from nsagent.errors import OutputFailed
from tests.agent.outputs.receiver import answer, receiving
from tests.agent.outputs.reports import make_report
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until

DISK_BYTES = 64 << 10
OLD = b"old\n" * 100
KINDS = ("whole", "appended", "textfile")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    require(Capability.ROOT, Capability.SETPRIV)
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "disk", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def open_kind(kind: str, directory: Path) -> tuple[Out, Path]:
    path = directory / ("report.prom" if kind == "textfile" else "report")
    config = {"type": "textfile" if kind == "textfile" else "file", "path": str(path)}
    if kind == "appended":
        config["max_size"] = "1MiB"
    model = TextfileOutput if kind == "textfile" else FileOutput
    return open_output(model.model_validate(config), stdout=Stdout(None), tell=pytest.fail), path


def failure(out: Out, data: bytes) -> str:
    with pytest.raises(OutputFailed) as failed:
        out.write(make_report(data=data))
    return str(failed.value)


def fill(disk: Path) -> None:
    with open(disk / "filler", "wb", buffering=0) as filler, suppress(OSError):
        while filler.write(b"x" * 512):
            pass


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_costs_the_new_report_only(disk: Path, kind: str) -> None:
    out, path = open_kind(kind, disk)
    out.write(make_report(data=OLD))
    fill(disk)
    assert failure(out, b"new\n" * 2000) == f"{path}: cannot be written: No space left on device"
    assert (path.read_bytes(), sorted(os.listdir(disk))) == (OLD, sorted(("filler", path.name)))
    (disk / "filler").unlink()
    out.write(make_report(data=b"new\n"))
    assert path.read_bytes() == (OLD if kind == "appended" else b"") + b"new\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_read_only_disk_is_told_and_written_when_it_is_well_again(disk: Path, kind: str) -> None:
    out, path = open_kind(kind, disk)
    out.write(make_report(data=OLD))
    remount(disk, "ro")
    assert failure(out, b"new\n") == f"{path}: cannot be written: Read-only file system"
    assert path.read_bytes() == OLD
    remount(disk, "rw")
    out.write(make_report(data=b"new\n"))
    assert path.read_bytes() == (OLD if kind == "appended" else b"") + b"new\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_is_unmounted_under_us_and_comes_back_is_used_again(disk: Path, kind: str) -> None:
    """The directory is not held between two reports: it can be unmounted."""
    out, path = open_kind(kind, disk / "reports")
    (disk / "reports").mkdir()
    out.write(make_report(data=OLD))
    subprocess.run(["umount", disk], check=True)
    assert failure(out, b"lost\n") == f"{path}: cannot be written: No such file or directory"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "disk", disk], check=True)
    (disk / "reports").mkdir()
    out.write(make_report(data=b"new\n"))
    assert path.read_bytes() == b"new\n"


def make_read_only(disk: Path) -> None:
    remount(disk, "ro")


def make_well(disk: Path) -> None:
    remount(disk, "rw")
    (disk / "filler").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("harm", "told"), [(fill, "No space left on device"), (make_read_only, "Read-only file system")]
)
def test_a_spool_that_takes_no_more_loses_nothing_and_keeps_the_order(
    disk: Path, harm: Callable[[Path], None], told: str
) -> None:
    lines: list[str] = []
    refuse = True

    def behave(handler: object) -> None:
        answer(503 if refuse else 200)(handler)  # type: ignore[arg-type]

    with receiving(behave) as receiver:
        config = {"type": "http", "url": receiver.url, "spool": {"path": str(disk / "spool"), "max_size": "1MiB"}}
        out = open_output(HttpOutput.model_validate(config), stdout=Stdout(None), tell=lines.append)
        reports = [make_report(number, b"%d\n" % number * 2000) for number in range(1, 7)]
        for report in reports[:2]:
            out.write(report)
        harm(disk)
        for report in reports[2:4]:
            out.write(report)
        assert f"{receiver.url}: spool: cannot be written: {told}; reports wait in memory" in lines
        make_well(disk)
        refuse = False
        for report in reports[4:]:
            out.write(report)
        until(lambda: out.status().written == len(reports), "all are taken")
        taken = [posted.body for posted in receiver.wait_for(len(reports))][-len(reports) :]
        assert taken == [report.data for report in reports]
        out.close(1.0)
    assert os.listdir(disk / "spool") == []
