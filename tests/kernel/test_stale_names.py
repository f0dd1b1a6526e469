"""Names of netns that lead nowhere."""

import os
import socket
from pathlib import Path

import pytest

from nsagent.errors import ReadFailed
from nsagent.kernel.stale_names import list_stale_names
from tests.kernel.children import start_child
from tests.live.capabilities import Capability, require

IN_NEW_MOUNT_NAMESPACE = ("unshare", "--mount", "--propagation=private", "--")
MOUNT_ONE_OF_TWO = """
import subprocess
from nsagent.kernel.stale_names import list_stale_names
for name in ("left", "mounted"):
    open(f"{place}/{{name}}", "x").close()
    subprocess.run(["mount", "--bind", "/proc/self/ns/net", f"{place}/{{name}}"], check=True)
subprocess.run(["umount", "{place}/left"], check=True)
ready(" ".join(list_stale_names("{place}"))); wait()
"""
MOUNT_AND_HOLD = """
import subprocess
open("{place}/mounted", "x").close()
subprocess.run(["mount", "--bind", "/proc/self/ns/net", "{place}/mounted"], check=True)
ready(); wait()
"""


def test_a_file_left_after_an_unmount_is_stale_and_a_mounted_netns_is_not(tmp_path: Path) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with start_child(MOUNT_ONE_OF_TWO.format(place=tmp_path), *IN_NEW_MOUNT_NAMESPACE) as child:
        assert child.said == "left"


def test_a_mount_is_seen_in_the_mount_namespace_of_a_process(tmp_path: Path) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with start_child(MOUNT_AND_HOLD.format(place=tmp_path), *IN_NEW_MOUNT_NAMESPACE) as child:
        assert list_stale_names(str(tmp_path)) == ("mounted",)
        assert list_stale_names(f"/proc/{child.pid}/root{tmp_path}") == ()


def test_without_a_directory_there_are_no_names(tmp_path: Path) -> None:
    assert list_stale_names(str(tmp_path / "nowhere")) == ()


def test_names_are_sorted_and_may_hold_any_bytes(tmp_path: Path) -> None:
    for name in (b"web", b"a b\n", b"\xff"):
        (tmp_path / os.fsdecode(name)).touch()
    assert list_stale_names(str(tmp_path)) == ("a b\n", "web", "\udcff")


@pytest.mark.usefixtures("same_fds")
def test_what_could_block_is_named_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        assert list_stale_names(str(tmp_path)) == ("directory", "fifo", "socket")


@pytest.mark.parametrize("target", ["/proc/self/ns/net", "/nowhere", "."])
def test_a_symbolic_link_is_left_alone(tmp_path: Path, target: str) -> None:
    (tmp_path / "link").symlink_to(target)
    assert list_stale_names(str(tmp_path)) == ()


def test_a_directory_behind_a_symbolic_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "netns").mkdir()
    (tmp_path / "netns/web").touch()
    (tmp_path / "link").symlink_to("netns")
    assert list_stale_names(str(tmp_path / "link")) == ("web",)


def test_what_is_no_directory_is_a_failed_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReadFailed, match="file: ENOTDIR"):
        list_stale_names(str(tmp_path / "file"))


def test_without_a_procfs_nothing_can_be_told(tmp_path: Path) -> None:
    with pytest.raises(ReadFailed, match="ENOENT"):
        list_stale_names(str(tmp_path), own=str(tmp_path / "nowhere"))


def test_a_directory_that_may_not_be_listed_is_denied(tmp_path: Path) -> None:
    require(Capability.ROOT)
    (tmp_path / "closed").mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    program = f"""
from nsagent.errors import AccessDenied
from nsagent.kernel.stale_names import list_stale_names
import os
os.setuid(65534)
try:
    list_stale_names({str(tmp_path / "closed")!r})
except AccessDenied as err:
    ready(err.errno); wait()
"""
    with start_child(program) as child:
        assert child.said == "EACCES"
