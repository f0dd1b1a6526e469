"""What a child tells of a process: files that are read from its memory or under a lock of it, and what its fds are."""

import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from nsagent.errors import Gone, NoAnswer, NotRead
from nsagent.inspect.asking import Answers
from nsagent.inspect.direct import Direct
from nsagent.inspect.notes import Notes
from nsagent.inspect.subject import Held
from nsagent.kernel.details import FdTargets
from nsagent.kernel.formats.pid_cmdline import parse_cmdline
from nsagent.kernel.formats.pid_environ import parse_environ
from nsagent.kernel.formats.pid_io import parse_io
from nsagent.kernel.formats.pid_maps import parse_maps
from nsagent.kernel.formats.pid_smaps_rollup import parse_rollup
from nsagent.kernel.questions import Question, ask_file, ask_links, decode_links
from nsagent.model.ids import Fd
from nsagent.model.process import CommandLine
from nsagent.model.process_details import FdKind, FileStatus, Io, OpenFd, Rollup
from nsagent.model.process_details import Mapping as MemoryMapping

MOST_ARGV_BYTES: Final = 128 << 10
MOST_ENVIRON_BYTES: Final = 1 << 20
MOST_MAPS_BYTES: Final = 16 << 20
"""Of 160,000 mappings, twice as many as a process may have where nobody has raised vm.max_map_count."""

_FEW_BYTES: Final = 1 << 16
_AT_ONCE: Final = 64
"""So many fds are looked at one after the other: who holds up one of them holds up those behind it."""

_BY_LINK: Final[Mapping[str, FdKind]] = {
    "socket:": FdKind.SOCKET,
    "pipe:": FdKind.PIPE,
    "anon_inode:": FdKind.ANON_INODE,
    "/memfd:": FdKind.MEMFD,
}
_BY_MODE: Final[Mapping[int, FdKind]] = {
    stat.S_IFREG: FdKind.FILE,
    stat.S_IFDIR: FdKind.DIRECTORY,
    stat.S_IFLNK: FdKind.LINK,
    stat.S_IFCHR: FdKind.CHARACTER_DEVICE,
    stat.S_IFBLK: FdKind.BLOCK_DEVICE,
    stat.S_IFIFO: FdKind.FIFO,
    stat.S_IFSOCK: FdKind.SOCKET_FILE,
}


class LookedUp(NamedTuple):
    """What a child read of a process; as in Inspection."""

    command_line: CommandLine | None
    environ: tuple[str, ...] | None
    environ_cut: bool
    io: Io | None
    rollup: Rollup | None
    stack: tuple[str, ...] | None
    mappings: tuple[MemoryMapping, ...] | None
    mappings_cut: bool
    fds: tuple[OpenFd, ...] | None


def list_questions(held: Held, direct: Direct, *, environ: bool) -> dict[str, Question]:
    """What the child is asked, by the file that it is about."""
    questions = {"io": ask_file("io", _FEW_BYTES)}
    if not held.now.is_dead:
        questions["stack"] = ask_file("stack", _FEW_BYTES)
    if held.has_memory:
        questions["cmdline"] = ask_file("cmdline", MOST_ARGV_BYTES)
        questions["maps"] = ask_file("maps", MOST_MAPS_BYTES)
        questions["smaps_rollup"] = ask_file("smaps_rollup", _FEW_BYTES)
        if environ:
            questions["environ"] = ask_file("environ", MOST_ENVIRON_BYTES)
    for batch in _list_batches(direct.fds):
        questions[_name_batch(batch)] = ask_links([f"fd/{fd}" for fd, _ in batch])
    return questions


def read_answers(direct: Direct, answers: Answers, notes: Notes) -> LookedUp:
    """What the answers say; what there is none to is a gap."""

    def take(name: str) -> bytes | None:
        answer = answers.get(name)
        if isinstance(answer, Gone | NotRead):
            notes.note(name, answer)
            return None
        return answer

    cmdline, environ, io, rollup, stack, maps = map(take, ("cmdline", "environ", "io", "smaps_rollup", "stack", "maps"))
    variables, environ_cut = (None, False) if environ is None else parse_environ(environ, MOST_ENVIRON_BYTES)
    mappings = None if maps is None else notes.read("maps", lambda: tuple(parse_maps(maps)))
    return LookedUp(
        command_line=None if cmdline is None else parse_cmdline(cmdline, MOST_ARGV_BYTES),
        environ=variables,
        environ_cut=environ_cut,
        io=notes.read("io", lambda: parse_io(io)) if io is not None else None,
        # One that shares no memory with anybody has none: a process that is about to end.
        rollup=notes.read("smaps_rollup", lambda: parse_rollup(rollup)) if rollup else None,
        stack=None if stack is None else tuple(map(_name_function, stack.decode("ascii", "replace").splitlines())),
        mappings=mappings,
        mappings_cut=maps is not None and len(maps) > MOST_MAPS_BYTES,
        fds=_join_fds(direct.fds, answers, notes),
    )


def find_kind(target: str) -> FdKind | None:
    """What an fd is by its link alone; None where that is a path, behind which anything may be.

    A file may be called like a memfd: which it is then its path tells no more than its kind.
    """
    known = next((kind for start, kind in _BY_LINK.items() if target.startswith(start)), None)
    return known or (None if target.startswith("/") else FdKind.NAMESPACE)


def _list_batches(fds: FdTargets | None) -> Iterator[Sequence[tuple[Fd, str]]]:
    paths = [link for link in (fds.targets if fds else ()) if find_kind(link[1]) in (None, FdKind.MEMFD)]
    return (paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE))


def _name_batch(batch: Sequence[tuple[Fd, str]]) -> str:
    first, last = batch[0][0], batch[-1][0]
    return f"fd {first}" if first == last else f"fds {first} to {last}"


def _join_fds(fds: FdTargets | None, answers: Answers, notes: Notes) -> tuple[OpenFd, ...] | None:
    if fds is None:
        return None
    statuses: dict[Fd, FileStatus] = {}
    for batch in _list_batches(fds):
        name = _name_batch(batch)
        answer = answers.get(name, NoAnswer(name))
        if isinstance(answer, Gone | NotRead):
            notes.note(name, answer)
            continue
        for (fd, target), found in zip(batch, decode_links(answer), strict=True):
            if isinstance(found, NotRead):
                notes.note(f"fd {fd}", found)
            elif not isinstance(found, Gone) and found.target == target:  # Else another file is there by now.
                statuses[fd] = found.status
    return tuple(_make_fd(fd, target, statuses.get(fd)) for fd, target in fds.targets)


def _make_fd(fd: Fd, target: str, status: FileStatus | None) -> OpenFd:
    kind = find_kind(target) or (FdKind.PATH if status is None else _BY_MODE.get(stat.S_IFMT(status.mode), FdKind.PATH))
    is_file = status is not None and stat.S_ISREG(status.mode)
    return OpenFd(
        fd,
        target,
        kind,
        status.size_bytes if status and is_file else None,
        status.modified_ns if status and is_file else None,
    )


def _name_function(line: str) -> str:
    """What stands behind the address, as in `ep_poll+0x33f/0x370`."""
    return line.partition("] ")[2] or line
