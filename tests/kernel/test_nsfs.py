"""Netns opened by paths of others: what is no netns is not opened, whatever the link said before."""

import os
from pathlib import Path

import pytest

from nsagent.errors import Gone
from nsagent.kernel.nsfs import open_netns, open_netns_below
from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Fd, Pid
from tests.kernel.children import start_child
from tests.kernel.inotify import Opened
from tests.live.capabilities import Capability, require

SWAPPING = """
held = os.open("/proc/self/ns/net", os.O_RDONLY)
other = os.open({other!r}, os.O_PATH)
ready(held)
sys.stdin.readline()
os.dup2(other, held)
ready("swapped")
wait()
"""
BOUND = """
import subprocess
for name in ("net", "uts"):
    open({place!r} + name, "w").close()
    subprocess.run(["mount", "--bind", "/proc/self/ns/" + name, {place!r} + name], check=True)
os.symlink({place!r} + "net", {place!r} + "link")
ready(os.stat("/proc/self/ns/net").st_ino)
wait()
"""


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


@pytest.mark.usefixtures("same_fds")
def test_an_fd_that_holds_something_else_after_its_link_was_read_is_gone_and_not_opened(fifo: Path) -> None:
    with start_child(SWAPPING.format(other=str(fifo))) as child, ProcFs().open_process(Pid(child.pid)) as process:
        ((fd, _),) = process.read_fd_links().netns
        child.say("go on")
        with Opened(fifo) as opened:
            with pytest.raises(Gone):
                process.open_netns_of_fd(fd)
            assert (fd, opened.happened()) == (Fd(int(child.said)), False)


@pytest.mark.usefixtures("same_fds")
def test_a_path_of_ours_that_leads_to_no_netns_is_not_opened(fifo: Path) -> None:
    with Opened(fifo) as opened:
        for path in (fifo, Path("/proc/self/ns/uts")):
            with pytest.raises(FileNotFoundError):
                open_netns(str(path))
        assert not opened.happened()


@pytest.mark.usefixtures("same_fds")
def test_a_mounted_netns_is_opened_below_a_root_by_its_own_path_and_inode_alone(tmp_path: Path) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    place = str(tmp_path) + "/"
    with start_child(BOUND.format(place=place), "unshare", "--mount", "--") as child:
        inode = int(child.said)
        root = os.open(f"/proc/{child.pid}/root", os.O_PATH | os.O_DIRECTORY)
        try:
            opened = open_netns_below(root, place + "net", inode)
            assert os.fstat(opened).st_ino == inode
            os.close(opened)
            for name, wanted in (("net", inode + 1), ("uts", inode), ("link", inode), ("absent", inode)):
                with pytest.raises(OSError, match=r"Errno (2|40)\]"):
                    open_netns_below(root, place + name, wanted)
        finally:
            os.close(root)
