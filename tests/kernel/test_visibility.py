"""What a procfs hides: own mounts of it, in a PID and a mount namespace that end with their child."""

from pathlib import Path

import pytest

from nsagent.errors import FormatError, ReadFailed
from nsagent.kernel.visibility import read_visibility
from nsagent.model.facts import Visibility
from tests.kernel.children import start_child
from tests.kernel.proc_tree import ROOT_MOUNT, ProcTree
from tests.live.capabilities import Capability, require

MOUNT_AND_READ = """
import subprocess
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.visibility import read_visibility
subprocess.run(["mount", "-t", "proc", "-o", {options!r}, "proc", {place!r}], check=True)
pids = ProcFs({place!r}).list_pids()
ready(repr(read_visibility({place!r}, pids))); wait()
"""
IN_NEW_NAMESPACES = ("unshare", "--pid", "--fork", "--kill-child", "--mount", "--propagation=private", "--")
BELOW_PID_1 = (*IN_NEW_NAMESPACES, "sh", "-c", '"$@"; exit $?', "sh")
WITHOUT_PTRACE = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", "--")


def seen_with(place: Path, options: str, *prefix: str) -> str:
    """What a child sees that mounts a procfs with these options, with another process as PID 1."""
    require(Capability.ROOT, Capability.SETPRIV)
    program = MOUNT_AND_READ.format(options=options, place=str(place))
    with start_child(program, *BELOW_PID_1, *prefix) as child:
        return child.said


def test_a_procfs_mounted_plainly_hides_nothing() -> None:
    assert read_visibility("/proc", [1, 2]) == Visibility()


def test_a_procfs_without_pid_1_says_so() -> None:
    assert read_visibility("/proc", [2, 11]) == Visibility(init=False, partial=True)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("hidepid=0", Visibility()),
        ("hidepid=1", Visibility("noaccess")),
        ("hidepid=2", Visibility("invisible")),
        ("hidepid=ptraceable", Visibility("ptraceable")),
        ("hidepid=ptraceable,subset=pid", Visibility("ptraceable", "pid")),
        ("subset=pid", Visibility(None, "pid")),
    ],
)
def test_the_mount_options_are_those_that_it_was_mounted_with(
    tmp_path: Path, options: str, expected: Visibility
) -> None:
    assert seen_with(tmp_path, options) == repr(expected)


def test_ptraceable_hides_pid_1_from_root_without_the_right_to_trace(tmp_path: Path) -> None:
    assert seen_with(tmp_path, "hidepid=ptraceable", *WITHOUT_PTRACE) == repr(
        Visibility("ptraceable", init=False, partial=True)
    )


def test_a_directory_below_a_procfs_is_part_of_it() -> None:
    assert read_visibility("/proc/self", [2]) == Visibility(init=False, partial=True)


def test_a_copy_hides_nothing_even_without_pid_1(tree: ProcTree) -> None:
    assert read_visibility(tree.path, [321]) == Visibility()


def test_a_root_that_is_not_there_is_a_failed_read() -> None:
    with pytest.raises(ReadFailed, match="mount options of /nowhere: ENOENT"):
        read_visibility("/nowhere", [])


def test_without_a_list_of_mounts_it_is_unknown(tree: ProcTree) -> None:
    with pytest.raises(ReadFailed, match="ENOENT"):
        read_visibility(tree.path, [], own=f"{tree.path}/self")


def test_a_damaged_list_of_mounts_is_a_format_error(tree: ProcTree) -> None:
    tree.write("self/mountinfo", ROOT_MOUNT + "22 27 0:21 / - proc proc rw\n")
    with pytest.raises(FormatError):
        read_visibility(tree.path, [], own=f"{tree.path}/self")
