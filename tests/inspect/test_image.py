"""The file that a process runs: what became of it, where it is, its checksums, and its image in memory."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nsagent.inspect.checksums import Checksums, find_memory
from nsagent.kernel.lookups import Lookups
from nsagent.kernel.questions import HASHED
from nsagent.model.inspection import Inspection
from nsagent.model.process_details import Checksum, Image, ImageState, Mapping
from tests.inspect.inspecting import WANTED, inspect, inspect_each, list_missing, read_proc
from tests.live.capabilities import Capability, find_program, require
from tests.live.deadlines import until

CHROOT = "import os, sys; os.chroot(sys.argv[1]); print(flush=True); sys.stdin.read()"
CAT = os.path.realpath(find_program("cat") or "/bin/cat")


@contextmanager
def run_image(path: str | Path, *command: str, pass_fds: tuple[int, ...] = ()) -> Iterator[int]:
    """The pid of a process that runs this file, which reads its stdin."""
    with subprocess.Popen([*command, os.fspath(path)], stdin=subprocess.PIPE, pass_fds=pass_fds) as child:
        until(lambda: read_proc(child.pid, "cmdline").split(b"\0")[0] == os.fsencode(path), "it runs the image")
        yield child.pid


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return Path(shutil.copy(CAT, tmp_path / "image"))


def read_image(pid: int) -> Image:
    exe = inspect(pid).exe
    assert exe is not None
    return exe


def test_a_file_that_is_where_it_was_is_present(image: Path) -> None:
    with run_image(image) as pid:
        exe = read_image(pid)
    found = image.stat()
    assert (exe.target, exe.path, exe.state) == (str(image), str(image), ImageState.PRESENT)
    assert exe.file is not None
    assert (exe.file.device, exe.file.inode, exe.file.links, exe.file.size_bytes, exe.file.modified_ns) == (
        found.st_dev,
        found.st_ino,
        1,
        found.st_size,
        found.st_mtime_ns,
    )


def test_a_file_that_has_no_name_left_is_deleted(image: Path) -> None:
    with run_image(image) as pid:
        image.unlink()
        exe = read_image(pid)
    assert (exe.target, exe.path, exe.state) == (f"{image} (deleted)", str(image), ImageState.DELETED)


def test_bug_60_a_file_in_whose_place_is_another_one_is_replaced(image: Path, tmp_path: Path) -> None:
    """As by each upgrade of a package: its path says nothing of what runs."""
    with run_image(image) as pid:
        other = Path(shutil.copy(CAT, tmp_path / "other"))
        other.rename(image)
        exe = read_image(pid)
    assert (exe.path, exe.host_path, exe.state) == (str(image), None, ImageState.REPLACED)
    assert exe.file is not None
    assert exe.file.links == 0


def test_a_file_that_has_only_another_name_left_is_unlinked(image: Path, tmp_path: Path) -> None:
    with run_image(image) as pid:
        (tmp_path / "name").hardlink_to(image)
        image.unlink()
        assert read_image(pid).state is ImageState.UNLINKED


def test_bug_60_a_file_that_is_called_like_a_deleted_one_is_present(image: Path, tmp_path: Path) -> None:
    """OpenSnitch cuts the ` (deleted)` off."""
    path = image.rename(tmp_path / "image (deleted)")
    with run_image(path) as pid:
        exe = read_image(pid)
        assert (exe.path, exe.state) == (str(path), ImageState.PRESENT)
        path.unlink()
        exe = read_image(pid)
    assert (exe.path, exe.state) == (str(path), ImageState.DELETED)


def test_a_memfd_is_not_known_for_one_where_too_much_is_mounted_which_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsagent.inspect.direct._MOST_MOUNT_BYTES", 10)
    memory = os.memfd_create("x", 0)
    with open(CAT, "rb") as program, os.fdopen(memory, "wb") as file:
        shutil.copyfileobj(program, file)
        file.flush()
        with run_image(f"/proc/self/fd/{memory}", pass_fds=(memory,)) as pid:
            one = inspect(pid)
    assert one.exe is not None
    assert (one.exe.state, "mountinfo" in list_missing(one)) == (None, True)


def test_a_memfd_is_told_as_one() -> None:
    memory = os.memfd_create("x/y z", 0)
    os.write(memory, Path(CAT).read_bytes())
    with run_image(f"/proc/self/fd/{memory}", pass_fds=(memory,)) as pid:
        os.close(memory)
        exe = read_image(pid)
    assert (exe.target, exe.path, exe.host_path, exe.state) == ("/memfd:x/y z (deleted)", None, None, ImageState.MEMFD)


def test_bug_59_in_a_mount_namespace_of_its_own_its_path_and_that_of_the_host_are_both_told(tmp_path: Path) -> None:
    """OpenSnitch puts paths together by hand, and gets two slashes."""
    require(Capability.ROOT, Capability.SETPRIV, Capability.BUSYBOX)
    busybox = shutil.copy(find_program("busybox") or "", tmp_path / "cat")
    script = 'mount --bind "$0" /mnt && exec chroot /mnt /cat'
    with subprocess.Popen(["unshare", "--mount", "sh", "-c", script, str(tmp_path)], stdin=subprocess.PIPE) as child:
        until(lambda: read_proc(child.pid, "cmdline") == b"/cat\0", "it runs the image")
        one = inspect(child.pid)
    assert one.exe is not None
    assert (one.root, one.cwd) == ("/mnt", "/mnt")
    assert (one.exe.target, one.exe.path, one.exe.host_path) == ("/mnt/cat", "/cat", str(busybox))
    assert one.exe.state is ImageState.PRESENT


def test_what_a_process_in_a_chroot_runs_from_outside_is_not_looked_for_inside(tmp_path: Path) -> None:
    """Another file at the same path in there is not in its place."""
    require(Capability.ROOT)
    python = os.path.realpath(sys.executable)
    bare, other = tmp_path / "bare", tmp_path / "other"
    bare.mkdir()
    (other / python[1:]).parent.mkdir(parents=True)
    (other / python[1:]).touch()
    for root in (bare, other):
        command = [python, "-I", "-S", "-c", CHROOT, str(root)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            one = inspect(child.pid)
        assert one.exe is not None
        assert (one.root, one.exe.target, one.exe.path, one.exe.state) == (str(root), python, None, None)


def test_a_symbolic_link_in_its_place_is_another_file_and_is_not_followed(image: Path, tmp_path: Path) -> None:
    with run_image(image) as pid:
        image.rename(tmp_path / "moved")
        image.symlink_to(tmp_path / "moved")
        moved = read_image(pid)
        (tmp_path / "moved").unlink()
        os.mkfifo(tmp_path / "moved")
        deleted = read_image(pid)
    assert (moved.path, moved.state) == (str(tmp_path / "moved"), ImageState.PRESENT)
    assert (deleted.path, deleted.state) == (str(tmp_path / "moved"), ImageState.REPLACED)


def test_bugs_50_and_61_checksums_are_those_of_what_runs_whatever_is_at_its_path(image: Path) -> None:
    """OpenSnitch gives that of nothing."""
    data = image.read_bytes()
    with run_image(image) as pid:
        image.unlink()
        image.write_bytes(b"another one")
        one = inspect(pid, WANTED._replace(algorithms=HASHED))
    assert one.exe is not None
    assert one.exe.checksums == tuple(Checksum(name, hashlib.new(name, data).hexdigest()) for name in HASHED)


@pytest.mark.usefixtures("same_fds")
def test_bugs_47_and_48_an_algorithm_that_is_asked_for_later_is_made_then_and_none_twice(image: Path) -> None:
    """OpenSnitch makes none once it has any."""
    checksums, asked = Checksums(), Lookups()
    data = image.read_bytes()

    def make(*algorithms: str) -> list[tuple[Checksum, ...]]:
        wanted = WANTED._replace(algorithms=algorithms)
        told = inspect_each(one, other, wanted=wanted, checksums=checksums, lookups=asked)
        exes = [each.exe for each in told if isinstance(each, Inspection)]
        return [exe.checksums for exe in exes if exe]

    with run_image(image) as one, run_image(image) as other:
        sha256, md5 = (Checksum(name, hashlib.new(name, data).hexdigest()) for name in ("sha256", "md5"))
        assert make("sha256") == [(sha256,)] * 2
        assert make("sha256", "md5") == [(sha256, md5)] * 2
        assert make("md5") == [(md5,)] * 2


def test_a_checksum_that_cannot_be_made_is_missing_of_all_who_run_the_file(image: Path) -> None:
    wanted = WANTED._replace(algorithms=("md5",), hashing_seconds=0.0)
    with run_image(image) as one, run_image(image) as other:
        told = inspect_each(one, other, wanted=wanted)
    assert [list_missing(each).get("checksums") for each in told if isinstance(each, Inspection)] == ["no_answer"] * 2


def test_bugs_43_and_44_the_image_in_memory_has_checksums_of_its_own_name(image: Path) -> None:
    """OpenSnitch dumps nothing, and so finds all images alike."""
    wanted = WANTED._replace(memory_of=str(image), algorithms=("sha256", "md5"))
    with run_image(image) as pid:
        one = inspect(pid, wanted)
        expected, size = hashlib.sha256(), 0
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            lines = [line.split() for line in read_proc(pid, "maps").decode().splitlines()]
            for start, end in (line[0].split("-") for line in lines if line[-1] == str(image) and line[1][0] == "r"):
                memory.seek(int(start, 16))
                expected.update(memory.read(int(end, 16) - int(start, 16)))
                size += int(end, 16) - int(start, 16)
    told = one.memory_image
    assert told is not None
    assert (told.size_bytes, told.unreadable_bytes, told.cut) == (size, 0, False)
    assert told.checksums[0] == Checksum("mem:sha256", expected.hexdigest())
    assert [each.algorithm for each in told.checksums] == ["mem:sha256", "mem:md5"]


def test_the_image_of_a_file_that_is_not_mapped_is_missing(image: Path) -> None:
    with run_image(image) as pid:
        one = inspect(pid, WANTED._replace(memory_of=f"{image}bar"))
    assert one.memory_image is None
    assert list_missing(one) == {f"mem: {image}bar": "unseen"}


def test_bug_45_what_is_read_of_an_image_is_bounded_and_unreadable_mappings_are_left_out() -> None:
    size = 200 << 20

    def make(start: int, permissions: str) -> Mapping:
        return Mapping(start, start + size, permissions, 0, 0, 1, 7, "/x")

    taken, cut = find_memory(
        [make(0, "r-xp"), make(size, "---p"), make(2 * size, "r--p"), make(3 * size, "r--p")], "/x"
    )
    assert (sum(each.end - each.start for each in taken), cut) == (256 << 20, True)
    assert [each.start for each in taken] == [0, 2 * size]
    assert find_memory([make(0, "--xp")], "/x") == ((), False)
