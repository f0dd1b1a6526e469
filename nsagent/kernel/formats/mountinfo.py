"""/proc/PID/mountinfo: the mounts of one mount namespace.

Source: proc_pid_mountinfo(5), fs/proc_namespace.c show_mountinfo().
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.fd_link import parse_inode_link
from nsagent.kernel.formats.numbers import parse_decimal

# Kernels before 5.8 show hidepid as a number.
_HIDEPID_NUMBERS = {"0": "off", "1": "noaccess", "2": "invisible", "4": "ptraceable"}
MOST_POINTS: Final = 16
"""So many mount points of one netns are kept."""

_ESCAPE = re.compile(rb"\\([0-7]{3})")
_NAME_PLACE = re.compile(rb"([0-9]+) ([0-9]+) [0-9]+:[0-9]+ ([^ ]+) (/(?:(?:var/)?run(?:/netns(?:/[^ ]+)?)?|var)?) ")
"""A mount where ip-netns(8) has names, or above: its number, its parent's, what of its file system, and where."""

_OF_NETNS: Final = ("net", "mountinfo")
"""What of the directory of a process tells of its netns and its mounts."""

_MOUNT_ID = re.compile(rb"^mnt_id:[ \t]*([0-9]+)$", re.MULTILINE)


class Mount(NamedTuple):
    """One mount; `major` and `minor` make up the st_dev of its files.

    `root` is the path within the file system that is mounted, for nsfs `net:[INODE]`; `mount_point`
    is relative to the root of the process whose file it is.
    """

    major: int
    minor: int
    root: str
    mount_point: str
    fs_type: str


def parse_mount(line: bytes) -> Mount:
    """One line: `ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS [TAG ...] - TYPE SOURCE SUPER`."""
    before, separator, after = line.partition(b" - ")
    fields = before.split(b" ")
    kind = after.split(b" ", 1)[0]
    if not separator or len(fields) < 6 or not kind:
        raise FormatError("a line of mountinfo", line)
    major, _, minor = fields[2].partition(b":")
    try:
        numbers = parse_decimal(major, 32), parse_decimal(minor, 32)
    except ValueError as err:
        raise FormatError("a line of mountinfo", line) from err
    return Mount(*numbers, _unescape(fields[3]), _unescape(fields[4]), _unescape(kind))


class ProcOptions(NamedTuple):
    """How a procfs is mounted; None for an option that is not shown, which has its default.

    `hidepid` is `noaccess`, `invisible` or `ptraceable`, `off` where it is shown all the same;
    `subset` is `pid`. `gid` is the group for which hidepid hides nothing, root's if it is not shown.
    """

    hidepid: str | None
    subset: str | None
    gid: int = 0


class NetnsMounts(NamedTuple):
    """The netns that are mounted in a mount namespace, by inode, each with mount points of it.

    Of mounts that were not kept `unnamed` are those of a netns that is here, `left_out` all others. `covered`
    are netns with places of names at which something else lies.
    """

    points: dict[int, list[str]]
    unnamed: int = 0
    left_out: int = 0
    covered: frozenset[tuple[int, str]] = frozenset()


def collect_netns_mounts(lines: Iterable[bytes], most_path_bytes: int, *, trusted: bool = False) -> NetnsMounts:
    """The netns among the lines of a mountinfo, with mount points of about so many bytes; raises FormatError.

    Anybody may mount as much as he likes, at paths of 4 KiB, in a mount namespace of his own: what is covered
    is told of one that is `trusted` alone.
    """
    lines = list(lines) if trusted else lines
    points: dict[int, list[str]] = {}
    unnamed = left_out = 0
    for line in lines:
        if b" - nsfs " not in line:
            continue
        mount = parse_mount(line)
        inode = parse_inode_link(mount.root, "net")
        if inode is None:
            continue
        known = points.get(inode)
        if len(mount.mount_point) > most_path_bytes or (known and len(known) == MOST_POINTS):
            unnamed, left_out = (unnamed + 1, left_out) if known else (unnamed, left_out + 1)
            continue
        most_path_bytes -= len(mount.mount_point)
        points.setdefault(inode, []).append(mount.mount_point)
    return NetnsMounts(points, unnamed, left_out, _find_covered(lines) if trusted else frozenset())


def _find_covered(lines: Iterable[bytes]) -> frozenset[tuple[int, str]]:
    """The netns, and where they are mounted as names, that no path leads to: something was mounted over them later.

    None where the root directory is not that of a mount, as in a chroot.
    """
    mounted: dict[tuple[bytes, bytes], bytes] = {}
    names: dict[bytes, tuple[int, bytes]] = {}
    first = None
    for match in filter(None, map(_NAME_PLACE.match, lines)):
        number, parent, root, point = match.groups()
        if point == b"/":  # What lies on it was mounted later: no path leads there.
            first = first or number
        else:
            mounted[parent, point] = number
        if (inode := parse_inode_link(_unescape(root), "net")) is not None:
            names[number] = inode, point
    if first is None:
        return frozenset()
    seen = {name for number, name in names.items() if _find_top(mounted, first, name[1]) == number}
    return frozenset((inode, _unescape(point)) for inode, point in {*names.values()} - seen)


def _find_top(mounted: Mapping[tuple[bytes, bytes], bytes], first: bytes, path: bytes) -> bytes:
    """The number of the mount that a path leads to, from the mount of the root directory on.

    From each mount it goes on to that of those on it which lies nearest to the root directory.
    """
    parts = path.split(b"/")
    ways = [b"/".join(parts[:length]) for length in range(2, len(parts) + 1)]
    top = first
    for _ in range(len(mounted)):  # A mount is met once; a text that was damaged may lead in a circle.
        above = next((mounted[top, way] for way in ways if (top, way) in mounted), None)
        if above is None:
            break
        top = above
    return top


def parse_cgroup2_mounts(text: bytes) -> list[Mount]:
    """The mounts of the cgroup-v2 tree among the lines of a mountinfo; raises FormatError."""
    return [parse_mount(line) for line in text.split(b"\n") if b" - cgroup2 " in line]


def parse_mount_roots(text: bytes) -> list[str]:
    """Of each mount what of its file system is mounted; raises FormatError."""
    return [parse_mount(line).root for line in text.split(b"\n") if line]


def find_mount(text: bytes, path: str) -> Mount | None:
    """The mount that a path lies on, the last one of those that are mounted over each other; raises FormatError."""
    found = None
    for line in filter(None, text.split(b"\n")):
        mount = parse_mount(line)
        point = mount.mount_point.rstrip("/")
        if (path == point or path.startswith(f"{point}/")) and (
            found is None or len(point) >= len(found.mount_point.rstrip("/"))
        ):
            found = mount
    return found


def list_mounts_of(text: bytes, major: int, minor: int) -> list[Mount]:
    """The mounts of the file system with this device number; raises FormatError."""
    number = b" %d:%d " % (major, minor)
    mounts = (parse_mount(line) for line in text.split(b"\n") if number in line)
    return [mount for mount in mounts if (mount.major, mount.minor) == (major, minor)]


def list_covered_pids(text: bytes, root: str) -> frozenset[int]:
    """The processes of the procfs at this path over whose directory, or what tells of them in it, something is mounted.

    Not over what tells of their netns and mounts: what that hides is no process.
    """
    below = f"{root.rstrip('/')}/"
    last = f"{below.split('/')[-2]}/"
    # A node has thousands of mounts, and hardly one of them lies there; a name that is escaped is looked for in all.
    mark = last.encode() if last[:-1].isascii() and last[:-1].isalnum() else b"/"
    lines = (line for line in text.split(b"\n") if mark in line)
    points = [_unescape(fields[4]) for fields in (line.split(b" ", 5) for line in lines) if len(fields) > 5]
    places = [point.removeprefix(below).split("/") for point in points if point.startswith(below)]
    names = {name for name, *within in places if not within or within[0] not in _OF_NETNS}
    return frozenset(int(name) for name in names if name.isascii() and name.isdigit())


def parse_mount_of_file(text: bytes, fdinfo: bytes) -> Mount | None:
    """The mount that an open file lies on, by its /proc/PID/fdinfo/FD; None where it is not listed; raises FormatError.

    Source: fs/proc/fd.c seq_show().
    """
    shown = _MOUNT_ID.search(fdinfo)
    if shown is None:
        return None
    return next((parse_mount(line) for line in text.split(b"\n") if line.startswith(shown[1] + b" ")), None)


def parse_proc_options(text: bytes, major: int, minor: int) -> ProcOptions | None:
    """The options of the procfs with this device number, None if no such procfs is mounted; raises FormatError.

    They belong to the file system, not to the mount: every mount of a device has the same.
    Source: fs/proc/root.c proc_show_options().
    """
    for line in text.split(b"\n"):
        mount = parse_mount(line) if b" - proc " in line else None
        if mount and (mount.major, mount.minor) == (major, minor):
            # After the type: its source, which may be empty, and its options.
            options = line.partition(b" - ")[2].split(b" ")[2:]
            if len(options) != 1:
                raise FormatError("a line of mountinfo with options", line)
            named = dict(option.partition("=")[::2] for option in _unescape(options[0]).split(","))
            hidepid = named.get("hidepid")
            try:
                gid = parse_decimal(named.get("gid", "0"), 32)
            except ValueError as err:
                raise FormatError("a gid in the options of a procfs", line) from err
            return ProcOptions(_HIDEPID_NUMBERS.get(hidepid or "", hidepid), named.get("subset"), gid)
    return None


def _unescape(field: bytes) -> str:
    """Undo the octal escapes of space, tab, newline, backslash and `#`."""
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field)
    return raw.decode("utf-8", "surrogateescape")
