"""What the look-up child is asked about a process, and what its answers say: the other end of kernel.lookup_process.

Source: kernel.lookups, which asks; struct stat of stat(2).
"""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nsagent.errors import Gone, NotRead
from nsagent.kernel.files import translate_errno
from nsagent.kernel.lookup_process import FILE, RANGE, READ_COUNTS
from nsagent.model.process_details import Checksum, FileStatus, Mapping

HASHED = ("sha256", "sha1", "md5")
"""The algorithms of checksums that there are."""


class Question(NamedTuple):
    """The rest of a kernel.lookups.ProcessLookup."""

    number: int
    what: bytes


class LinkedFile(NamedTuple):
    """A file that a link of procfs leads to, and what the link of this very file says."""

    status: FileStatus
    target: str


class MemoryRead(NamedTuple):
    """How much memory was read, how much could not be, and the checksums of what was, in the order asked for."""

    done_bytes: int
    unreadable_bytes: int
    checksums: tuple[Checksum, ...]


def ask_file(name: str, most_bytes: int) -> Question:
    """A file of the process; of one that is longer one byte more than so many come, and no more."""
    return Question(most_bytes, b"r" + os.fsencode(name))


def ask_links(names: Sequence[str]) -> Question:
    """What these links of the process lead to, for decode_links()."""
    return Question(0, b"s" + os.fsencode("\0".join(names)))


def ask_below(path: str) -> Question:
    """What is at a path below its root directory, for decode_file()."""
    return Question(0, b"p" + os.fsencode(path))


def ask_image(algorithms: Sequence[str]) -> Question:
    """The checksums of what it runs, for decode_image()."""
    return Question(0, b"h" + "\0".join(algorithms).encode("ascii"))


def ask_memory(mappings: Sequence[Mapping], algorithms: Sequence[str]) -> Question:
    """The checksums of these of its mappings, one after the other, for decode_memory()."""
    ranges = b"".join(RANGE.pack(each.start, each.end) for each in mappings)
    return Question(len(mappings), b"m" + ranges + "\0".join(algorithms).encode("ascii"))


def decode_links(answer: bytes) -> Iterator[LinkedFile | Gone | NotRead]:
    """One for each link, in their order."""
    place = 0
    while place < len(answer):
        number, *numbers, length = FILE.unpack_from(answer, place)
        place += FILE.size
        if number:
            yield translate_errno(OSError(number, os.strerror(number)), "a link")
        else:
            yield LinkedFile(FileStatus(*numbers), os.fsdecode(answer[place : place + length]))
        place += length


def decode_file(answer: bytes) -> FileStatus:
    """The status of the file."""
    _, *numbers, _ = FILE.unpack_from(answer)
    return FileStatus(*numbers)


def decode_image(answer: bytes, algorithms: Sequence[str]) -> tuple[FileStatus, tuple[Checksum, ...]]:
    """The status of the file that was read, and its checksums."""
    return decode_file(answer), _decode_checksums(answer[FILE.size :], algorithms)


def decode_memory(answer: bytes, algorithms: Sequence[str]) -> MemoryRead:
    """What was read."""
    done, unreadable = READ_COUNTS.unpack_from(answer)
    named = [f"mem:{algorithm}" for algorithm in algorithms]
    return MemoryRead(done, unreadable, _decode_checksums(answer[READ_COUNTS.size :], named))


def _decode_checksums(answer: bytes, names: Sequence[str]) -> tuple[Checksum, ...]:
    return tuple(map(Checksum, names, answer.decode("ascii").split("\0")))
