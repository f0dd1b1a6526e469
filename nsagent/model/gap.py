"""Gaps: what exists and could not be read, as values.

Whoever decides anything by a gap looks at its stage, kind and reason; report.gaps alone puts gaps into words.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from nsagent.errors import FormatError, NotRead, Reason
from nsagent.model.net import Protocol


class Stage(StrEnum):
    """Which part of a pass a gap belongs to."""

    PROCESSES = "processes"
    FDS = "fds"
    NETNS = "netns"
    TABLES = "tables"
    LINKS = "links"
    CGROUPS = "cgroups"
    NAMES = "names"
    COMMAND_LINES = "command_lines"
    DETAILS = "details"
    CHECKS = "checks"


class Kind(StrEnum):
    """What the subject of a gap is; the comment says what its id is."""

    PROCESS = "process"  # the pid
    PROCESSES = "processes"  # none; what is counted are processes
    THREADS = "threads"  # the pid; what is counted are threads
    COMMAND_LINE = "command_line"  # the pid
    DETAIL = "detail"  # which one of a process: what its file is called, or what is read of that
    IO_URING = "io_uring"  # the pid
    IN_FLIGHT = "in_flight"  # the pid; what is counted are sockets whose queues may hold descriptors
    MOUNTINFO = "mountinfo"  # the pid
    HIDDEN_PROCESSES = "hidden_processes"  # none
    MOUNT_OPTIONS = "mount_options"  # the path of the procfs
    PROCFS_FILES = "procfs_files"  # the path
    NETNS = "netns"  # its inode, else its key
    VETH_PEERS = "veth_peers"  # the inode of the netns of the veths; with too_many these are counted
    TUNNELS = "tunnels"  # the inode of the netns in which their sockets may be
    NETNS_OF_SOCKETS = "netns_of_sockets"  # none; what is counted are sockets
    MOUNT = "mount"  # the mount point, in the own mount namespace
    MOUNTS = "mounts"  # the pid of a process in another one; what is counted are netns, with too_many mounts of them
    MOUNT_POINTS = "mount_points"  # the same; what is counted are more mount points of netns that have some
    CHILDREN = "children"  # none; what is counted are processes
    TABLE = "table"  # the inode of its netns, else the key; and the protocol
    ADDRESSES = "addresses"  # the inode of the netns whose own they are, else the key
    CONTAINERS = "containers"  # what the source is called; what is counted are containers
    CONTAINER = "container"  # its name, else its id
    CGROUP_PATHS = "cgroup_paths"  # none; what is counted are cgroups
    CREATORS = "creators"  # none; what is counted are sockets, where their tables do not tell
    CGROUPS = "cgroups"  # none; what is counted are cgroups
    SOURCE = "source"  # what it is called, as in `docker (unix:///run/docker.sock)`
    RECORDS = "records"  # what the source is called; what is counted are records, the detail has some ids
    LABELS = "labels"  # none; what is counted are containers
    KUBE_NAMESPACES = "kube_namespaces"  # none; what is counted are containers
    ACCEPT_QUEUES = "accept_queues"  # none; what is counted are listeners
    OWN_NETNS = "own_netns"  # none
    NETNS_FDS = "netns_fds"  # none
    OWNERS = "owners"  # none; what is counted are rows
    COUNTS = "counts"  # what they count


class Subject(NamedTuple):
    """What a gap is about; `protocol` is that of a table."""

    kind: Kind
    id: str = ""
    protocol: Protocol | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that exists and could not be read.

    `errno` is its name, with the reasons `denied` and `failed`. `detail` is what a machine said of it,
    for people alone. `count` is how many reads failed alike, or of how many things it is.
    """

    stage: Stage
    subject: Subject
    reason: Reason
    errno: str | None = None
    detail: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class AlikeGaps:
    """Gaps of one stage, one kind of subject and one reason: each subject once, and the sum of their counts."""

    stage: Stage
    kind: Kind
    subjects: tuple[Subject, ...]
    reason: Reason
    errno: str | None
    detail: str | None
    count: int


def make_gap(stage: Stage, subject: Subject, err: NotRead | FormatError) -> Gap:
    """The gap that a failed read is."""
    if isinstance(err, FormatError):
        return Gap(stage, subject, Reason.MALFORMED, detail=str(err))
    return Gap(stage, subject, err.reason, err.errno)


def merge_gaps(gaps: Iterable[Gap]) -> tuple[AlikeGaps, ...]:
    """The gaps, each merged with its like, in the order of the first of each."""
    groups: dict[tuple[object, ...], list[Gap]] = {}
    for gap in gaps:
        groups.setdefault((gap.stage, gap.subject.kind, gap.reason, gap.errno, gap.detail), []).append(gap)
    return tuple(
        AlikeGaps(
            stage=alike[0].stage,
            kind=alike[0].subject.kind,
            subjects=tuple(dict.fromkeys(gap.subject for gap in alike)),
            reason=alike[0].reason,
            errno=alike[0].errno,
            detail=alike[0].detail,
            count=sum(gap.count for gap in alike),
        )
        for alike in groups.values()
    )


def is_complete(gaps: Iterable[AlikeGaps]) -> bool:
    """Whether these leave the account of sockets whole: names that are not known do."""
    return all(gap.stage is Stage.NAMES for gap in gaps)
