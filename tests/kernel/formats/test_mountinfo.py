"""Lines of /proc/PID/mountinfo."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import FormatError
from nsagent.kernel.formats.mountinfo import (
    MOST_POINTS,
    Mount,
    NetnsMounts,
    ProcOptions,
    collect_netns_mounts,
    find_mount,
    list_covered_pids,
    list_mounts_of,
    parse_cgroup2_mounts,
    parse_mount,
    parse_mount_of_file,
    parse_mount_roots,
    parse_proc_options,
)

ROOT = b"23 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw,discard\n"
NETNS = b"412 30 0:4 net:[4026532500] /run/netns/web rw shared:205 - nsfs nsfs rw\n"
PROC = b"22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw\n"
HIDING = b"90 27 0:52 / /srv/proc rw,relatime - proc proc rw,gid=4,hidepid=ptraceable,subset=pid\n"
WEB = Mount(0, 4, "net:[4026532500]", "/run/netns/web", "nsfs")


def test_a_line_gives_device_root_mount_point_and_type() -> None:
    assert parse_mount(NETNS.rstrip()) == WEB


def test_a_line_without_optional_fields_is_read() -> None:
    assert parse_mount(b"1 0 8:2 / /mnt rw - ext4 /dev/sda2 rw") == Mount(8, 2, "/", "/mnt", "ext4")


def test_a_line_with_several_optional_fields_is_read() -> None:
    line = b"1 0 8:2 /a /mnt rw shared:1 master:2 unbindable - ext4 /dev/sda2 rw"
    assert parse_mount(line) == Mount(8, 2, "/a", "/mnt", "ext4")


@pytest.mark.parametrize(
    ("escaped", "path"),
    [
        (rb"/a\040b", "/a b"),
        (rb"/a\011b", "/a\tb"),
        (rb"/a\012b", "/a\nb"),
        (rb"/a\134b", "/a\\b"),
        (rb"/a\043b", "/a#b"),
        (rb"/a\134040b", r"/a\040b"),
        (b"/a\xffb", "/a\udcffb"),
        (b"/r\xc3\xa9seau", "/r\u00e9seau"),
        (rb"/a\08b", r"/a\08b"),
    ],
)
def test_octal_escapes_of_a_mount_point_are_undone_once(escaped: bytes, path: str) -> None:
    line = b"1 0 0:4 net:[4026532500] " + escaped + b" rw - nsfs nsfs rw"
    assert parse_mount(line).mount_point == path


@given(st.binary(min_size=1, max_size=40).filter(lambda path: b"\0" not in path))
def test_any_path_as_the_kernel_escapes_it_comes_back(path: bytes) -> None:
    escaped = b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else bytes((byte,)) for byte in path)
    mount = parse_mount(b"1 0 0:4 net:[1] /" + escaped + b" rw - nsfs nsfs rw")
    assert mount.mount_point.encode("utf-8", "surrogateescape") == b"/" + path


def line(inode: int, mount_point: str) -> bytes:
    return f"412 30 0:4 net:[{inode}] {mount_point} rw shared:205 - nsfs nsfs rw".encode()


def test_only_mounts_of_netns_are_collected_each_at_its_netns() -> None:
    uts = b"413 30 0:4 uts:[4026532501] /run/uts rw - nsfs nsfs rw"
    lines = [ROOT.rstrip(), line(7, "/a"), uts, line(8, "/b"), line(7, "/c"), b""]
    assert collect_netns_mounts(lines, 100) == NetnsMounts({7: ["/a", "/c"], 8: ["/b"]})


def test_what_exceeds_the_bytes_of_paths_is_counted_and_shorter_ones_are_still_kept() -> None:
    lines = [line(7, "/aaaa"), line(7, "/bbbb"), line(8, "/cccc"), line(9, "/d")]
    assert collect_netns_mounts(lines, 7) == NetnsMounts({7: ["/aaaa"], 9: ["/d"]}, unnamed=1, left_out=1)


def test_one_netns_keeps_so_many_mount_points() -> None:
    lines = [line(7, f"/{number}") for number in range(MOST_POINTS + 5)]
    assert collect_netns_mounts(lines, 1000) == NetnsMounts({7: [f"/{n}" for n in range(MOST_POINTS)]}, unnamed=5)


RUN = b"30 23 0:25 / /run rw - tmpfs tmpfs rw"


def name(number: int, parent: int, inode: int, point: str = "/run/netns/web") -> bytes:
    return f"{number} {parent} 0:4 net:[{inode}] {point} rw - nsfs nsfs rw".encode()


@pytest.mark.parametrize(
    ("lines", "covered"),
    [
        ([name(40, 30, 7)], set()),
        ([name(40, 30, 7), name(41, 40, 8)], {(7, "/run/netns/web")}),
        ([name(40, 30, 7), name(41, 40, 8), name(42, 41, 7)], {(8, "/run/netns/web")}),
        ([name(40, 30, 7), name(41, 30, 8, "/run/netns/we")], set()),
        ([name(40, 30, 7, r"/run/netns/a\040b"), b"41 30 0:9 / /run/netns rw - tmpfs t rw"], {(7, "/run/netns/a b")}),
        ([b"41 30 0:25 /netns /run/netns rw - tmpfs t rw", name(40, 41, 7)], set()),
        ([name(40, 30, 7), b"41 30 0:25 /netns /run/netns rw - tmpfs t rw", name(42, 41, 7)], set()),
        ([name(40, 30, 7), b"41 30 0:26 / /run rw - tmpfs t rw", name(42, 41, 8)], {(7, "/run/netns/web")}),
        ([name(40, 30, 7), b"41 30 0:26 / /run/docker rw - tmpfs t rw", b"99 23 0:9 / / rw - tmpfs t rw"], set()),
        ([name(40, 40, 7), name(41, 42, 8), name(42, 41, 8)], {(7, "/run/netns/web"), (8, "/run/netns/web")}),
    ],
)
def test_a_name_that_something_else_lies_over_is_covered(lines: list[bytes], covered: set[tuple[int, str]]) -> None:
    """By a mount at its very path, or above: over /run itself, or as ip-netns(8) first binds /run/netns to itself."""
    told = [ROOT.rstrip(), RUN, *lines]
    assert collect_netns_mounts(told, 1000, trusted=True).covered == covered
    assert collect_netns_mounts(told, 1000) == collect_netns_mounts(told, 1000, trusted=True)._replace(
        covered=frozenset()
    )


def test_where_no_mount_is_the_root_directory_nothing_is_known_to_be_covered() -> None:
    lines = [RUN, name(40, 30, 7), name(41, 40, 8)]
    assert collect_netns_mounts(lines, 1000, trusted=True).covered == frozenset()


@pytest.mark.parametrize(
    ("root", "covered"),
    [("/proc", {7, 8, 9}), ("/proc/", {7, 8, 9}), ("/host/proc", {5}), ("/a b", {4}), ("/pro", set())],
)
def test_a_process_is_covered_by_a_mount_on_its_directory_or_in_it(root: str, covered: set[int]) -> None:
    points = [
        "/proc",
        "/proc/7",
        "/proc/8/cgroup",
        "/proc/9/ns/net",
        "/proc/6/net",
        "/proc/6/mountinfo",
        "/proc/sys/6",
        "/host/proc/5",
        r"/a\040b/4",
        "/proc10",
        "/",
    ]
    text = b"".join(f"40 22 0:21 / {point} rw - tmpfs t rw\n".encode() for point in points)
    assert list_covered_pids(PROC + text, root) == covered


def test_a_mount_point_with_a_carriage_return_is_one_mount() -> None:
    assert collect_netns_mounts([line(7, "/run/a\rb")], 100) == NetnsMounts({7: ["/run/a\rb"]})


def test_a_mount_point_that_says_nsfs_is_no_mount_of_a_namespace() -> None:
    lines = [rb"1 0 8:2 / /a\040-\040nsfs\040 rw - ext4 /dev/sda2 rw"]
    assert collect_netns_mounts(lines, 100) == NetnsMounts({})


def test_only_mounts_of_the_cgroup_v2_tree_are_listed() -> None:
    first = b"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    second = b"41 31 0:38 /../.. /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    expected = [Mount(0, 38, "/../..", "/sys/fs/cgroup/unified", "cgroup2")]
    assert parse_cgroup2_mounts(ROOT + first + second) == expected


def test_the_mount_of_a_file_is_the_one_with_its_number() -> None:
    fdinfo = b"pos:\t0\nflags:\t012000000\nmnt_id:\t412\nino:\t4026532500\n"
    longer = b"4120 30 0:4 net:[4026532501] /run/netns/db rw - nsfs nsfs rw\n"
    assert parse_mount_of_file(ROOT + longer + NETNS, fdinfo) == WEB
    assert parse_mount_of_file(ROOT + longer, fdinfo) is None


@pytest.mark.parametrize("fdinfo", [b"", b"pos:\t0\nflags:\t02\n", b"mnt_id:\tx\n", b"mnt_id:\t-1\n"])
def test_a_file_whose_mount_is_not_told_has_none(fdinfo: bytes) -> None:
    assert parse_mount_of_file(ROOT + NETNS, fdinfo) is None


def test_a_file_lies_on_a_mount_that_is_listed() -> None:
    with open("/proc/self/mountinfo", "rb") as mountinfo:
        with open(f"/proc/self/fdinfo/{mountinfo.fileno()}", "rb") as fdinfo:
            mount = parse_mount_of_file(mountinfo.read(), fdinfo.read())
        device = os.fstat(mountinfo.fileno()).st_dev
    assert mount is not None
    assert mount.fs_type == "proc"
    assert os.makedev(mount.major, mount.minor) == device


def test_the_options_of_a_procfs_are_those_of_its_device() -> None:
    text = ROOT + PROC + HIDING
    assert parse_proc_options(text, 0, 21) == ProcOptions(None, None)
    assert parse_proc_options(text, 0, 52) == ProcOptions("ptraceable", "pid", 4)


def test_what_is_no_procfs_has_no_options() -> None:
    assert parse_proc_options(ROOT + PROC, 259, 1) is None


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        (b"0", "off"),
        (b"1", "noaccess"),
        (b"2", "invisible"),
        (b"4", "ptraceable"),
        (b"off", "off"),
        (b"noaccess", "noaccess"),
        (b"invisible", "invisible"),
        (b"ptraceable", "ptraceable"),
        (b"later", "later"),
    ],
)
def test_hidepid_has_one_name_on_all_kernels(shown: bytes, name: str) -> None:
    line = b"90 27 0:52 / /proc rw - proc proc rw,hidepid=" + shown + b"\n"
    assert parse_proc_options(line, 0, 52) == ProcOptions(name, None)


def test_a_procfs_whose_source_has_no_name_or_looks_like_options_is_read() -> None:
    for source in (b"", rb"hidepid=1,\040\040subset=pid"):
        line = b"90 27 0:52 / /proc rw - proc " + source + b" rw,hidepid=invisible\n"
        assert parse_proc_options(line, 0, 52) == ProcOptions("invisible", None)


@pytest.mark.parametrize("line", [b"90 27 0:52 / /proc rw - proc proc", b"90 27 0:52 / - proc proc rw"])
def test_a_damaged_line_of_a_procfs_is_a_format_error_that_holds_it(line: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_proc_options(PROC + line, 0, 52)
    assert caught.value.text == line


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"412 30 0:4 net:[4026532500] /run/netns/web rw shared:205",
        b"412 30 0:4 net:[4026532500] - nsfs nsfs rw",
        b"412 30 04 net:[4026532500] /run/netns/web rw - nsfs nsfs rw",
        b"412 30 0:x net:[4026532500] /run/netns/web rw - nsfs nsfs rw",
        b"412 30 -1:4 net:[4026532500] /run/netns/web rw - nsfs nsfs rw",
        b"412 30 0:4_0 net:[4026532500] /run/netns/web rw - nsfs nsfs rw",
        b"412 30 0:" + b"1" * 5000 + b" net:[4026532500] /run/netns/web rw - nsfs nsfs rw",
        b"412 30 0:4 net:[4026532500] /run/netns/web rw - ",
    ],
)
def test_a_damaged_line_is_a_format_error_that_holds_it(line: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_mount(line)
    assert caught.value.text == line


def test_the_roots_of_mounts_tell_what_is_mounted() -> None:
    text = (
        b"23 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        b"90 23 0:25 /overlay-containers/a\\040b/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw\n"
    )
    assert parse_mount_roots(text) == ["/", "/overlay-containers/a b/userdata/hosts"]


BELOW = b"30 23 0:40 / /srv rw - tmpfs none rw\n31 30 0:41 /part /srv/a rw - tmpfs none rw\n"


@pytest.mark.parametrize(
    ("path", "mount_point"),
    [("/", "/"), ("/srvx/a", "/"), ("/srv", "/srv"), ("/srv/b", "/srv"), ("/srv/a/b", "/srv/a"), ("/srv/ab", "/srv")],
)
def test_a_path_lies_on_the_mount_that_is_nearest_to_it(path: str, mount_point: str) -> None:
    found = find_mount(ROOT + BELOW, path)
    assert found is not None
    assert found.mount_point == mount_point


def test_of_two_mounts_at_one_place_the_last_one_covers_the_other() -> None:
    assert find_mount(ROOT + BELOW + BELOW.replace(b"0:41", b"0:42"), "/srv/a") == Mount(
        0, 42, "/part", "/srv/a", "tmpfs"
    )
    assert find_mount(b"", "/srv") is None


def test_mounts_of_a_file_system_are_those_with_its_number() -> None:
    assert list_mounts_of(ROOT + BELOW, 0, 41) == [Mount(0, 41, "/part", "/srv/a", "tmpfs")]
    assert list_mounts_of(ROOT + BELOW, 0, 4) == []
