"""File systems mounted for this program alone, on the live kernel."""

import os
from pathlib import Path

import pytest

from nsagent.kernel.private_mount import mount_privately
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.kernel.inside import make_inside
from tests.live.capabilities import Capability, require

MOUNTINFO = Path("/proc/self/mountinfo")


def list_interfaces() -> tuple[list[str], bool]:
    """What a sysfs of the calling thread's netns has, and whether its mount is seen anywhere."""
    before = MOUNTINFO.read_bytes()
    root = mount_privately(b"sysfs")
    try:
        return sorted(os.listdir(f"/proc/self/fd/{root}/class/net")), MOUNTINFO.read_bytes() != before
    finally:
        os.close(root)


def test_a_sysfs_shows_the_netns_of_the_thread_that_mounts_it_and_stands_nowhere() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    fds = os.listdir("/proc/self/fd")
    with start_child("os.system('ip link add one type veth peer name two'); ready(); wait()", *IN_NEW_NETNS) as child:
        assert make_inside(child.pid, list_interfaces) == (["lo", "one", "two"], False)
    assert len(os.listdir("/proc/self/fd")) == len(fds)


def test_a_file_system_that_the_kernel_does_not_have_is_an_error() -> None:
    with pytest.raises(OSError):  # noqa: PT011 - which errno it is depends on the rights.
        mount_privately(b"none-of-these")
