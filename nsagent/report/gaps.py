"""Gaps in words: the only place that has any for them."""

from collections.abc import Mapping
from typing import Final

from nsagent.errors import Reason
from nsagent.model.gap import AlikeGaps, Kind, Subject

_NAMED: Final = 3
"""How many subjects a text names; the rest is counted."""

_SUBJECTS: Final[Mapping[Kind, str]] = {
    Kind.PROCESS: "pid {id}",
    Kind.PROCESSES: "processes",
    Kind.THREADS: "threads of pid {id}",
    Kind.COMMAND_LINE: "command line of pid {id}",
    Kind.DETAIL: "{id}",
    Kind.IO_URING: "io_uring of pid {id}",
    Kind.IN_FLIGHT: "descriptors in transit to pid {id}",
    Kind.MOUNTINFO: "mountinfo of pid {id}",
    Kind.HIDDEN_PROCESSES: "hidden processes",
    Kind.MOUNT_OPTIONS: "mount options of {id}",
    Kind.PROCFS_FILES: "{id}",
    Kind.NETNS: "netns {id}",
    Kind.VETH_PEERS: "other ends of veths of netns {id}",
    Kind.TUNNELS: "tunnels of netns {id}",
    Kind.NETNS_OF_SOCKETS: "netns of sockets in no table",
    Kind.MOUNT: "mount {id}",
    Kind.MOUNTS: "netns mounted where pid {id} lives",
    Kind.MOUNT_POINTS: "mount points of netns where pid {id} lives",
    Kind.CHILDREN: "processes that look up mounts",
    Kind.TABLE: "{protocol} of netns {id}",
    Kind.ADDRESSES: "own addresses of netns {id}",
    Kind.CONTAINERS: "processes of the containers of {id}",
    Kind.CONTAINER: "container {id}",
    Kind.CGROUP_PATHS: "cgroup paths",
    Kind.CREATORS: "containers of sockets",
    Kind.CGROUPS: "cgroups of sockets",
    Kind.SOURCE: "{id}",
    Kind.RECORDS: "records of {id}",
    Kind.LABELS: "labels of containers",
    Kind.KUBE_NAMESPACES: "Kubernetes namespaces of containers",
    Kind.ACCEPT_QUEUES: "limits of accept queues",
    Kind.OWN_NETNS: "own netns",
    Kind.NETNS_FDS: "netns held open",
    Kind.OWNERS: "owners of rows",
    Kind.COUNTS: "counts of {id}",
}

_REASONS: Final[Mapping[Reason, str]] = {
    Reason.GONE: "gone",
    Reason.NO_ANSWER: "no answer",
    Reason.INTERRUPTED: "the table changed under each of three dumps",
    Reason.CHANGED: "it changed meanwhile",
    Reason.TOO_MANY: "too many",
    Reason.TOO_LARGE: "too large",
    Reason.LATE: "no time was left",
    Reason.UNREACHABLE: "not reachable",
    Reason.NOT_TOLD: "not told",
    Reason.SHORT: "fewer rows than the netns counts",
    Reason.NOBODY_INSIDE: "no process in it to read it through",
    Reason.HIDEPID: "hidepid={detail}",
    Reason.SUBSET: "subset={detail}",
    Reason.NO_INIT: "no PID 1",
    Reason.PID_NAMESPACE: "in a PID namespace of its own",
    Reason.UNSEEN: "none of them is seen",
    Reason.OTHER_HOST: "none of them is seen, nor listed: asked over TCP, it may be the engine of another host",
    Reason.UNPROVEN: "not proven",
    Reason.SANDBOXED: "sandboxed ({detail}), the sockets of its own network stack are not observable",
    Reason.NO_CGROUP2: "no cgroups of version 2",
    Reason.NOT_ASKED: "not asked",
    Reason.REPEATED: "a row stands there twice",
    Reason.ELSEWHERE_TOO: "a socket stands in another netns too",
    Reason.MISMATCH: "not as it must be",
    Reason.LEFT_OPEN: "not closed",
}
"""Of denied and failed the errno is the reason, of malformed the detail."""

_REASONS_OF_KIND: Final[Mapping[tuple[Kind, Reason], str]] = {
    (Kind.PROCESS, Reason.UNREACHABLE): "covered by a mount in /proc",
    (Kind.TABLE, Reason.NOT_TOLD): "sockets are open, and no table of this kernel has them",
    (Kind.THREADS, Reason.NOT_TOLD): "which fd tables they have cannot be told here",
    (Kind.IO_URING, Reason.NOT_TOLD): "registered files not told",
    (Kind.LABELS, Reason.NOT_TOLD): "told by no source that was asked",
    (Kind.KUBE_NAMESPACES, Reason.NOT_TOLD): "told by no source that was asked",
    (Kind.ACCEPT_QUEUES, Reason.NOT_TOLD): "told by sock_diag alone",
    (Kind.CONTAINER, Reason.UNSEEN): "it runs, and none of its processes is seen",
    (Kind.CONTAINER, Reason.UNPROVEN): "no cgroup shows it, and which process is its first is not proven",
    (Kind.CONTAINER, Reason.NO_CGROUP2): "it has no cgroup of its own",
    (Kind.RECORDS, Reason.TOO_LARGE): "told at too great length",
    (Kind.RECORDS, Reason.MALFORMED): "not in the form that they should have",
    (Kind.CREATORS, Reason.NO_CGROUP2): "containers here have no cgroups of version 2",
    (Kind.CREATORS, Reason.NOT_TOLD): "not told by these tables",
    (Kind.CGROUPS, Reason.UNREACHABLE): "removed, or out of reach",
    (Kind.OWN_NETNS, Reason.MISMATCH): "not the one of the start",
    (Kind.OWNERS, Reason.MISMATCH): "not those of its container",
    (Kind.CHILDREN, Reason.LEFT_OPEN): "held up, and left behind",
    (Kind.COUNTS, Reason.MISMATCH): "do not add up",
}


def tell_subject(subject: Subject) -> str:
    """What one gap is about, as in `tcp of netns 4026531840`."""
    return _SUBJECTS[subject.kind].format(id=subject.id, protocol=subject.protocol)


def tell_subjects(gap: AlikeGaps) -> str:
    """What a gap is about: three subjects by name, the rest counted."""
    rest = len(gap.subjects) - _NAMED
    named = ", ".join(map(tell_subject, gap.subjects[:_NAMED]))
    return f"{named} and {rest} more" if rest > 0 else named


def tell_reason(gap: AlikeGaps) -> str:
    """Why: the errno's name, else words; of an engine its own."""
    if gap.kind is Kind.RECORDS:
        return _REASONS_OF_KIND[gap.kind, gap.reason] + (f": {gap.detail}" if gap.detail else "")
    if gap.detail is not None and (gap.kind is Kind.SOURCE or gap.reason is Reason.MALFORMED):
        return gap.detail
    if gap.errno is not None:
        return gap.errno
    text = _REASONS_OF_KIND.get((gap.kind, gap.reason)) or _REASONS.get(gap.reason) or gap.reason.value
    return text.format(detail=gap.detail)


def gap_record(gap: AlikeGaps) -> dict[str, object]:
    """One gap of the coverage block of JSON: words for people, then what decides."""
    return {
        "stage": gap.stage,
        "subject": tell_subjects(gap),
        "reason": tell_reason(gap),
        "count": gap.count,
        "kind": gap.kind,
        "ids": [subject.id for subject in gap.subjects if subject.id],
        "code": gap.errno or gap.reason,
    }
