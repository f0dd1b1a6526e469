"""procfs on trees: one read per fact, and what a missing file means."""

from pathlib import Path

import pytest

from nsagent.errors import FormatError, Gone, NotRead, ProcessGone, ReadFailed
from nsagent.kernel.formats.mountinfo import NetnsMounts
from nsagent.kernel.formats.pid_stat import PidStat
from nsagent.kernel.procfs import FdLinks, ProcessDir, ProcFs
from nsagent.model.ids import Fd, Pid, SocketInode
from tests.kernel.proc_tree import BOOT_ID, HOST_MOUNT_NAMESPACE, ROOT_MOUNT, ProcTree, stat_line

PID = Pid(321)


def open_process(tree: ProcTree) -> ProcessDir:
    return ProcFs(tree.path).open_process(PID)


def links(*sockets: tuple[int, int], netns: tuple[tuple[int, int], ...] = (), others: int = 0) -> FdLinks:
    """Those of a table with so many other fds."""
    return FdLinks(
        tuple((Fd(fd), SocketInode(inode)) for fd, inode in sockets),
        tuple((Fd(fd), inode) for fd, inode in netns),
        fds=len(sockets) + len(netns) + others,
    )


def test_processes_are_listed_in_ascending_order_and_nothing_else(tree: ProcTree) -> None:
    for name in ("10", "9", "100", "self", "net", "1x", "-1", "\u00b2", "\u0661"):
        (tree.root / name).mkdir()
    assert ProcFs(tree.path).list_pids() == [9, 10, 100]


def test_a_root_that_is_not_there_is_a_failed_read_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ReadFailed, match="nowhere: ENOENT"):
        ProcFs(str(tmp_path / "nowhere")).list_pids()


def test_a_process_that_is_not_there_is_gone(tree: ProcTree) -> None:
    with pytest.raises(ProcessGone, match="pid 321"):
        open_process(tree)


def test_the_stat_line_is_read(tree: ProcTree) -> None:
    tree.process(PID, "a) b", threads=3, start_ticks=4711)
    with open_process(tree) as process:
        assert process.read_stat() == PidStat("a) b", "S", 4194560, 3, 4711)


def test_the_leader_of_a_thread_is_its_process(tree: ProcTree) -> None:
    tree.process(PID)
    tree.write("321/status", "Name:\tTgid:\t7\nUmask:\t0022\nTgid:\t300\nNgid:\t0\nPid:\t321\n")
    with open_process(tree) as thread:
        assert thread.read_leader() == 300


def test_a_status_without_a_leader_is_malformed(tree: ProcTree) -> None:
    tree.process(PID)
    tree.write("321/status", "Name:\tapp\n")
    with open_process(tree) as thread, pytest.raises(FormatError, match="Tgid"):
        thread.read_leader()


def test_the_uid_is_that_of_the_directory(tree: ProcTree) -> None:
    directory = tree.process(PID)
    with open_process(tree) as process:
        assert process.read_uid() == directory.stat().st_uid


def test_a_cgroup_path_keeps_bytes_that_are_not_utf8(tree: ProcTree) -> None:
    tree.process(PID, cgroup="0::/a\udcffb\n")
    with open_process(tree) as process:
        assert process.read_cgroup() == "0::/a\udcffb\n"


def test_the_netns_is_the_number_in_its_link(tree: ProcTree) -> None:
    tree.process(PID, netns=4026532500)
    with open_process(tree) as process:
        assert process.read_netns_inode() == 4026532500


def test_a_netns_link_that_is_none_is_a_format_error(tree: ProcTree) -> None:
    tree.process(PID, netns=None)
    tree.link(f"{PID}/ns/net", "/dev/null")
    with open_process(tree) as process, pytest.raises(FormatError, match="/dev/null"):
        process.read_netns_inode()


def test_the_key_of_a_netns_is_the_inode_of_its_device_table(tree: ProcTree) -> None:
    directory = tree.process(PID)
    with open_process(tree) as process:
        assert process.read_netns_key() == (directory / "net/dev").stat().st_ino


def test_mounted_netns_are_read(tree: ProcTree) -> None:
    tree.process(PID, mountinfo="412 30 0:4 net:[4026532500] /run/netns/web rw - nsfs nsfs rw\n")
    with open_process(tree) as process:
        assert process.read_netns_mounts(4096) == NetnsMounts({4026532500: ["/run/netns/web"]})
        assert process.read_mount_namespace() == HOST_MOUNT_NAMESPACE


def test_a_mountinfo_of_more_than_64_mib_is_not_read(tree: ProcTree) -> None:
    tree.process(PID)
    tree.write(f"{PID}/mountinfo", ROOT_MOUNT * ((1 << 26) // len(ROOT_MOUNT) + 1))
    with open_process(tree) as process, pytest.raises(NotRead, match="too many"):
        process.read_netns_mounts(4096)


def test_a_missing_tcp6_means_no_ipv6(tree: ProcTree) -> None:
    tree.process(PID, net={"tcp": "header\n"})
    with open_process(tree) as process:
        assert (process.read_net("tcp"), process.read_net("tcp6")) == (b"header\n", b"")


def test_a_missing_tcp6_means_no_ipv6_only_while_the_process_still_has_a_netns(tree: ProcTree) -> None:
    tree.process(PID, netns=None)
    with open_process(tree) as process, pytest.raises(Gone):
        process.read_net("tcp6")


def test_a_file_longer_than_one_read_is_read_whole(tree: ProcTree) -> None:
    text = "x" * 300_000
    tree.process(PID, net={"tcp": text})
    with open_process(tree) as process:
        assert process.read_net("tcp") == text.encode()


def test_fds_that_are_sockets_or_netns_are_listed_and_no_others(tree: ProcTree) -> None:
    fds = {
        0: "/dev/null",
        3: "socket:[7732]",
        4: "pipe:[7733]",
        5: "net:[4026532500]",
        6: "anon_inode:[eventpoll]",
        7: "/tmp/socket:[8]",
        8: "mnt:[4026531841]",
        9: "/memfd:socket:[9] (deleted)",
    }
    tree.process(PID, fds=fds)
    with open_process(tree) as process:
        assert process.read_fd_links() == links((3, 7732), netns=((5, 4026532500),), others=6)


@pytest.mark.parametrize(
    "target",
    [
        "socket:[x]",
        "socket:[]",
        "socket:[7",
        "socket:[7] (deleted)",
        "socket:[7x",
        "socket:[+7]",
        "socket:[\u00b2]",
        "socket:[\u0667]",
    ],
)
def test_a_link_that_only_looks_like_a_socket_is_none(tree: ProcTree, target: str) -> None:
    tree.process(PID, fds={3: target, 4: "socket:[8]"})
    with open_process(tree) as process:
        assert process.read_fd_links() == links((4, 8), others=1)


def test_an_fd_that_is_no_link_concerns_that_fd_only(tree: ProcTree) -> None:
    tree.process(PID, fds={3: "socket:[7732]"})
    tree.write(f"{PID}/fd/4", "readlink gives EINVAL")
    with open_process(tree) as process:
        assert process.read_fd_links() == links((3, 7732), others=1)


def test_fds_are_in_ascending_order(tree: ProcTree) -> None:
    fds = [100, 20, 3, 11, 9, 1000, 10, 2, 7, 64]
    tree.process(PID, fds={fd: f"socket:[{7000 + fd}]" for fd in fds})
    with open_process(tree) as process:
        assert process.read_fd_links() == links(*((fd, 7000 + fd) for fd in sorted(fds)))


def test_a_process_without_fds_has_none(tree: ProcTree) -> None:
    tree.process(PID)
    with open_process(tree) as process:
        assert process.read_fd_links() == links()


def test_a_process_without_an_fd_directory_is_gone(tree: ProcTree) -> None:
    tree.write(f"{PID}/stat", stat_line(PID))
    with open_process(tree) as process, pytest.raises(Gone):
        process.read_fd_links()


def test_threads_are_listed_in_ascending_order(tree: ProcTree) -> None:
    tree.process(PID)
    for tid in (400, 321, 1000):
        tree.thread(f"{PID}/task/{tid}", stat_line(tid))
    with open_process(tree) as process:
        assert process.list_threads() == [321, 400, 1000]


def test_a_thread_has_the_same_files(tree: ProcTree) -> None:
    tree.process(PID, netns=None, state="Z", threads=2)
    tree.thread(f"{PID}/task/400", stat_line(400, "worker"), netns=4026532500, fds={3: "socket:[7]"})
    with open_process(tree) as process, process.open_thread(400) as thread:
        assert (thread.read_stat().comm, thread.read_netns_inode()) == ("worker", 4026532500)
        assert thread.read_fd_links() == links((3, 7))


def test_the_live_thread_of_a_dead_leader_is_found(tree: ProcTree) -> None:
    tree.process(PID, netns=None, state="Z", threads=3)
    for tid, state in ((321, "Z"), (322, "X"), (323, "S")):
        tree.thread(f"{PID}/task/{tid}", stat_line(tid, f"t{tid}", state=state))
    with open_process(tree) as process, process.open_live_thread() as thread:
        assert thread.read_stat().comm == "t323"


def test_a_dead_leader_without_a_live_thread_is_gone(tree: ProcTree) -> None:
    tree.process(PID, netns=None, state="Z", threads=2)
    tree.thread(f"{PID}/task/321", stat_line(321, state="Z"))
    with open_process(tree) as process, pytest.raises(Gone):
        process.open_live_thread()


@pytest.mark.usefixtures("same_fds")
def test_no_fd_is_left_after_every_read_of_a_process_failed(tree: ProcTree) -> None:
    (tree.root / str(PID)).mkdir()
    with open_process(tree) as process:
        for read in (process.read_stat, process.read_cgroup, process.read_fd_links, process.open_live_thread):
            with pytest.raises(Gone):
                read()


@pytest.mark.parametrize(("target", "expected"), [("321", 321), ("nobody", None), ("\u00b2", None), ("", None)])
def test_the_own_pid_is_where_self_points(tree: ProcTree, target: str, expected: int | None) -> None:
    if target:
        tree.link("self", target)
    assert ProcFs(tree.path).read_own_pid() == expected


def test_a_procfs_without_sys_has_no_sysctl(tree: ProcTree) -> None:
    assert ProcFs(tree.path).read_sysctl("kernel/random/boot_id") is None


def test_a_sysctl_is_read_without_its_line_end(tree: ProcTree) -> None:
    tree.boot_id()
    assert ProcFs(tree.path).read_sysctl("kernel/random/boot_id") == BOOT_ID


def test_a_tree_of_files_is_not_live(tree: ProcTree) -> None:
    assert not ProcFs(tree.path).is_live()


def test_a_root_that_is_not_there_is_not_live(tmp_path: Path) -> None:
    assert not ProcFs(str(tmp_path / "nowhere")).is_live()
