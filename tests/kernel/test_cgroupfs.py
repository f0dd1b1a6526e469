"""Paths of cgroups by their ids: cgroups of their own, in a mount namespace that ends with its child.

Each child mounts the tree where only it sees it, makes cgroups below one of its own name, reads,
and removes them.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import cast

import pytest

from nsagent.errors import FormatError, NotRead, ReadFailed
from nsagent.kernel.capabilities import Capability as Right
from nsagent.kernel.capabilities import give_back_capabilities
from nsagent.kernel.cgroupfs import read_cgroup_paths
from nsagent.kernel.formats.mountinfo import parse_cgroup2_mounts
from tests.kernel.apart import run_apart
from tests.kernel.children import start_child
from tests.kernel.proc_tree import ROOT_MOUNT, ProcTree
from tests.live.capabilities import Capability, lack, require
from tests.live.made_cgroups import V2, DeepCgroup, find_hierarchies

IN_NEW_MOUNT_NAMESPACE = ("unshare", "--mount", "--propagation=private", "--")
WITHOUT_ADMIN = ("setpriv", "--bounding-set=-sys_admin,-sys_ptrace", "--inh-caps=-sys_admin,-sys_ptrace", "--")
WITHOUT_READ_SEARCH = ("setpriv", "--bounding-set=-dac_read_search", "--inh-caps=-dac_read_search", "--")

ROOT_CGROUP_NAMESPACE = "cgroup:[4026531835]"
NOBODYS_ID = 1 << 40

PRELUDE = """
import ctypes, json, signal, subprocess

from nsagent.kernel.cgroupfs import read_cgroup_paths
PLACE = {place!r}
CLONE_NEWNS, CLONE_NEWCGROUP = 0x00020000, 0x02000000
NAMES = ["in", "in/deep", "out", "out/deep", "gone", "x (deleted)", "\\udcff b"]
libc = ctypes.CDLL(None, use_errno=True)

def run(*arguments):
    subprocess.run(arguments, check=True)

def mounts():
    with open("/proc/self/mountinfo", errors="surrogateescape") as lines:
        return [line.split() for line in lines if " - cgroup2 " in line]

def unmount_all(*, but=()):
    for mount in mounts():
        if mount[4] not in but:
            run("umount", "--lazy", mount[4])

def procfs_without_pid_1():
    os.mkdir(PLACE + "-procfs")
    os.symlink("/proc/self", PLACE + "-procfs/self")
    return PLACE + "-procfs"

def enter(name, pid):
    fd = os.open(f"{{name}}/cgroup.procs", os.O_WRONLY, dir_fd=tree)
    os.write(fd, str(pid).encode())
    os.close(fd)

def start_mover():
    # It stays in the first cgroup namespace: where systemd mounted the tree (nsdelegate), nobody
    # moves a process out of another one from inside.
    asked, asking = socket.socketpair()
    pid = os.getpid()
    mover = os.fork()
    if not mover:
        asking.close()
        while name := asked.recv(4096):
            enter(name.decode(errors="surrogateescape"), pid)
            asked.send(b"moved")
        os._exit(0)
    asked.close()
    return mover, asking

def move(name):
    asking.send(name.encode(errors="surrogateescape"))
    assert asking.recv(100) == b"moved", name

def place(name):
    # It ends with this process, whose end of the pipe nobody else has.
    pid = os.fork()
    if not pid:
        os.close(telling)
        os.read(told, 1)
        os._exit(0)
    placed.append(pid)
    enter(f"{{base}}/{{name}}", pid)
    return pid

def shown(pid):
    with open(f"/proc/{{pid}}/cgroup", errors="surrogateescape") as lines:
        return [line[3:-1] for line in lines if line.startswith("0::")][0]

def begin_namespace(name):
    move(f"{{base}}/{{name}}")
    assert libc.unshare(CLONE_NEWCGROUP) == 0

def bind(name, place):
    os.makedirs(place, exist_ok=True)
    run("mount", "--bind", f"{{PLACE}}/{{base}}/{{name}}", place)

def read_without(prefix):
    reader = [*prefix, sys.executable, "-c", {reader!r}, json.dumps(list(names))]
    return named(dict(json.loads(subprocess.check_output(reader, text=True))))

def open_fds():
    return {{fd: os.readlink(f"/proc/self/fd/{{fd}}") for fd in os.listdir("/proc/self/fd")
            if os.path.lexists(f"/proc/self/fd/{{fd}}")}}

def named(paths):
    return {{names[cgroup_id]: path.replace(base, "BASE") for cgroup_id, path in paths.items()}}

os.mkdir(PLACE)
# A new mount would set the options of the host's tree anew.
whole = [mount[4] for mount in mounts() if mount[3] == "/"]
run("mount", *(["--bind", whole[0]] if whole else ["-t", "cgroup2", "cgroup2"]), PLACE)
tree = os.open(PLACE, os.O_RDONLY | os.O_DIRECTORY)
base = f"nsagent-test-{{os.getpid()}}"
os.mkdir(base, dir_fd=tree)
names = {{1: "root"}}
placed = []
mover, asking = start_mover()
told, telling = os.pipe()
try:
    for name in NAMES:
        os.mkdir(f"{{base}}/{{name}}", dir_fd=tree)
        names[os.stat(f"{{base}}/{{name}}", dir_fd=tree).st_ino] = name
    os.rmdir(f"{{base}}/gone", dir_fd=tree)
    said = None
    def read(proc_root="/proc"):
        return named(read_cgroup_paths(list(names), proc_root=proc_root).paths)
    # The part of each test.
    {steps}
finally:
    for pid in placed:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    move(".")
    asking.close()
    os.waitpid(mover, 0)
    for name in reversed(NAMES):
        if name != "gone": os.rmdir(f"{{base}}/{{name}}", dir_fd=tree)
    os.rmdir(base, dir_fd=tree)
ready(json.dumps(said)); wait()
"""
READER = """
import json, sys
from nsagent.kernel.cgroupfs import read_cgroup_paths
print(json.dumps([*read_cgroup_paths(json.loads(sys.argv[1])).paths.items()]))
"""
TELLER = """
import json, sys
from nsagent.kernel.cgroupfs import read_cgroup_paths
paths, failed = read_cgroup_paths(json.loads(sys.argv[1]))
print(json.dumps([[*paths.items()], [(number, err.errno) for number, err in failed.items()]]))
"""
DENIED = """
from nsagent.errors import AccessDenied
from nsagent.kernel.cgroupfs import read_cgroup_paths
try:
    read_cgroup_paths([1])
except AccessDenied as err:
    print(err)
"""
EVERY = {
    "in": "/BASE/in",
    "in/deep": "/BASE/in/deep",
    "out": "/BASE/out",
    "out/deep": "/BASE/out/deep",
    "x (deleted)": "/BASE/x (deleted)",
    "\udcff b": "/BASE/\udcff b",
}
"""All that is there but the root of the tree, which is asked for too; `gone` was removed."""

EVERY_FROM_IN = {
    "in": "/",
    "in/deep": "/deep",
    "out": "/../out",
    "out/deep": "/../out/deep",
    "x (deleted)": "/../x (deleted)",
    "\udcff b": "/../\udcff b",
}
"""The same from a cgroup namespace that begins with `in`."""


def said_after(directory: Path, steps: str, *prefix: str) -> object:
    """What a child says that sets `said` in these steps."""
    require(Capability.ROOT, Capability.SETPRIV)
    if os.readlink("/proc/self/ns/cgroup") != ROOT_CGROUP_NAMESPACE:
        lack(Capability.ROOT_CGROUP_NAMESPACE)
    program = PRELUDE.format(place=str(directory / "place"), reader=READER, steps=steps.replace("\n", "\n    "))
    with start_child(program, *IN_NEW_MOUNT_NAMESPACE, *prefix) as child:
        said: object = json.loads(child.said)
        return said


def test_each_cgroup_that_is_there_has_its_path_and_the_removed_have_none(tmp_path: Path) -> None:
    assert said_after(tmp_path, "said = read()") == EVERY


def test_without_a_mount_in_sight_it_makes_its_own(tmp_path: Path) -> None:
    assert said_after(tmp_path, "unmount_all(); said = read(procfs_without_pid_1())") == EVERY


def test_without_the_right_to_open_by_number_the_tree_is_searched(tmp_path: Path) -> None:
    assert said_after(tmp_path, "said = read()", *WITHOUT_READ_SEARCH) == EVERY


def test_a_search_finds_the_paths_that_cgroups_have_by_their_numbers() -> None:
    require(Capability.ROOT)
    mounts = parse_cgroup2_mounts(Path("/proc/self/mountinfo").read_bytes())
    if not any(mount.root == "/" for mount in mounts):
        lack(Capability.ROOT_CGROUP_NAMESPACE, "no mount of the whole tree")
    root = next(mount.mount_point for mount in mounts if mount.root == "/")
    cgroup = tempfile.mkdtemp(prefix="nsagent-", dir=root)
    found = []

    def search() -> None:
        give_back_capabilities((Right.SYS_PTRACE, Right.SYS_ADMIN), own="/proc/thread-self")
        found.append(read_cgroup_paths(ids).paths)

    try:
        ids = {os.stat(cgroup).st_ino, NOBODYS_ID}
        by_number = read_cgroup_paths(ids).paths
        run_apart(search)
    finally:
        os.rmdir(cgroup)
    assert by_number == {min(ids): cgroup.removeprefix(root)}
    assert found == [by_number]


def test_without_that_right_and_without_a_mount_its_own_is_searched(tmp_path: Path) -> None:
    assert said_after(tmp_path, "unmount_all(); said = read(procfs_without_pid_1())", *WITHOUT_READ_SEARCH) == EVERY


@pytest.mark.parametrize("unmount", ["", "unmount_all()\n"], ids=["mounted", "own mount"])
@pytest.mark.parametrize("prefix", [(), WITHOUT_READ_SEARCH], ids=["by number", "searched"])
def test_no_mount_and_no_fd_is_left(tmp_path: Path, unmount: str, prefix: tuple[str, ...]) -> None:
    """A mount of others may go meanwhile: who deletes the name of a netns takes it away everywhere."""
    mounts = "set(open('/proc/self/mountinfo', errors='surrogateescape'))"
    steps = f"{unmount}there = procfs_without_pid_1()\nbefore, fds = {mounts}, open_fds()\nread(there)\n"
    said = f"said = [sorted({mounts} - before), open_fds() == fds]"
    assert said_after(tmp_path, steps + said, *prefix) == [[], True]


def test_a_mount_that_is_covered_by_another_is_not_mistaken_for_it(tmp_path: Path) -> None:
    assert (
        said_after(tmp_path, "unmount_all(but=[PLACE]); run('mount', '-t', 'tmpfs', 'x', PLACE); said = read()")
        == EVERY
    )


def test_without_a_mount_and_the_right_to_make_one_it_is_denied(tmp_path: Path) -> None:
    reader = [*WITHOUT_ADMIN, sys.executable, "-c", DENIED]
    steps = f"unmount_all(); said = subprocess.run({reader!r}, stdout=subprocess.PIPE, text=True).stdout"
    assert said_after(tmp_path, steps) == "cgroup paths: EPERM\n"


@pytest.mark.parametrize("own_mount", ["", "bind(OWN, PLACE + '-own')\n"], ids=["without", "with own mount"])
@pytest.mark.parametrize("prefix", [(), WITHOUT_READ_SEARCH], ids=["by number", "searched"])
@pytest.mark.parametrize("own", [".", "in", "in/deep"])
def test_in_another_cgroup_namespace_paths_are_those_that_processes_there_show(
    tmp_path: Path, own: str, prefix: tuple[str, ...], own_mount: str
) -> None:
    steps = f"""
OWN = {own!r}
pids = {{name: place(name) for name in NAMES if name != "gone"}}
{own_mount}
begin_namespace(OWN)
said = [read(), {{name: shown(pid) for name, pid in pids.items()}}]
"""
    found, shown = cast("list[dict[str, str]]", said_after(tmp_path, steps, *prefix))
    assert found == shown
    assert len(found) == len(EVERY)


def test_in_the_root_cgroup_namespace_paths_are_those_that_processes_there_show(tmp_path: Path) -> None:
    steps = """
pids = {name: place(name) for name in NAMES if name != "gone"}
said = [read(), {name: shown(pid).replace(base, "BASE") for name, pid in pids.items()}]
"""
    assert said_after(tmp_path, steps) == [EVERY, EVERY]


def test_another_cgroup_namespace_of_the_whole_tree_is_like_the_root_one(tmp_path: Path) -> None:
    assert said_after(tmp_path, "move('.'); assert libc.unshare(CLONE_NEWCGROUP) == 0; said = read()") == EVERY


def test_in_another_cgroup_namespace_paths_are_written_as_the_kernel_does(tmp_path: Path) -> None:
    assert said_after(tmp_path, "begin_namespace('in'); said = read()") == EVERY_FROM_IN


def test_in_another_cgroup_namespace_no_mount_and_no_fd_is_left(tmp_path: Path) -> None:
    look = "(open('/proc/self/mountinfo', errors='surrogateescape').read(), open_fds())"
    for own_mount in ("", "; bind('in', PLACE + '-own')"):
        place = tmp_path / str(len(own_mount))
        place.mkdir()
        steps = f"begin_namespace('in'){own_mount}; before = {look}; read(); said = {look} == before"
        assert said_after(place, steps) is True


def test_in_another_cgroup_namespace_a_mount_from_its_root_needs_no_right_to_make_one(tmp_path: Path) -> None:
    steps = f"bind('in', PLACE + '-own'); begin_namespace('in'); said = read_without({WITHOUT_ADMIN})"
    assert said_after(tmp_path, steps) == EVERY_FROM_IN


@pytest.mark.parametrize(
    "cover",
    ["--bind {PLACE}/{base}/out", "-t tmpfs x"],
    ids=["by another part", "by a tmpfs"],
)
def test_in_another_cgroup_namespace_a_covered_mount_does_not_tell_its_root(tmp_path: Path, cover: str) -> None:
    steps = f"""
bind("in", PLACE + "-own")
run("mount", *f"{cover}".split(), PLACE + "-own")
try:
    begin_namespace("in")
    said = [read_without({WITHOUT_ADMIN}), read()]
finally:
    # It lies on a cgroup's directory, which cannot be removed before.
    run("umount", PLACE + "-own")
"""
    assert said_after(tmp_path, steps) == [{}, EVERY_FROM_IN]


def test_in_another_cgroup_namespace_a_mount_of_the_whole_tree_over_one_from_its_root_is_not_mistaken_for_it(
    tmp_path: Path,
) -> None:
    steps = """
bind("in", PLACE + "-own")
run("mount", "--bind", PLACE, PLACE + "-own")
try:
    unmount_all(but=[PLACE + "-own"])
    begin_namespace("in")
    said = read(procfs_without_pid_1())
finally:
    run("umount", PLACE + "-own")
"""
    assert said_after(tmp_path, steps) == EVERY_FROM_IN


def test_in_another_cgroup_namespace_nothing_has_a_path_where_no_mount_tells_its_root(tmp_path: Path) -> None:
    steps = f"bind('out', PLACE + '-part'); begin_namespace('in'); said = read_without({WITHOUT_ADMIN})"
    assert said_after(tmp_path, steps) == {}


def test_in_a_cgroup_namespace_whose_root_is_removed_nothing_has_a_path(tmp_path: Path) -> None:
    steps = """
os.mkdir(f"{base}/gone", dir_fd=tree)
bind("gone", PLACE + "-own")
begin_namespace("gone")
move(base + "/in")
os.rmdir(f"{base}/gone", dir_fd=tree)
said = [read(), shown("self")]
run("umount", PLACE + "-own")
said.append(read())
"""
    assert said_after(tmp_path, steps) == [{}, "/../in", {}]


@pytest.mark.parametrize("prefix", [(), WITHOUT_READ_SEARCH], ids=["by number", "searched"])
def test_in_another_cgroup_namespace_without_a_mount_of_the_whole_tree_only_what_is_inside_has_a_path(
    tmp_path: Path, prefix: tuple[str, ...]
) -> None:
    steps = "begin_namespace('in'); unmount_all(); said = read(procfs_without_pid_1())"
    assert said_after(tmp_path, steps, *prefix) == {"in": "/", "in/deep": "/deep"}


def test_in_another_cgroup_namespace_a_mount_of_pid_1_shows_what_is_outside(tmp_path: Path, tree: ProcTree) -> None:
    steps = f"""
os.symlink("/proc/self", "{tree.path}/self")
os.symlink(f"/proc/{{place('out')}}", "{tree.path}/1")
assert libc.unshare(CLONE_NEWNS) == 0
unmount_all()
begin_namespace("in")
said = read("{tree.path}")
"""
    assert said_after(tmp_path, steps) == EVERY_FROM_IN


def test_a_mount_of_its_own_leaves_the_options_of_the_tree_as_they_are(tmp_path: Path) -> None:
    steps = """
def remount(options):
    run("mount", "-o", "remount," + options, "cgroup2", PLACE)

before = mounts()[0][-1]
other = PLACE + "-procfs"
os.makedirs(other + "/self")
for name in ("fd", "cgroup"):
    os.symlink(f"/proc/self/{name}", f"{other}/self/{name}")
open(other + "/self/mountinfo", "x").close()
remount(before + ",nsdelegate")
try:
    found = read(other)
    said = [found, ["nsdelegate" in mount[-1] for mount in mounts()]]
finally:
    remount(before)
"""
    found, delegates = cast("tuple[object, list[bool]]", said_after(tmp_path, steps))
    assert found == EVERY
    assert set(delegates) == {True}


def test_a_mount_of_a_part_of_the_tree_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    steps = """
part = PLACE + "-part"
bind("in", part)
unmount_all(but=[part])
said = read(procfs_without_pid_1())
"""
    assert said_after(tmp_path, steps) == EVERY


def test_the_root_of_the_tree_has_no_path(tmp_path: Path) -> None:
    assert said_after(tmp_path, "said = read_cgroup_paths([1]).paths") == {}


def test_a_cgroup_that_is_named_like_a_way_up_is_not_taken_for_one(tmp_path: Path) -> None:
    steps = """
name = f"..{base}"
os.mkdir(name, dir_fd=tree)
try:
    os.makedirs(PLACE + "-part")
    run("mount", "--bind", f"{PLACE}/{name}", PLACE + "-part")
    number = os.stat(name, dir_fd=tree).st_ino
    said = [read_cgroup_paths([number]).paths[number].replace(base, "BASE"), read()]
finally:
    os.rmdir(name, dir_fd=tree)
"""
    assert said_after(tmp_path, steps) == ["/..BASE", EVERY]


def failures(steps: str) -> str:
    """Steps that read while these hold, and say what was found and what failed."""
    return f"""
def read_all(**more):
    paths, failed = read_cgroup_paths(list(names), **more)
    told = {{names[number]: [err.reason, err.errno] for number, err in failed.items()}}
    return [named(paths), told]
{steps}
"""


MAKE_OVERLONG = """
above = [os.open(base, os.O_RDONLY, dir_fd=tree)]
try:
    for _ in range(18):
        os.mkdir("d" * 250, dir_fd=above[-1])
        above.append(os.open("d" * 250, os.O_RDONLY, dir_fd=above[-1]))
    names[os.fstat(above[-1]).st_ino] = "overlong"
    said = read_all()
finally:
    while len(above) > 1:
        os.close(above.pop())
        os.rmdir("d" * 250, dir_fd=above[-1])
"""


def test_a_path_that_is_too_long_is_not_known_and_all_others_are(tmp_path: Path) -> None:
    """Any user with a cgroup of his own can make one."""
    found = said_after(tmp_path, failures(MAKE_OVERLONG))
    assert found == [EVERY, {"overlong": ["failed", "ENAMETOOLONG"]}]


def test_what_a_search_does_not_find_may_be_at_a_path_that_is_too_long(tmp_path: Path) -> None:
    found = said_after(tmp_path, failures(MAKE_OVERLONG), *WITHOUT_READ_SEARCH)
    failed = ["failed", "ENAMETOOLONG"]
    assert found == [EVERY, {"overlong": failed, "gone": failed}]


def test_what_a_search_does_not_find_may_be_where_it_may_not_look(tmp_path: Path) -> None:
    """Whoever owns a cgroup says who may list it."""
    rights = "-dac_read_search,-dac_override"
    reader = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", "--", sys.executable, "-c", TELLER]
    steps = f"""
os.chmod(f"{{PLACE}}/{{base}}/out", 0)
told = subprocess.check_output([*{reader!r}, json.dumps(list(names))], text=True)
paths, failed = map(dict, json.loads(told))
said = [named(paths), {{names[number]: why for number, why in failed.items()}}]
"""
    left = {name: path for name, path in EVERY.items() if name != "out/deep"}
    assert said_after(tmp_path, steps) == [left, {"out/deep": "EACCES", "gone": "EACCES"}]


@pytest.mark.parametrize("most", [0, 1])
def test_what_a_search_of_so_many_cgroups_does_not_find_is_not_known(tmp_path: Path, most: int) -> None:
    """No more than one that is gone makes it look through all."""
    many = ["too_many", None]
    assert said_after(tmp_path, failures(f"said = read_all(most={most})"), *WITHOUT_READ_SEARCH) == [
        {},
        dict.fromkeys([*EVERY, "gone"], many),
    ]


def test_a_search_looks_last_where_somebody_has_made_many_cgroups(tmp_path: Path) -> None:
    """In a tree of that kind whose cgroups are directories of a tmpfs: no others are in it."""
    steps = """
os.makedirs(PLACE + "-flood/flood/in")
flood = PLACE + "-flood"
run("mount", "-t", "tmpfs", "x", flood)
device = os.stat(flood).st_dev
os.makedirs(PLACE + "-procfs/self")
os.symlink("/proc/self/fd", PLACE + "-procfs/self/fd")
with open(PLACE + "-procfs/self/mountinfo", "w") as lines:
    lines.write(f"41 31 {os.major(device)}:{os.minor(device)} / {flood} rw - cgroup2 cgroup2 rw\\n")
for number in range(100):
    os.makedirs(f"{flood}/a/{number}/below")
os.makedirs(f"{flood}/pods/one/two/three")
names = {os.stat(f"{flood}/pods/one/two/three").st_ino: "three", os.stat(f"{flood}/a/99/below").st_ino: "below"}
paths, failed = read_cgroup_paths(list(names), proc_root=PLACE + "-procfs", most=10)
said = [named(paths), [names[number] for number in failed]]
"""
    assert said_after(tmp_path, steps, *WITHOUT_READ_SEARCH) == [{"three": "/pods/one/two/three"}, ["below"]]


def test_without_ids_nothing_is_read() -> None:
    assert read_cgroup_paths([], proc_root="/nowhere") == ({}, {})


def test_where_no_tree_is_in_use_the_read_fails(tree: ProcTree) -> None:
    tree.link("self", "321")
    tree.process(321, cgroup="1:name=systemd:/0::/x\n", mountinfo=ROOT_MOUNT)
    with pytest.raises(NotRead, match="cgroup paths: no cgroup2"):
        read_cgroup_paths([1], proc_root=tree.path)


def test_without_a_list_of_mounts_the_read_fails(tree: ProcTree) -> None:
    with pytest.raises(ReadFailed, match="cgroup paths: ENOENT"):
        read_cgroup_paths([1], proc_root=tree.path)


def test_a_damaged_list_of_mounts_is_a_format_error(tree: ProcTree) -> None:
    tree.link("self", "321")
    tree.process(321, mountinfo="41 31 0:38 / - cgroup2 cgroup2 rw\n")
    with pytest.raises(FormatError):
        read_cgroup_paths([1], proc_root=tree.path)


@pytest.mark.parametrize("by_id", [True, False], ids=["by ids", "by a search"])
def test_a_cgroup_with_too_long_a_path_costs_no_other_one_its_path(by_id: bool) -> None:
    require(Capability.ROOT)
    top = find_hierarchies().get(V2)
    if top is None:
        lack(Capability.ROOT_CGROUP_NAMESPACE, "no cgroups of version 2")
        return
    deep = DeepCgroup(top)
    try:
        outer, *_, inner = deep.list_ids()
        program = (
            "from nsagent.kernel.cgroupfs import read_cgroup_paths\n"
            f"paths, failed = read_cgroup_paths({{{outer}, {inner}, {NOBODYS_ID}}})\n"
            f"ready(len(paths.get({outer}, '')) * ({inner} in {{**paths, **failed}})); wait()"
        )
        with start_child(program, *(() if by_id else WITHOUT_READ_SEARCH)) as child:
            assert int(child.said) > 1
    finally:
        deep.close()
