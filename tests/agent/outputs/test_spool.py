"""The spool: what is put in comes out in order, whatever happens to the files and to whoever uses them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nsagent.agent.outputs.report import WrittenReport
from nsagent.agent.outputs.spool import Spool, decode_record, encode_record
from nsagent.errors import PathRefused
from tests.agent.outputs.reports import make_report
from tests.live.capabilities import Capability, require

PLENTY = 1 << 20
RECORD_BYTES = len(encode_record(make_report()))


@contextmanager
def opened(path: Path, most_bytes: int = PLENTY, most_files: int = 1000) -> Iterator[Spool]:
    spool = Spool(str(path), most_bytes, max_files=most_files)
    try:
        yield spool
    finally:
        spool.close()


def take_all(spool: Spool) -> list[WrittenReport | None]:
    """All of it, oldest first; None is a damaged one."""
    taken = []
    while found := spool.first():
        taken.append(found[1])
        spool.remove(found[0])
    return taken


def refusal(path: Path) -> str:
    with pytest.raises(PathRefused) as refused, opened(path):
        pass
    return str(refused.value)


def files(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def test_reports_come_out_as_they_went_in_also_after_a_restart(tmp_path: Path) -> None:
    reports = [make_report(number, b"\x00\n\xff" * number) for number in range(12)]
    with opened(tmp_path / "spool") as spool:
        assert [spool.append(report) for report in reports[:6]] == [0] * 6
    with opened(tmp_path / "spool") as spool:
        for report in reports[6:]:
            spool.append(report)
        assert len(spool) == 12
        assert take_all(spool) == reports
    assert files(tmp_path / "spool") == []


def test_its_directory_and_files_are_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with opened(path) as spool:
        spool.append(make_report())
    assert [each.stat().st_mode & 0o7777 for each in (path, *path.iterdir())] == [0o700, 0o600]


@pytest.mark.parametrize("bounds", [{"most_bytes": 3 * RECORD_BYTES}, {"most_files": 3}])
def test_the_oldest_go_where_there_are_too_many(tmp_path: Path, bounds: dict[str, int]) -> None:
    with opened(tmp_path / "spool", **bounds) as spool:
        assert [spool.append(make_report(number)) for number in range(1, 6)] == [0, 0, 0, 1, 1]
        assert len(files(tmp_path / "spool")) == 3
        assert take_all(spool) == [make_report(number) for number in (3, 4, 5)]


def test_a_spool_that_was_made_smaller_is_trimmed_by_the_next_report(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        for number in range(5):
            spool.append(make_report(number))
    with opened(tmp_path / "spool", 2 * RECORD_BYTES) as spool:
        assert spool.append(make_report(5)) == 4


def test_a_second_agent_is_refused_until_the_first_one_ends(tmp_path: Path) -> None:
    with opened(tmp_path / "spool"):
        assert refusal(tmp_path / "spool") == "another agent uses it"
    with opened(tmp_path / "spool"):
        pass


@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "link"])
def test_a_directory_with_anything_else_in_it_is_refused_and_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    (tmp_path / f".nsagent-{1:016x}").write_bytes(b"")
    other = tmp_path / "precious"
    if kind == "file":
        other.write_bytes(b"text")
    elif kind == "directory":
        other.mkdir()
    elif kind == "fifo":
        os.mkfifo(other)
    else:
        other.symlink_to("/etc")
    before = files(tmp_path)
    assert refusal(tmp_path) == "it holds 'precious', which is none of its own"
    assert files(tmp_path) == before


def test_a_link_by_the_name_of_a_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{1:016}.report").symlink_to("/etc/passwd")
    assert refusal(tmp_path) == f"{1:016}.report in it: it is no regular file"


@pytest.mark.parametrize("mode", [0o1777, 0o770, 0o702])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(mode)
    assert "others may write in" in refusal(tmp_path / "spool")


def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    require(Capability.ROOT)
    (tmp_path / "spool").mkdir()
    os.chown(tmp_path / "spool", 65534, 65534)
    assert refusal(tmp_path / "spool") == "spool on its way belongs to uid 65534"


def test_a_start_removes_what_a_killed_writer_left(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        spool.append(make_report())
    (tmp_path / "spool" / f".nsagent-{1:016x}").write_bytes(encode_record(make_report(2))[:-5])
    with opened(tmp_path / "spool") as spool:
        assert take_all(spool) == [make_report()]
    assert files(tmp_path / "spool") == []


def test_a_record_that_was_cut_or_is_gone_is_told_and_the_others_come_out(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with opened(path) as spool:
        for number in range(4):
            spool.append(make_report(number))
        with open(path / files(path)[1], "r+b") as record:
            record.truncate(RECORD_BYTES - 1)
        (path / files(path)[2]).unlink()
        assert take_all(spool) == [make_report(0), None, None, make_report(3)]
        assert (len(spool), files(path)) == (0, [])


def test_every_damaged_byte_of_a_record_is_seen() -> None:
    record = encode_record(make_report())
    assert decode_record(record) == make_report()
    for at in range(len(record)):
        for damaged in (record[:at], record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :], record + record[:at]):
            assert decode_record(damaged) is None or damaged == record


def test_a_directory_that_was_removed_takes_no_report(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        (tmp_path / "spool").rmdir()
        with pytest.raises(FileNotFoundError):
            spool.append(make_report())
        assert len(spool) == 0
