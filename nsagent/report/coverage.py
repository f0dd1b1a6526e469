"""What a pass could not see, for stderr: few lines, each with what would help."""

import re
from collections import Counter
from enum import Enum
from typing import Final

from nsagent.model.facts import Gap, Stage
from nsagent.model.snapshot import Coverage, Snapshot
from nsagent.report.escape import escape


class _Kind(Enum):
    """What the subject of a gap is: its first words tell."""

    PROCESS = "pid"
    NETNS = "netns"
    SOCKETS_NETNS = "netns of sockets"
    OTHER = ""


_Reads = Counter[tuple[Stage, _Kind, str]]

_PTRACE: Final = "add CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
_NOT_PERMITTED: Final = ("EACCES", "EPERM")
_ERRNO: Final = re.compile("E[A-Z0-9]+")


def coverage_lines(snapshot: Snapshot) -> list[str]:
    """One printable line, without its end, for each way in which something could not be seen; [] for nothing.

    Gaps are added up by stage and reason; those of single things keep a line of their own, as do
    the engines that told no names. Processes and netns that count as unread and have no gap of
    their own come last.
    """
    coverage = snapshot.coverage
    reads: _Reads = Counter()
    single: dict[str, None] = {}
    for gap in coverage.gaps:
        kind = _kind_of(gap)
        if line := _single_line(gap, kind):
            single[line] = None
        else:
            reads[gap.stage, kind, gap.reason] += gap.count
    lines = [_reads_line(coverage, *key, count) for key, count in reads.items()]
    return [escape(line) for line in (*lines, *single, *_untold_lines(coverage, reads))]


def _kind_of(gap: Gap) -> _Kind:
    if gap.subject.startswith(_Kind.SOCKETS_NETNS.value):
        return _Kind.SOCKETS_NETNS
    word = gap.subject.partition(" ")[0]
    return _Kind(word) if word in ("pid", "netns") else _Kind.OTHER


def _single_line(gap: Gap, kind: _Kind) -> str | None:
    """The line of a gap that is not added up with others, else None."""
    subject, reason = gap.subject, gap.reason
    if gap.stage is Stage.NAMES and subject.endswith(" of containers"):
        return f"{subject.removesuffix('containers')}{_count(gap.count, 'container')} not known ({reason})"
    if gap.stage is Stage.NAMES:
        return f"names from {subject}: {reason}"
    if gap.stage is Stage.CGROUPS:
        return f"{subject}: {reason}: use --owners pid"
    if gap.stage is Stage.CHECKS:
        return f"self-check failed: {subject}: {reason}"
    if gap.stage is Stage.TABLES:
        return None if _ERRNO.fullmatch(reason) else f"{subject}: {reason}"
    if kind is not _Kind.OTHER:
        return None
    if subject == "hidden processes":
        return _hidden_line(reason)
    if subject.startswith("threads of pid") and not _ERRNO.fullmatch(reason):
        return f"{_count(gap.count, 'thread')} of {subject.replace('threads of ', '')} not looked at ({reason})"
    return _with_remedy(f"{subject} not read", reason, _PTRACE if reason in _NOT_PERMITTED else None)


def _hidden_line(reason: str) -> str:
    remedy = "run as root, or in the group of its option gid" if reason.startswith("hidepid") else None
    return _with_remedy("processes are hidden from this user", reason, remedy)


def _reads_line(coverage: Coverage, stage: Stage, kind: _Kind, reason: str, count: int) -> str:
    of_processes = f"{count} of {coverage.processes.seen} processes"
    of_netns = f"{count} of {coverage.netns.seen} netns"
    if stage is Stage.TABLES:
        subject = f"{_count(count, 'read')} of socket tables failed"
    elif kind is _Kind.SOCKETS_NETNS:
        subject = f"netns of {_count(count, 'socket')} not looked up"
    elif stage is Stage.LINKS:
        subject = f"interfaces of {of_netns} not readable"
    elif kind is _Kind.NETNS:
        subject = f"{of_netns} not readable"
    elif stage is Stage.NETNS:
        subject = f"netns of {of_processes} not readable"
    else:
        subject = f"{of_processes} not readable"
    return _with_remedy(subject, reason, _find_remedy(kind, reason))


def _find_remedy(kind: _Kind, reason: str) -> str | None:
    """What would help, where anything would.

    Links below /proc/PID want ptrace access, the directories on the way CAP_DAC_READ_SEARCH,
    setns(2) CAP_SYS_ADMIN, and ioctl SIOCGSKNS CAP_NET_ADMIN in the socket's netns.
    """
    if reason not in _NOT_PERMITTED or kind is _Kind.OTHER:
        return None
    if kind is _Kind.SOCKETS_NETNS:
        return "add CAP_NET_ADMIN"
    return "add CAP_SYS_ADMIN" if kind is _Kind.NETNS and reason == "EPERM" else _PTRACE


def _with_remedy(subject: str, reason: str, remedy: str | None) -> str:
    if reason == "EMFILE":
        remedy = "raise the limit of open files (ulimit -Hn)"
    elif reason == "ENFILE":
        remedy = "raise the host's limit of open files (sysctl fs.file-max)"
    return f"{subject} ({reason})" + (f": {remedy}" if remedy else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _untold_lines(coverage: Coverage, reads: _Reads) -> list[str]:
    processes, netns = coverage.processes, coverage.netns
    told_processes = sum(count for (_, kind, _), count in reads.items() if kind is _Kind.PROCESS)
    told_netns = sum(count for (_, kind, _), count in reads.items() if kind in (_Kind.NETNS, _Kind.OTHER))
    lines = []
    if (untold := processes.denied + processes.skipped - told_processes) > 0:
        lines.append(f"{untold} of {processes.seen} processes not read")
    if (untold := netns.failed - told_netns) > 0:
        lines.append(f"{untold} of {netns.seen} netns not read")
    return lines
