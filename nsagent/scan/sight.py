"""What a snapshot would have shown, had it been there: what it has not, is not therefore gone. Pure."""

from typing import Final

from nsagent.errors import Reason
from nsagent.model.choices import OwnersWanted
from nsagent.model.gap import AlikeGaps, Kind, Stage
from nsagent.model.ids import Pid, tell_netns
from nsagent.model.net import Protocol
from nsagent.model.process import Process
from nsagent.model.snapshot import OwnedSocket, Snapshot

_OF_A_NETNS: Final = (Kind.NETNS, Kind.TABLE)
_OF_A_PROCESS: Final = (Kind.PROCESS, Kind.THREADS, Kind.IO_URING)
_CUT_SHORT: Final = (Reason.LATE, Reason.TOO_MANY)


def may_hide_rows(gap: AlikeGaps) -> bool:
    """Whether rows of a netns may be behind a gap: not where only its interfaces were not read."""
    return gap.kind in _OF_A_NETNS and gap.stage is not Stage.LINKS


class Sight:
    """How far one snapshot sees."""

    def __init__(self, snapshot: Snapshot) -> None:
        coverage = snapshot.coverage
        self._protocols = frozenset(coverage.protocols)
        self._unread = {one.number for one in snapshot.netns if one.engine is None}
        gaps = coverage.gaps
        self._tables = {(one.id, one.protocol) for gap in gaps if may_hide_rows(gap) for one in gap.subjects}
        self._processes = {one.id for gap in gaps if gap.kind in _OF_A_PROCESS for one in gap.subjects}
        self._newest_ticks = max((one.start_ticks for one in snapshot.processes), default=None)
        self.looks_for_holders = coverage.owners is OwnersWanted.PID
        self.is_whole = not coverage.processes.skipped and not any(
            gap.reason in _CUT_SHORT and gap.stage in (Stage.PROCESSES, Stage.NETNS) for gap in gaps
        )
        """Whether it came to its end: else there may be processes, netns and containers that it has not met."""

    def sees_table(self, netns: int | None, protocol: Protocol) -> bool:
        """Whether it has every row of this protocol in this netns, in one that it does not know for None."""
        if protocol not in self._protocols:
            return False
        if netns is None:
            return self.is_whole
        told = tell_netns(netns)
        return not (netns in self._unread or (told, None) in self._tables or (told, protocol) in self._tables)

    def is_before(self, socket: OwnedSocket) -> bool:
        """Whether all who hold a socket of the same boot began later: it was not there, unseen or not.

        So a process that cannot be read, as it hangs in every pass, hides nothing that is new elsewhere.
        """
        return bool(socket.owners) and all(self.is_before_process(owner.process) for owner in socket.owners)

    def is_before_process(self, process: Process) -> bool:
        """Whether a process began later than any that is in here."""
        return self._newest_ticks is not None and process.start_ticks > self._newest_ticks

    def sees_process(self, pid: Pid) -> bool:
        """Whether it would have seen that this process holds a socket."""
        return self.is_whole and str(pid) not in self._processes
