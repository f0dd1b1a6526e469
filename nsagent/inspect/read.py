"""All details of some processes: what the kernel tells at once, then what a child reads, then how it belongs together.

All of one process is read through one directory, which is held from the first read to the last: what is told is of this
process, or an error, whoever has its pid by then.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.inspect.asking import Asked, Asker
from nsagent.inspect.checksums import Checksums, Running, read_memory
from nsagent.inspect.direct import Direct, list_host_namespaces, read_direct
from nsagent.inspect.image import Places, find_places, list_host_questions, list_image_questions, make_image
from nsagent.inspect.looked_up import LookedUp, list_questions, read_answers
from nsagent.inspect.notes import Notes
from nsagent.inspect.relatives import Families
from nsagent.inspect.request import Wanted
from nsagent.inspect.sockets import Sockets
from nsagent.inspect.subject import Held, Which, hold, read_start_stack
from nsagent.kernel.boot_clock import date_start
from nsagent.kernel.details import read_detail, read_link
from nsagent.kernel.formats.pid_maps import summarize_maps
from nsagent.kernel.procfs import ProcFs
from nsagent.model.container import Container, Pod
from nsagent.model.ids import Pid
from nsagent.model.inspection import Inspection
from nsagent.model.process import Process
from nsagent.model.process_details import Image, MapsSummary, MemoryImage
from nsagent.model.snapshot import Snapshot

_HOSTS: Final = (Pid(1), Pid(2))
"""Whose mounts are the host's: those of the first process, else of the kernel's first thread; else this program's."""

_AT: Final = "on the host at "
"""What the name of a question about the host begins with."""


class _Read(NamedTuple):
    """What was read of a process, and not put together yet."""

    held: Held
    notes: Notes
    direct: Direct
    places: Places


class _Host(NamedTuple):
    """A process that sees what the host has mounted."""

    held: Held
    mountinfo: bytes


class _Told(NamedTuple):
    """The same, with what the child has told."""

    read: _Read
    looked_up: LookedUp
    exe: Image | None


class Inspector:
    """Inspects processes with one snapshot, which tells containers and rows of sockets."""

    def __init__(self, snapshot: Snapshot, procfs: ProcFs, asker: Asker, checksums: Checksums) -> None:
        self._snapshot = snapshot
        self._procfs = procfs
        self._asker = asker
        self._checksums = checksums
        self._known = {process.key: process for process in snapshot.processes}
        self._containers = {one.id: one for one in (*snapshot.containers, *snapshot.folded)}
        self._families = Families(procfs, self._known)
        self._sockets = Sockets(snapshot, procfs)

    def inspect(
        self, processes: Iterable[Which], wanted: Wanted
    ) -> Iterator[Inspection | Gone | NotRead | FormatError]:
        """Each of these processes, in their order; or why it cannot be read."""
        processes = list(processes)
        failed: dict[Which, Gone | NotRead | FormatError] = {}
        with ExitStack() as stack:
            root = self._hold_host(stack)
            namespaces, reads = list_host_namespaces(self._procfs), dict[Which, _Read]()
            for which in processes:
                try:
                    held = stack.enter_context(hold(self._procfs, which))
                    reads[which] = _read_one(held, namespaces, root.mountinfo if root else b"")
                except (Gone, NotRead, FormatError) as err:
                    failed[which] = err
            told = self._ask(reads, root, wanted)
            for which in processes:
                try:
                    yield failed[which] if which in failed else self._tell(told[which], wanted)
                except (Gone, NotRead, FormatError) as err:
                    yield err

    def _hold_host(self, stack: ExitStack) -> "_Host | None":
        """A process that sees what the host has mounted, with that; None where that may not be read."""
        for pid in filter(None, (*_HOSTS, self._procfs.read_own_pid())):
            try:
                held = stack.enter_context(hold(self._procfs, pid))
                read_link(held.process, "root")
                return _Host(held, read_detail(held.process, "mountinfo"))
            except (Gone, NotRead, FormatError):
                continue
        return None

    def _ask(self, reads: Mapping[Which, _Read], root: "_Host | None", wanted: Wanted) -> dict[Which, _Told]:
        """Ask the child, of all processes at once."""
        asked = list(chain.from_iterable(_list_asked(read, wanted) for read in reads.values()))
        if root is not None:
            # What is asked about the host is called otherwise: it may be inspected itself.
            places = {path: each for read in reads.values() for path, each in list_host_questions(read.places).items()}
            asked += [Asked(root.held.key, root.held.process, _AT + path, each) for path, each in places.items()]
        answers = self._asker.ask(asked, wanted.lookup_seconds)
        host = answers.get(root.held.key, {}) if root is not None else {}
        there = {name.removeprefix(_AT): answer for name, answer in host.items() if name.startswith(_AT)}
        told = {}
        for which, read in reads.items():
            own = answers.get(read.held.key, {})
            exe = make_image(read.direct, read.places, own, there, read.notes)
            told[which] = _Told(read, read_answers(read.direct, own, read.notes), exe)
        if wanted.algorithms:
            running = [Running(read.held, exe.file, read.notes) for read, _, exe in told.values() if exe and exe.file]
            self._checksums.make(running, wanted.algorithms, self._asker, wanted.hashing_seconds)
        return told

    def _tell(self, told: _Told, wanted: Wanted) -> Inspection:
        """What is known of one; raises ProcessGone where it has ended meanwhile.

        What it runs may have changed: then some of this is of the program before, and some of another one.
        """
        one = self._join(told, wanted)
        held, notes = told.read.held, told.read.notes
        held.process.read_stat()  # Raises ProcessGone, where some of this may be missing for that.
        if None not in (now := read_start_stack(held.process), held.start_stack) and now != held.start_stack:
            notes.note("program", NotRead("program", Reason.CHANGED))
        for name in self._sockets.list_other_holds(held.key, held.alive.number):
            notes.note(name, NotRead(name, Reason.NOT_TOLD))
        return replace(one, gaps=notes.list_gaps())

    def _join(self, told: _Told, wanted: Wanted) -> Inspection:
        (held, notes, direct, _), looked_up, exe = told
        family = self._families.find(held.process, notes)
        sockets = self._sockets.find(held.alive, direct.fds.targets if direct.fds else ())
        known = self._known.get(held.key)
        container, pod = self._find_container(known)
        started = date_start(held.stat.start_ticks)
        return Inspection(
            asked=held.asked,
            key=held.key,
            comm=held.stat.comm,
            state=held.now.state,
            leader_ended=held.alive is not held.process,
            kernel_thread=held.stat.is_kernel_thread,
            started_seconds=started,
            age_seconds=max(time.time() - started, 0.0),
            status=direct.status,
            parents=family.parents,
            same_exe_as_parent=family.same_exe_as_parent,
            children=family.children,
            threads=direct.threads,
            command_line=looked_up.command_line,
            exe=self._add_checksums(exe, wanted),
            cwd=direct.cwd,
            root=direct.root,
            namespaces=direct.namespaces,
            cgroup=direct.cgroup,
            container=container,
            pod=pod,
            unit=known.unit if known else None,
            fds=looked_up.fds,
            fds_left_out=direct.fds.left_out if direct.fds else 0,
            fds_unread=len(direct.fds.unread) if direct.fds else 0,
            sockets=sockets,
            io=looked_up.io,
            memory=direct.memory,
            statm=direct.statm,
            rollup=looked_up.rollup,
            maps=_summarize(looked_up),
            limits=direct.limits,
            oom_score=direct.oom_score,
            oom_score_adj=direct.oom_score_adj,
            wchan=direct.wchan,
            stack=looked_up.stack,
            environ=_tell_environ(looked_up.environ, wanted),
            environ_cut=looked_up.environ_cut,
            memory_image=self._read_memory(told, wanted),
            gaps=(),
        )

    def _add_checksums(self, exe: Image | None, wanted: Wanted) -> Image | None:
        if exe is None or exe.file is None:
            return exe
        return exe._replace(checksums=self._checksums.find(exe.file, wanted.algorithms))

    def _read_memory(self, told: _Told, wanted: Wanted) -> MemoryImage | None:
        mappings, path = told.looked_up.mappings, wanted.memory_of
        if path is None or mappings is None:
            return None
        algorithms, (held, notes, *_) = wanted.algorithms or ("sha256",), told.read
        return read_memory(held, path, mappings, algorithms, self._asker, wanted.hashing_seconds, notes)

    def _find_container(self, process: Process | None) -> tuple[Container | None, Pod | None]:
        if process is None or process.container_id is None:
            return None, None
        container = self._containers.get(process.container_id)
        return container, container.pod if container else None


def _read_one(held: Held, host: dict[str, int], mountinfo: bytes) -> _Read:
    notes = Notes()
    direct = read_direct(held, host, notes)
    places = notes.read("mountinfo", lambda: find_places(direct, mountinfo)) or Places()
    return _Read(held, notes, direct, places)


def _summarize(told: LookedUp) -> MapsSummary | None:
    """What is told of its mappings; None where they could not be read."""
    return None if told.mappings is None else summarize_maps(told.mappings, cut=told.mappings_cut)


def _tell_environ(environ: tuple[str, ...] | None, wanted: Wanted) -> tuple[str, ...] | None:
    """Each variable as it is to be told; None where none was read, or nobody asked."""
    return None if environ is None or wanted.environ is None else tuple(map(wanted.environ, environ))


def _list_asked(read: _Read, wanted: Wanted) -> Sequence[Asked]:
    questions = list_questions(read.held, read.direct, environ=wanted.environ is not None)
    questions |= list_image_questions(read.direct, read.places)
    return [Asked(read.held.key, read.held.alive, name, each) for name, each in questions.items()]
