"""What the look-up child reads of a process: each kind of question, answered in this process, about it or a child."""

import hashlib
import mmap
import os
import socket
import sys
from collections.abc import Iterator
from errno import EIO, ELOOP, ENOENT
from pathlib import Path

import pytest

from nsagent.errors import Gone
from nsagent.kernel import questions
from nsagent.kernel.formats.pid_maps import parse_maps
from nsagent.kernel.lookup_child import ANSWER, MOST_INLINE_BYTES, QUESTION, receive, send
from nsagent.kernel.lookup_process import MOST_HASHED_BYTES, READS
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.questions import HASHED, LinkedFile, Question, ask_below, ask_file, ask_image, ask_links, ask_memory
from nsagent.model.ids import Pid
from nsagent.model.process_details import FileStatus, Mapping
from tests.kernel.children import start_child
from tests.kernel.test_lookups import serve_here


@pytest.fixture
def own_directory() -> Iterator[int]:
    """An fd on the /proc/PID directory of this process."""
    with ProcFs().open_process(Pid(os.getpid())) as process:
        yield process.fileno()


def answer(process: int, question: Question) -> bytes:
    """What the child would read."""
    return READS[question.what[:1]](process, question.number, question.what[1:])


def tell_status(path: str | Path) -> FileStatus:
    """As stat(2) has it."""
    found = os.stat(path)
    return FileStatus(found.st_mode, found.st_dev, found.st_ino, found.st_nlink, found.st_size, found.st_mtime_ns)


def test_a_file_comes_whole_or_cut_behind_one_byte_more(own_directory: int) -> None:
    with open("/proc/self/cmdline", "rb") as file:
        whole = file.read()
    assert answer(own_directory, ask_file("cmdline", len(whole))) == whole
    assert answer(own_directory, ask_file("cmdline", 3)) == whole[:4]
    with pytest.raises(FileNotFoundError):
        answer(own_directory, ask_file("no-such-file", 3))


def test_links_are_told_with_what_is_behind_them_and_one_that_is_gone_alone(own_directory: int, tmp_path: Path) -> None:
    path = tmp_path / "held"
    path.write_bytes(b"x" * 77)
    with path.open("rb") as file:
        name = f"fd/{file.fileno()}"
        told = list(questions.decode_links(answer(own_directory, ask_links([name, "fd/999999", "exe"]))))
    assert told[0] == LinkedFile(tell_status(path), str(path))
    assert isinstance(told[1], Gone)
    assert told[2] == LinkedFile(tell_status(sys.executable), os.path.realpath(sys.executable))


def test_a_file_that_is_dated_beyond_what_can_be_told_has_the_last_date_that_can(
    own_directory: int, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.touch()
    os.utime(path, (15_000_000_000, 15_000_000_000))
    status = tell_status(path)
    dated = status._replace(modified_ns=min(status.modified_ns, (1 << 63) - 1))
    assert questions.decode_file(answer(own_directory, ask_below(os.path.realpath(path)))) == dated


def test_what_is_below_the_root_of_a_process_is_found_by_no_symbolic_link(own_directory: int, tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"x")
    link.symlink_to(path)
    assert questions.decode_file(answer(own_directory, ask_below(os.path.realpath(path)))) == tell_status(path)
    with pytest.raises(OSError, match=os.strerror(ELOOP)):
        answer(own_directory, ask_below(os.path.join(os.path.realpath(tmp_path), "link")))
    with pytest.raises(NotADirectoryError):
        answer(own_directory, ask_below(f"{os.path.realpath(path)}/below"))


def test_checksums_are_those_of_the_file_that_runs(own_directory: int) -> None:
    status, checksums = questions.decode_image(answer(own_directory, ask_image(HASHED)), HASHED)
    content = Path(sys.executable).read_bytes()
    assert status == tell_status(sys.executable)
    assert {one.algorithm: one.hex for one in checksums} == {
        name: hashlib.new(name, content).hexdigest() for name in HASHED
    }


def test_no_checksum_is_made_of_a_file_that_is_too_large_or_no_file(tmp_path: Path) -> None:
    """What an exe leads to is a regular file; a directory is put in its place here."""
    (tmp_path / "exe").symlink_to(tmp_path)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(MOST_HASHED_BYTES + 1)
    process = os.open(tmp_path, os.O_PATH)
    try:
        with pytest.raises(OSError, match="no regular file"):
            answer(process, ask_image(HASHED))
        (tmp_path / "exe").unlink()
        (tmp_path / "exe").symlink_to(large)
        with pytest.raises(OSError, match="too large"):
            answer(process, ask_image(HASHED))
    finally:
        os.close(process)


def test_memory_is_read_range_by_range_and_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    """Pages of a mapping behind the end of its file are there and cannot be read."""
    page = mmap.PAGESIZE
    path = tmp_path / "mapped"
    path.write_bytes(b"m" * (3 * page))
    program = f"""
import mmap
file = open({str(path)!r}, "r+b")
mapped = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
file.truncate({page})
ready(); wait()
"""
    with start_child(program) as child, ProcFs().open_process(Pid(child.pid)) as process:
        maps = answer(process.fileno(), ask_file("maps", 1 << 20))
        mappings: list[Mapping] = [one for one in parse_maps(maps) if one.path == str(path)]
        told = questions.decode_memory(answer(process.fileno(), ask_memory(mappings, HASHED)), HASHED)
    assert (told.done_bytes, told.unreadable_bytes) == (page, 2 * page)
    assert [(one.algorithm, one.hex) for one in told.checksums] == [
        (f"mem:{name}", hashlib.new(name, b"m" * page).hexdigest()) for name in HASHED
    ]


def ask(asked: socket.socket, process: int, question: Question) -> tuple[int, bytes]:
    """The errno of an answer, and what was read: many bytes come in memory."""
    send(asked, QUESTION.pack(5, question.number) + question.what, process)
    message, fd = receive(asked, 2 * MOST_INLINE_BYTES)
    index, number = ANSWER.unpack_from(message)
    assert index == 5
    if fd is None:
        return number, message[ANSWER.size :]
    with open(fd, "rb") as file:
        file.seek(0)
        return number, file.read()


@pytest.mark.usefixtures("same_fds")
def test_few_bytes_come_in_the_answer_and_many_in_memory(own_directory: int) -> None:
    program = f"ready(); wait(); ignored = {'x' * (3 * MOST_INLINE_BYTES)!r}"
    with (
        start_child(program) as child,
        ProcFs().open_process(Pid(child.pid)) as process,
        serve_here() as asked,
    ):
        few = ask(asked, own_directory, ask_file("comm", 64))
        many = ask(asked, process.fileno(), ask_file("cmdline", 1 << 20))
        refused = ask(asked, own_directory, ask_file("absent", 64))
        unheard = ask(asked, own_directory, ask_image(["no-such-algorithm"]))
        with open(f"/proc/{child.pid}/cmdline", "rb") as file:
            cmdline = file.read()
    assert few == (0, Path("/proc/self/comm").read_bytes())
    assert many == (0, cmdline)
    assert refused == (ENOENT, b"")
    assert unheard == (EIO, b"")
