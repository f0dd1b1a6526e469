"""What is a procfs of the running kernel, wherever it is mounted."""

import subprocess
from pathlib import Path

import pytest

from nsagent.kernel.proc_mount import read_proc_mount
from tests.live.capabilities import Capability, require


@pytest.mark.parametrize("path", ["/proc", "/proc/self/root/proc", "/proc/1"])
def test_a_mount_of_type_proc_is_one(path: str) -> None:
    assert read_proc_mount(path).live


@pytest.mark.parametrize("path", ["/sys", "/", "/nowhere", "/proc/1/nowhere"])
def test_another_file_system_is_none(path: str, tmp_path: Path) -> None:
    assert not read_proc_mount(path).live
    (tmp_path / "1").mkdir()
    assert not read_proc_mount(str(tmp_path)).live


def test_what_only_another_mount_namespace_has_is_one() -> None:
    require(Capability.ROOT)
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "echo; exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as outer:
        assert outer.stdout is not None
        outer.stdout.readline()
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        assert read_proc_mount(f"/proc/{children[0]}/root/proc").live
