"""The cgroup-v2 tree: ids of its directories, as sockets carry them, to paths.

An id is the number of the directory, and at the same time the handle by which it can be opened,
wherever it is. That takes a mount of the tree: one that is there, else one that is made for the
purpose, stands in no mount namespace and is gone when its fd is closed.

Source: cgroups(7), cgroup_namespaces(7); open_by_handle_at(2), fs/kernfs/mount.c (FILEID_KERNFS).
"""

import os
import struct
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, ENAMETOOLONG, ENOENT, EPERM, ESTALE
from functools import partial
from heapq import heappop, heappush
from typing import Final, NamedTuple

from nsagent.errors import NotRead, Reason
from nsagent.kernel.files import read_file, translate_failure
from nsagent.kernel.formats.mountinfo import Mount, parse_cgroup2_mounts, parse_mount_of_file
from nsagent.kernel.libc import call_libc, close_fd
from nsagent.kernel.private_mount import create, mount_privately
from nsagent.kernel.seccomp import has_filter
from nsagent.kernel.threads import run_in_threads
from nsagent.model.ids import ROOT_CGROUP_ID

_SUBJECT: Final = "cgroup paths"
_FILEID_KERNFS: Final = 0xFE
_CLONE_NEWCGROUP: Final = 0x02000000
_HANDLE: Final = struct.Struct("=IiQ")
_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

MOST_SEARCHED: Final = 1 << 15
"""How many cgroups are looked into where the tree is searched: 20 us each."""

_OF_ONE: Final = (EACCES, EPERM, ENAMETOOLONG)
"""Why one directory cannot be listed, and others can: who owns it may say who may, and make paths of any length."""


class CgroupPaths(NamedTuple):
    """The paths of cgroups by their ids, and why that of others is not known; in neither are those that are removed."""

    paths: dict[int, str]
    failed: dict[int, NotRead]


def read_cgroup_paths(ids: Collection[int], *, proc_root: str = "/proc", most: int = MOST_SEARCHED) -> CgroupPaths:
    """The paths of those of the cgroups that are there, as this program sees them in `0::` lines of /proc/PID/cgroup.

    They are relative to the root of the own cgroup namespace: `/` for that itself, `/sub` below it,
    `/..` and `/../sibling/x` outside. The root of the whole tree, ROOT_CGROUP_ID, is never among them.

    What lies outside needs a mount of the whole tree, among the own mounts (the host's
    /sys/fs/cgroup in a container) or those of PID 1; without, it is left out like removed cgroups.
    With it the result is empty where it cannot be told in which cgroup the own namespace begins: that
    takes a mount of the tree from there, which is what a container has at its /sys/fs/cgroup.

    A path of 4 KiB and more fails. Where the tree is searched, in `most` cgroups, so does every id that is not
    found and may be in what was not seen.

    Raises NotRead, also where no cgroup-v2 tree is in use, and FormatError. Without
    CAP_DAC_READ_SEARCH, and under a seccomp filter, the tree is searched; without CAP_SYS_ADMIN, or
    CAP_SYS_PTRACE over PID 1, it must be mounted. Takes 0.1 ms, 0.2 in a cgroup namespace other than the
    root one, 0.6 where a mount must be made, and 15 us for an id, or 20 us for every cgroup that is
    searched. Needs a 64-bit kernel of 5.5 or later: before, ids were other numbers.
    """
    if not ids:
        return CgroupPaths({}, {})
    wanted = set(ids) - {ROOT_CGROUP_ID}
    try:
        with _open_tree(proc_root) as (root, is_own):
            if is_own:
                return _read_paths(root, wanted, proc_root, most)
            start = _find_own_start(proc_root)
            if start is None:
                return CgroupPaths({}, {})
            paths, failed = _read_paths(root, wanted | {start}, proc_root, most)
    except OSError as err:
        raise translate_failure(err, _SUBJECT) from err
    if start in failed:
        return CgroupPaths({}, dict.fromkeys(wanted, failed[start]))
    if start not in paths:
        # The cgroup in which the namespace begins may be removed, and the namespace still be used.
        return CgroupPaths({}, {})
    return CgroupPaths({each: _relate(path, paths[start]) for each, path in paths.items() if each in wanted}, failed)


def _relate(path: str, start: str) -> str:
    """A path as it is seen from the one at `start`, as fs/kernfs/dir.c kernfs_path_from_node() writes it."""
    relative = os.path.relpath(path, start)
    return "/" if relative == "." else f"/{relative}"


@contextmanager
def _open_tree(proc_root: str) -> Iterator[tuple[int, bool]]:
    """An fd on the root of the tree, as much of it as can be had; whether the own cgroup namespace begins there.

    Raises OSError and NotRead.
    """
    tree = _find_whole_tree(read_file(f"{proc_root}/self/mountinfo"), "")
    if tree is None:
        # PID 1 may be hidden, or not to be traced.
        with suppress(OSError):
            tree = _find_whole_tree(read_file(f"{proc_root}/1/mountinfo"), f"{proc_root}/1/root")
    if tree is None:
        # Whoever mounts it first makes every /proc/PID/cgroup show it from then on, so only where they do.
        if b"\n0::" not in b"\n" + read_file(f"{proc_root}/self/cgroup"):
            raise NotRead(_SUBJECT, Reason.NO_CGROUP2)
        tree = _mount_tree(), True
    try:
        yield tree
    finally:
        close_fd(tree[0])


def _find_whole_tree(mountinfo: bytes, base: str) -> tuple[int, bool] | None:
    """An fd on a mount that shows the tree from its root, None if there is none that can be opened.

    Also whether the own cgroup namespace begins there. `base` is the root directory of the process
    whose mounts they are.
    """
    mounts = parse_cgroup2_mounts(mountinfo)
    for mount in mounts:
        try:
            root = os.open(base + mount.mount_point, _OPEN_DIRECTORY)
        except OSError:
            continue  # Out of reach, or gone.
        # Which root it is tells its number: mountinfo has it relative to the own cgroup namespace.
        found = os.fstat(root)
        if found.st_ino == ROOT_CGROUP_ID and found.st_dev == os.makedev(mount.major, mount.minor):
            # It is one of these, if not this one, and seen from below it begins with `/..`. A name
            # that begins so costs a second look, which finds the same.
            return root, not any(each.root.startswith("/..") for each in mounts)
        close_fd(root)  # A part of the tree, or another mount that covers it.
    return None


def _find_own_start(proc_root: str) -> int | None:
    """The id of the root of the own cgroup namespace, None where no mount tells it; raises OSError and NotRead."""
    mountinfo = read_file(f"{proc_root}/self/mountinfo")
    for mount in parse_cgroup2_mounts(mountinfo):
        if mount.root == "/" and (number := _read_mounted_id(mount, mountinfo, proc_root)) is not None:
            return number
    try:
        root = _mount_tree()
    except OSError:
        return None  # Not allowed, or that cgroup is removed.
    try:
        return os.fstat(root).st_ino
    finally:
        close_fd(root)


def _read_mounted_id(mount: Mount, mountinfo: bytes, proc_root: str) -> int | None:
    """The number of the cgroup that one of the own mounts begins with, None if the mount cannot be looked at."""
    try:
        fd = os.open(mount.mount_point, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Any other part of the same tree may be mounted over it.
        is_this = parse_mount_of_file(mountinfo, read_file(f"{proc_root}/self/fdinfo/{fd}")) == mount
        return os.fstat(fd).st_ino if is_this else None
    finally:
        close_fd(fd)


def _mount_tree() -> int:
    """An fd on a new mount of the tree that nobody else sees, from the root of the own cgroup namespace."""
    return mount_privately(
        b"cgroup2", lambda context: run_in_threads([partial(_create_apart, context)], threading.Event())
    )


def _create_apart(context: int) -> None:
    """Create what `context` was opened for, in a thread that ends: it leaves the cgroup namespace.

    Every mount that is made from the root cgroup namespace sets the options of the one tree anew
    (kernel/cgroup/cgroup.c apply_cgroup_root_flags()): made from there, this one would take
    nsdelegate and memory_recursiveprot from the host. Which root it shows is settled by now.
    """
    call_libc("unshare", _CLONE_NEWCGROUP)
    create(context)


def _read_paths(root: int, ids: set[int], proc_root: str, most: int) -> CgroupPaths:
    """The paths of the cgroups from the root of the mount; raises OSError."""
    if has_filter():  # Whose list hardly ever has open_by_handle_at(2).
        return _search(root, ids, proc_root, most)
    try:
        return _open_each(root, ids, proc_root)
    except OSError as err:
        if err.errno not in (EPERM, EACCES):
            raise
    return _search(root, ids, proc_root, most)


def _open_each(root: int, ids: Collection[int], proc_root: str) -> CgroupPaths:
    """The paths of the cgroups, each opened by its id; raises OSError where that is not allowed."""
    prefix = _read_path(root, proc_root).rstrip("/")
    found = CgroupPaths({}, {})
    for cgroup_id in ids:
        handle = _HANDLE.pack(8, _FILEID_KERNFS, cgroup_id)
        try:
            fd = call_libc("open_by_handle_at", root, handle, os.O_PATH | os.O_CLOEXEC)
        except OSError as err:
            if err.errno == ESTALE:
                continue  # Removed.
            raise
        try:
            path = _read_path(fd, proc_root)[len(prefix) :] or "/"
            # Of a cgroup outside of the mount, or removed by now, the path is no path.
            if _read_id(root, path) == cgroup_id:
                found.paths[cgroup_id] = path
        except OSError as err:
            if err.errno != ENAMETOOLONG:
                raise
            found.failed[cgroup_id] = translate_failure(err, _SUBJECT)
        finally:
            close_fd(fd)
    return found


def _search(root: int, wanted: set[int], proc_root: str, most: int) -> CgroupPaths:
    """The paths of the cgroups, looked for in the mount; raises OSError.

    Each cgroup shares with those beside it, and one more, what the one above has of the search, and who has most
    comes first: whoever makes many cgroups has the others' found before.
    """
    paths = {number: "/" for number in wanted if number == os.fstat(root).st_ino}
    base = f"{proc_root}/self/fd/{root}"
    failed: NotRead | None = None
    unseen = [(-1.0, "")]
    while unseen and len(paths) < len(wanted):
        if most == 0:
            failed = NotRead(_SUBJECT, Reason.TOO_MANY)
            break
        most -= 1
        share, directory = heappop(unseen)
        try:
            below = _list_directories(base + (directory or "/"))
        except OSError as err:
            if not directory or err.errno not in (ENOENT, *_OF_ONE):
                raise
            if err.errno != ENOENT:
                failed = translate_failure(err, _SUBJECT)
            continue
        share /= len(below) + 1
        for name, number in below:
            path = f"{directory}/{name}"
            heappush(unseen, (share, path))
            if number in wanted:
                paths[number] = path
    return CgroupPaths(paths, {} if failed is None else dict.fromkeys(wanted - paths.keys(), failed))


def _list_directories(path: str) -> list[tuple[str, int]]:
    """The directories in this one, with their numbers; raises OSError."""
    with os.scandir(path) as entries:
        # Name, type and number come with the listing: no file is asked for.
        return [(entry.name, entry.inode()) for entry in entries if entry.is_dir(follow_symlinks=False)]


def _read_path(fd: int, proc_root: str) -> str:
    return os.readlink(f"{proc_root}/self/fd/{fd}")


def _read_id(root: int, path: str) -> int | None:
    """The number of what lies at this path of the mount, None if there is nothing; raises OSError if it is too long."""
    try:
        return os.stat("." + path, dir_fd=root, follow_symlinks=False).st_ino
    except OSError as err:
        if err.errno == ENAMETOOLONG:
            raise
        return None
