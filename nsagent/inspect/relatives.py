"""Parents and children of a process.

A number that a process tells as its parent's is that of its parent as long as it tells it: so it is asked again, once
the parent is held.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Gone, NotRead, ProcessGone, Reason
from nsagent.inspect.notes import Notes
from nsagent.kernel.details import read_detail, read_link
from nsagent.kernel.formats.pid_maps import DELETED
from nsagent.kernel.formats.pid_stat import parse_parent, parse_pid_stat
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.inspection import Relative
from nsagent.model.process import Process, ProcessKey

MOST_PARENTS: Final = 256
MOST_CHILDREN: Final = 1024


class _Seen(NamedTuple):
    """A process as a relative of others, but for its container."""

    key: ProcessKey
    comm: str
    exe: str | None
    mounts: str | None
    """The link of its mount namespace, in which the path `exe` is."""
    parent: Pid

    def runs_same(self, other: "_Seen") -> bool | None:
        """Whether both run the same file; None where that is not known."""
        mine, others = (self.exe, self.mounts), (other.exe, other.mounts)
        if None in (*mine, *others):
            return None
        # Of files that have no name any more many may have had one.
        return None if mine == others and (self.exe or "").endswith(DELETED) else mine == others


class Family(NamedTuple):
    """As in Inspection."""

    parents: tuple[Relative, ...]
    same_exe_as_parent: bool | None
    children: tuple[Relative, ...]


class Families:
    """The relatives of some processes; `known` are the processes of a snapshot, which tell the containers."""

    def __init__(self, procfs: ProcFs, known: Mapping[ProcessKey, Process]) -> None:
        self._procfs = procfs
        self._known = known
        self._children: dict[Pid, list[Pid]] | None = None

    def find(self, process: ProcessDir, notes: Notes) -> Family:
        """The family of one; raises ProcessGone where it is no more, and FormatError."""
        own = _see(process)
        line = [own, *self._list_parents(process, own, notes)]
        ids = [self._find_container(one) for one in line]
        around = [*ids[1:], None]
        parents = (_relate(one, id_, above) for one, id_, above in zip(line[1:], ids[1:], around[1:], strict=True))
        children = (_relate(one, self._find_container(one), ids[0]) for one in self._list_children(own, notes))
        return Family(tuple(parents), own.runs_same(line[1]) if len(line) > 1 else None, tuple(children))

    def _find_container(self, one: _Seen) -> ContainerId | None:
        known = self._known.get(one.key)
        return known.container_id if known else None

    def _list_parents(self, process: ProcessDir, own: _Seen, notes: Notes) -> list[_Seen]:
        parents: list[_Seen] = []
        below, held = own, process.duplicate()
        try:
            while below.parent:
                if len(parents) == MOST_PARENTS or below.parent in (own.key.pid, *(one.key.pid for one in parents)):
                    notes.note("parents", NotRead("parents", Reason.TOO_MANY))
                    break
                parent = self._procfs.open_process(below.parent)
                try:
                    seen = _see(parent)
                    if _read_parent(held) != below.parent:  # Its parent has ended meanwhile: it has another one.
                        below = _see(held)
                        continue
                    parents.append(seen)
                    below, held, parent = seen, parent, held
                finally:
                    parent.close()
        except (Gone, NotRead, FormatError) as err:
            notes.note("parents", err)
        finally:
            held.close()
        return parents

    def _list_children(self, own: _Seen, notes: Notes) -> list[_Seen]:
        if self._children is None:
            self._children = self._list_all_children()
        pids = self._children.get(own.key.pid, [])
        if len(pids) > MOST_CHILDREN:
            notes.note("children", NotRead("children", Reason.TOO_MANY))
        children = []
        for pid in pids[:MOST_CHILDREN]:
            try:
                with self._procfs.open_process(pid) as process:
                    child = _see(process)
            except (Gone, NotRead, FormatError):
                continue
            if child.parent == own.key.pid:
                children.append(child)
        return children

    def _list_all_children(self) -> dict[Pid, list[Pid]]:
        """The children of each process that has any: 20 us for each process of the host."""
        children: dict[Pid, list[Pid]] = {}
        for pid in self._procfs.list_pids():
            try:
                with self._procfs.open_process(pid) as process:
                    children.setdefault(_read_parent(process), []).append(pid)
            except (Gone, NotRead, FormatError):
                continue
        return children


def _see(process: ProcessDir) -> _Seen:
    """Raises ProcessGone, NotRead and FormatError."""
    try:
        line = read_detail(process, "stat")
    except Gone as err:
        raise ProcessGone(process.subject) from err
    stat = parse_pid_stat(line)
    key = ProcessKey(Pid(process.number), stat.start_ticks)
    return _Seen(key, stat.comm, _find_link(process, "exe"), _find_link(process, "ns/mnt"), parse_parent(line))


def _read_parent(process: ProcessDir) -> Pid:
    return parse_parent(read_detail(process, "stat"))


def _find_link(process: ProcessDir, name: str) -> str | None:
    try:
        return read_link(process, name)
    except (Gone, NotRead):
        return None


def _relate(one: _Seen, container_id: ContainerId | None, above: ContainerId | None) -> Relative:
    begins = container_id is not None and container_id != above
    return Relative(one.key, one.comm, one.exe, container_id, begins)
