"""What a pass could not see, for stderr: few lines, each with what would help."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from nsagent.errors import Reason
from nsagent.model.choices import OwnersWanted
from nsagent.model.gap import AlikeGaps, Kind, Stage
from nsagent.model.snapshot import Coverage, Snapshot
from nsagent.report.escape import escape
from nsagent.report.gaps import tell_reason, tell_subjects

_BITS: Final = {"CAP_DAC_READ_SEARCH": 2, "CAP_NET_ADMIN": 12, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21}
"""Capabilities by their bit in the mask; include/uapi/linux/capability.h."""

_PTRACE: Final = ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")

HOST_PROCFS: Final = "run with the host's (hostPID: true, docker run --pid host), or name its procfs by --proc-root"
"""What helps whoever sees a part of the processes only."""

_NAMED: Final = 3
"""How many processes a line names."""
"""How many processes a line names."""

_NO_COMMS: Final[Mapping[str, str]] = MappingProxyType({})

_LIMITS: Final = {
    "EMFILE": "raise the limit of open files (ulimit -Hn)",
    "ENFILE": "raise the host's limit of open files (sysctl fs.file-max)",
}


def coverage_lines(snapshot: Snapshot) -> list[str]:
    """One printable line, without its end, for each way in which something could not be seen; [] for nothing.

    Processes and netns that count as unread and have no gap of their own come last.
    """
    coverage = snapshot.coverage
    counted = [gap for gap in coverage.gaps if _is_counted(gap)]
    single = [gap for gap in coverage.gaps if not _is_counted(gap)]
    lines = [_counted_line(snapshot, gap) for gap in counted]
    lines += [line for gap in single for line in _single_lines(coverage, gap)]
    return [escape(line) for line in (*lines, *_untold_lines(coverage, counted))]


def _is_counted(gap: AlikeGaps) -> bool:
    """Whether only the number matters: of these there may be thousands."""
    if gap.stage in (Stage.CHECKS, Stage.NAMES):
        return False
    return gap.kind in (Kind.PROCESS, Kind.NETNS, Kind.NETNS_OF_SOCKETS) or (
        gap.kind is Kind.TABLE and gap.errno is not None
    )


def _counted_line(snapshot: Snapshot, gap: AlikeGaps) -> str:
    coverage = snapshot.coverage
    # One may be younger than the walk that counted them.
    of_processes = f"{len(gap.subjects)} of {max(len(gap.subjects), coverage.processes.seen)} processes"
    of_netns = f"{len(gap.subjects)} of {coverage.netns.seen} netns"
    if gap.stage is Stage.FDS and gap.reason is Reason.TOO_MANY:
        text = f"fds of {_tell_pids(gap)} not read"
    elif gap.kind is Kind.TABLE:
        text = f"{_count(gap.count, 'read')} of socket tables failed"
    elif gap.kind is Kind.NETNS_OF_SOCKETS:
        whose = f" of {_tell_pids(gap)}" if gap.subjects[0].id else ""
        text = f"netns of {_count(gap.count, 'socket')}{whose} not looked up"
    elif gap.stage is Stage.CGROUPS:
        text = f"cgroups of {of_processes} not readable"
    elif gap.stage is Stage.LINKS:
        text = f"interfaces of {of_netns} not readable"
    elif gap.kind is Kind.NETNS:
        text = f"{of_netns} not readable"
    elif gap.stage is Stage.NETNS:
        text = f"netns of {of_processes} not readable"
    else:
        text = f"{of_processes} not readable"
    return _with_remedy(coverage, gap, text, _name_processes(snapshot, gap))


def _name_processes(snapshot: Snapshot, gap: AlikeGaps) -> str:
    """Whom it is about, "" where that is no process; a comm where anything but the fds could be read."""
    pids = [subject.id for subject in gap.subjects[:_NAMED] if subject.kind is Kind.PROCESS]
    comms = {str(process.pid): process.comm for process in snapshot.processes if pids and str(process.pid) in pids}
    return _tell_pids(gap, comms) if pids else ""


def _single_lines(coverage: Coverage, gap: AlikeGaps) -> list[str]:
    """The lines of a gap that says more than a number."""
    subjects, reason = tell_subjects(gap), tell_reason(gap)
    if gap.kind in (Kind.LABELS, Kind.KUBE_NAMESPACES):
        what = subjects.removesuffix("containers")
        return [f"{what}{_count(gap.count, 'container')} not known ({reason})"]
    if gap.kind is Kind.ACCEPT_QUEUES:
        return [f"{subjects} of {_count(gap.count, 'listener')} not known ({reason})"]
    if gap.kind is Kind.SOURCE:
        return [f"names from {subject.id}: {reason}" for subject in gap.subjects]
    if gap.kind is Kind.RECORDS:
        sources = ", ".join(subject.id for subject in gap.subjects)
        return [f"names from {sources}: {_count(gap.count, 'container')} left out ({reason})"]
    if gap.kind is Kind.CGROUP_PATHS and coverage.owners is OwnersWanted.PID:
        return [f"{subjects} of {_count(gap.count, 'cgroup')} not known ({reason})"]
    if gap.stage is Stage.CGROUPS:
        return [f"{subjects}: {reason}: use --owners pid"]
    if gap.stage is Stage.CHECKS:
        return [f"self-check failed: {subjects}: {reason}"]
    if gap.kind in (Kind.TABLE, Kind.CONTAINER):
        return [f"{subjects}: {reason}"]
    if gap.kind is Kind.HIDDEN_PROCESSES:
        if gap.reason is Reason.PID_NAMESPACE:
            return [f"processes outside of this PID namespace are not seen: {HOST_PROCFS}"]
        remedy = ": run as root, or in the group of its option gid" if gap.reason is Reason.HIDEPID else ""
        return [f"processes are hidden from this user ({reason}){remedy}"]
    if gap.kind is Kind.CONTAINERS:
        remedy = "" if gap.reason is Reason.OTHER_HOST else f": {HOST_PROCFS}"
        return [f"{subjects}, {gap.count}: {reason}{remedy}"]
    if gap.kind is Kind.THREADS and gap.reason is Reason.TOO_MANY:
        return [f"{_count(gap.count, 'thread')} of {_tell_pids(gap)} not looked at ({reason})"]
    if gap.kind is Kind.IN_FLIGHT:
        return [f"queues of {_count(gap.count, 'socket')} of {_tell_pids(gap)} not looked at ({reason})"]
    if gap.kind is Kind.OWNERS and gap.reason is Reason.LATE:
        return [f"{subjects}, {gap.count}, not looked for again ({reason})"]
    if gap.kind is Kind.THREADS and gap.reason is Reason.NOT_TOLD:
        what = f"fd tables of {_count(gap.count, 'thread')} of {_tell_pids(gap)} not compared"
        return [f"{what}: run in the PID namespace of the procfs (hostPID: true), or with --deep"]
    return [_with_remedy(coverage, gap, f"{subjects} not read")]


def _with_remedy(coverage: Coverage, gap: AlikeGaps, text: str, who: str = "") -> str:
    remedy = _LIMITS.get(gap.errno or "") or (_find_remedy(coverage, gap, who) if gap.reason is Reason.DENIED else None)
    if gap.kind is Kind.PROCESS and gap.reason is Reason.UNREACHABLE:
        remedy = f"umount what lies over {who}"
    return f"{text} ({tell_reason(gap)})" + (f": {remedy}" if remedy else "")


def _find_remedy(coverage: Coverage, gap: AlikeGaps, who: str) -> str | None:
    """What would help: the capabilities that are needed, as far as they are not there.

    With all of them a security module protects the process, which `who` names.

    Links below /proc/PID want ptrace access, the directories on the way CAP_DAC_READ_SEARCH,
    setns(2) CAP_SYS_ADMIN, and ioctl SIOCGSKNS CAP_NET_ADMIN in the socket's netns.
    """
    if gap.kind in (Kind.TABLE, Kind.ADDRESSES):
        return None
    if gap.kind is Kind.NETNS_OF_SOCKETS:
        needed: tuple[str, ...] = ("CAP_NET_ADMIN",)
    else:
        needed = ("CAP_SYS_ADMIN",) if gap.kind is Kind.NETNS and gap.errno == "EPERM" else _PTRACE
    mask = coverage.capabilities or 0
    lacking = [name for name in needed if not mask >> _BITS[name] & 1]
    if lacking:
        return f"add {' and '.join(lacking)}"
    there = f"{' and '.join(needed)} {'is' if len(needed) == 1 else 'are'} there"
    return f"although {there}: refused by a security module or seccomp" + (f": {who}" if who else "")


def _tell_pids(gap: AlikeGaps, comms: Mapping[str, str] = _NO_COMMS) -> str:
    """Three of the processes that a gap is about by their pids, with the comms that are known; the rest counted."""
    pids = [subject.id for subject in gap.subjects]
    named = ", ".join(f"pid {pid} ({comms[pid]})" if pid in comms else f"pid {pid}" for pid in pids[:_NAMED])
    return named + (f" and {len(pids) - _NAMED} more" if len(pids) > _NAMED else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _untold_lines(coverage: Coverage, counted: Iterable[AlikeGaps]) -> list[str]:
    """Processes and netns that were not read and have no gap of their own."""
    processes, netns = coverage.processes, coverage.netns
    unread = [gap for gap in counted if gap.kind is Kind.PROCESS and gap.stage is not Stage.CGROUPS]
    told_processes = {subject for gap in unread for subject in gap.subjects}
    told_netns = {
        subject for gap in counted if gap.kind is Kind.NETNS and gap.stage is Stage.NETNS for subject in gap.subjects
    }
    lines = []
    if (untold := processes.denied + processes.skipped - len(told_processes)) > 0:
        lines.append(f"{untold} of {processes.seen} processes not read")
    if (untold := netns.failed - len(told_netns)) > 0:
        lines.append(f"{untold} of {netns.seen} netns not read")
    return lines
