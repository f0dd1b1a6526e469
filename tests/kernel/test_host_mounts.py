"""Which mounts are the host's."""

import os

import pytest

from nsagent.kernel.host_mounts import HostMounts, find_host_mounts
from nsagent.kernel.procfs import ProcFs
from tests.kernel.proc_tree import ProcTree

NAME = "/run/netns/web"


@pytest.mark.parametrize(
    ("namespace", "root", "mount_point", "host_path"),
    [
        (1, "/", NAME, NAME),
        (1, "/srv", NAME, None),
        (2, "/", NAME, None),
        (2, "/", f"/host{NAME}", NAME),
        (2, "/srv", f"/host{NAME}", None),
        (3, "/", f"/host{NAME}", None),
        (2, "/", f"/hostile{NAME}", None),
    ],
)
def test_a_mount_is_the_host_s_in_its_mount_namespace_or_below_its_root_in_the_own_one(
    namespace: int, root: str, mount_point: str, host_path: str | None
) -> None:
    assert HostMounts(1, own=2, host_root="/host").find_path(namespace, root, mount_point) == host_path


def test_without_a_host_root_the_own_mount_namespace_is_as_foreign_as_others() -> None:
    assert HostMounts(1, own=2).find_path(2, "/", NAME) is None
    assert HostMounts(2, own=2).find_path(2, "/", NAME) == NAME


KERNEL_THREAD = 0x00200000


def add_process(tree: ProcTree, pid: int, *, flags: int = 0) -> None:
    """A process whose mount namespace has its pid as its number."""
    directory = tree.process(pid, flags=flags)
    (directory / "ns" / "mnt").unlink()
    tree.link(f"{pid}/ns/mnt", f"mnt:[{pid}]")


def test_it_is_the_mount_namespace_of_pid_1_else_of_kthreadd_else_the_own_one(tree: ProcTree) -> None:
    own = int(os.readlink("/proc/self/ns/mnt").removeprefix("mnt:[").removesuffix("]"))
    procfs = ProcFs(tree.path)
    assert find_host_mounts(procfs, "/") == HostMounts(own, own, "/")
    add_process(tree, 2, flags=KERNEL_THREAD)
    assert find_host_mounts(procfs, "/") == HostMounts(2, own, "/")
    add_process(tree, 1)
    assert find_host_mounts(procfs, "/host") == HostMounts(1, own, "/host")


def test_a_second_process_that_is_no_kernel_thread_is_not_the_host_s(tree: ProcTree) -> None:
    add_process(tree, 2)
    found = find_host_mounts(ProcFs(tree.path), "/")
    assert found.namespace == found.own
