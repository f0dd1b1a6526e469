"""What a pass could not see, for stderr: few lines, each with what would help."""

from collections import Counter
from enum import Enum
from typing import Final

from nsagent.model.facts import Gap, Stage
from nsagent.model.snapshot import Coverage, Snapshot
from nsagent.report.escape import escape


class _Kind(Enum):
    """What the subject of a gap is: its first word tells."""

    PROCESS = "pid"
    NETNS = "netns"
    OTHER = ""


_Reads = Counter[tuple[Stage, _Kind, str]]

_PTRACE = "add CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"

# Links below /proc/PID want ptrace access, the directories on the way CAP_DAC_READ_SEARCH, setns(2) CAP_SYS_ADMIN.
_REMEDIES: Final = {
    (_Kind.PROCESS, "EACCES"): _PTRACE,
    (_Kind.PROCESS, "EPERM"): _PTRACE,
    (_Kind.NETNS, "EACCES"): _PTRACE,
    (_Kind.NETNS, "EPERM"): "add CAP_SYS_ADMIN",
    (_Kind.PROCESS, "EMFILE"): "raise the limit of open files",
    (_Kind.NETNS, "EMFILE"): "raise the limit of open files",
}


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
        if gap.stage is Stage.NAMES:
            single[f"names from {gap.subject}: {gap.reason}"] = None
        elif kind is _Kind.OTHER and gap.stage is not Stage.TABLES:
            single[f"{gap.subject} not read ({gap.reason})"] = None
        else:
            reads[gap.stage, kind, gap.reason] += gap.count
    lines = [_reads_line(coverage, *key, count) for key, count in reads.items()]
    return [escape(line) for line in (*lines, *single, *_untold_lines(coverage, reads))]


def _kind_of(gap: Gap) -> _Kind:
    word = gap.subject.partition(" ")[0]
    return _Kind(word) if word in ("pid", "netns") else _Kind.OTHER


def _reads_line(coverage: Coverage, stage: Stage, kind: _Kind, reason: str, count: int) -> str:
    of_processes = f"{count} of {coverage.processes.seen} processes"
    of_netns = f"{count} of {coverage.netns.seen} netns"
    if stage is Stage.TABLES:
        subject = f"{count} {'read' if count == 1 else 'reads'} of socket tables failed"
    elif stage is Stage.LINKS:
        subject = f"interfaces of {of_netns} not readable"
    elif kind is _Kind.NETNS:
        subject = f"{of_netns} not readable"
    elif stage is Stage.NETNS:
        subject = f"netns of {of_processes} not readable"
    else:
        subject = f"{of_processes} not readable"
    remedy = _REMEDIES.get((kind, reason))
    return f"{subject} ({reason})" + (f": {remedy}" if remedy else "")


def _untold_lines(coverage: Coverage, reads: _Reads) -> list[str]:
    processes, netns = coverage.processes, coverage.netns
    told_processes = sum(count for (_, kind, _), count in reads.items() if kind is _Kind.PROCESS)
    told_netns = sum(reads.values()) - told_processes
    lines = []
    if (untold := processes.denied + processes.skipped - told_processes) > 0:
        lines.append(f"{untold} of {processes.seen} processes not read")
    if (untold := netns.failed + netns.skipped - told_netns) > 0:
        lines.append(f"{untold} of {netns.seen} netns not read")
    return lines
