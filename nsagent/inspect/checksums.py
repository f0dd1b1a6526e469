"""Checksums of what runs, each made once of each file, and of its image in memory."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from nsagent.errors import Gone, NotRead, Reason
from nsagent.inspect.asking import Asked, Asker
from nsagent.inspect.notes import Notes
from nsagent.inspect.subject import Held
from nsagent.kernel.formats.pid_maps import find_mappings
from nsagent.kernel.questions import ask_image, ask_memory, decode_image, decode_memory
from nsagent.model.process_details import Checksum, FileStatus, MemoryImage
from nsagent.model.process_details import Mapping as MemoryMapping

MOST_MEMORY_BYTES: Final = 256 << 20
"""Of one image in memory."""
MOST_RANGES: Final = 2048
"""Of its mappings."""

_Version = tuple[int, int, int, int]


class Running(NamedTuple):
    """A process, the file that it runs, and where what could not be read of it is noted."""

    held: Held
    file: FileStatus
    notes: Notes


class Checksums:
    """Those of files, each by device, inode, size and mtime: another algorithm of one that is known is made then."""

    def __init__(self) -> None:
        self._known: dict[_Version, dict[str, Checksum]] = {}

    def make(self, running: Iterable[Running], algorithms: Sequence[str], asker: Asker, seconds: float) -> None:
        """Make those of these files that are not known; why one could not be made is noted of all who run it."""
        by_version: defaultdict[_Version, list[Running]] = defaultdict(list)
        for one in running:
            by_version[_tell_version(one.file)].append(one)
        asked, missing = [], {}
        for version, (one, *_) in by_version.items():
            known = self._known.setdefault(version, {})
            if lacking := [name for name in algorithms if name not in known]:
                missing[version] = lacking
                asked.append(Asked(one.held.key, one.held.alive, "checksums", ask_image(lacking)))
        answers = asker.ask(asked, seconds) if asked else {}
        for version, lacking in missing.items():
            who = by_version[version]
            answer = answers[who[0].held.key]["checksums"]
            if not isinstance(answer, Gone | NotRead):
                status, made = decode_image(answer, lacking)
                if _tell_version(status) == version:
                    self._known[version] |= {each.algorithm: each for each in made}
                    continue
                answer = NotRead("exe", Reason.CHANGED)  # It runs another file by now.
            for one in who:
                one.notes.note("checksums", answer)

    def find(self, file: FileStatus, algorithms: Iterable[str]) -> tuple[Checksum, ...]:
        """Those of a file that are known."""
        known = self._known.get(_tell_version(file), {})
        return tuple(known[name] for name in algorithms if name in known)


def find_memory(mappings: Iterable[MemoryMapping], path: str) -> tuple[tuple[MemoryMapping, ...], bool]:
    """The readable mappings of a file, as many as are read at most, and whether there are more."""
    readable = [each for each in find_mappings(mappings, path) if each.is_readable]
    room, taken = MOST_MEMORY_BYTES, []
    for each in readable[:MOST_RANGES]:
        if room <= 0:
            break
        taken.append(each._replace(end=min(each.end, each.start + room)))
        room -= each.end - each.start
    return tuple(taken), len(taken) < len(readable) or room < 0


def read_memory(
    held: Held,
    path: str,
    mappings: Iterable[MemoryMapping],
    algorithms: Sequence[str],
    asker: Asker,
    seconds: float,
    notes: Notes,
) -> MemoryImage | None:
    """What the process has in memory of a file; None where nothing of it can be read, which is noted."""
    taken, cut = find_memory(mappings, path)
    if not taken:
        notes.note(f"mem: {path}", NotRead(path, Reason.UNSEEN))
        return None
    answer = asker.ask([Asked(held.key, held.alive, "mem", ask_memory(taken, algorithms))], seconds)[held.key]["mem"]
    if isinstance(answer, Gone | NotRead):
        notes.note("mem", answer)
        return None
    read = decode_memory(answer, algorithms)
    return MemoryImage(path, len(taken), read.done_bytes, read.unreadable_bytes, cut, read.checksums)


def _tell_version(file: FileStatus) -> _Version:
    return file.device, file.inode, file.size_bytes, file.modified_ns
