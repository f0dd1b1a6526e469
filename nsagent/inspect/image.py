"""The file that a process runs: where it is, in its own root directory and on the host, and what became of it.

It is told by what runs, through the link of exe, never by a path alone: another file may be there by now.

Source: proc_pid_exe(5), fs/d_path.c d_path(); memfd_create(2).
"""

import os
import posixpath
from typing import Final, NamedTuple

from nsagent.errors import Gone, NotRead, Reason
from nsagent.inspect.asking import Answer, Answers
from nsagent.inspect.direct import Direct
from nsagent.inspect.notes import Notes
from nsagent.kernel.formats.mountinfo import Mount, find_mount, list_mounts_of
from nsagent.kernel.formats.pid_maps import DELETED
from nsagent.kernel.questions import Question, ask_below, ask_links, decode_file, decode_links
from nsagent.model.process_details import FileStatus, Image, ImageState

_MEMFD: Final = "/memfd:"
_EXE: Final = "exe"
_MOST_PLACES: Final = 4
"""Where the host may have the file: so many of its mounts are looked at."""


class Places(NamedTuple):
    """Where the file may be: below the root directory of the process, and below that of PID 1."""

    paths: tuple[str, ...] = ()
    host_paths: tuple[str, ...] = ()


def find_places(direct: Direct, host_mountinfo: bytes) -> Places:
    """By what the link of exe says and by what both see mounted; raises FormatError."""
    if direct.exe is None:
        return Places()
    paths = _list_paths(direct.exe, direct.root or "/")
    return Places(
        tuple(paths),
        tuple(place for path in paths for place in _list_host_paths(path, direct.mountinfo, host_mountinfo)),
    )


def list_image_questions(direct: Direct, places: Places) -> dict[str, Question]:
    """What the process itself is asked about: what runs, and what is at its path by now."""
    if direct.exe is None:
        return {}
    return {_EXE: ask_links([_EXE])} | {f"exe at {path}": ask_below(path) for path in places.paths}


def list_host_questions(places: Places) -> dict[str, Question]:
    """What PID 1 is asked about."""
    return {path: ask_below(path) for path in places.host_paths}


def make_image(direct: Direct, places: Places, answers: Answers, host_answers: Answers, notes: Notes) -> Image | None:
    """What the answers to both say."""
    if direct.exe is None:
        return None
    file = _read_exe(answers.get(_EXE), direct.exe, notes)
    paths = places.paths
    if file is None:
        return Image(direct.exe, paths[0] if len(paths) == 1 else None, None, None, None)
    found = {path: _read_file(answers.get(f"exe at {path}"), path, notes) for path in paths}
    path = next((path for path in paths if _is_same(found[path], file)), paths[-1] if paths else None)
    state = _judge(direct, file, path, None if path is None else found[path])
    if state is ImageState.MEMFD:
        path = None
    host_path = next((each for each in places.host_paths if _is_same(_decode(host_answers.get(each)), file)), None)
    return Image(direct.exe, path, host_path, state, file)


class _Absent(NamedTuple):
    """Nothing is at a path."""


def _judge(direct: Direct, file: FileStatus, path: str | None, there: FileStatus | _Absent | None) -> ImageState | None:
    """What became of the file; None where that is not known."""
    if path is None:
        return ImageState.DELETED if file.links == 0 else None
    if file.links == 0 and direct.exe is not None and direct.exe.startswith(_MEMFD) and not _is_mounted(direct, file):
        return ImageState.MEMFD if direct.mountinfo else None
    if isinstance(there, FileStatus):
        return ImageState.PRESENT if _is_same(there, file) else ImageState.REPLACED
    if file.links == 0:
        return ImageState.DELETED
    return ImageState.UNLINKED if isinstance(there, _Absent) else None


def _list_paths(target: str, root: str) -> list[str]:
    """The paths that a link may mean, below this root directory: a name may end like that of a deleted file.

    None where it lies elsewhere, as what a process runs that has called chroot(2) since.
    """
    above = root.rstrip("/")
    if not target.startswith(f"{above}/"):
        return []
    below = target.removeprefix(above)
    return [below, below.removesuffix(DELETED)] if below.endswith(DELETED) else [below]


def _list_host_paths(path: str, mountinfo: bytes, host_mountinfo: bytes) -> list[str]:
    """Where PID 1 would have what a process has at a path: by the mounts of one file system that both have."""
    mount = find_mount(mountinfo, path)
    if mount is None:
        return []
    inside = posixpath.join(mount.root, posixpath.relpath(path, mount.mount_point))
    mounts = list_mounts_of(host_mountinfo, mount.major, mount.minor)
    return [place for each in mounts if (place := _find_place(each, inside)) is not None][:_MOST_PLACES]


def _find_place(mount: Mount, inside: str) -> str | None:
    """Where a mount has what its file system has there, None where it is not in the part that is mounted."""
    rest = posixpath.relpath(inside, mount.root)
    return None if rest.startswith("..") else posixpath.normpath(posixpath.join(mount.mount_point, rest))


def _is_mounted(direct: Direct, file: FileStatus) -> bool:
    """Whether the process sees a file system with this file: that of memfds is mounted nowhere."""
    return bool(list_mounts_of(direct.mountinfo, os.major(file.device), os.minor(file.device)))


def _is_same(one: FileStatus | _Absent | None, other: FileStatus) -> bool:
    return isinstance(one, FileStatus) and (one.device, one.inode) == (other.device, other.inode)


def _read_exe(answer: Answer | None, target: str, notes: Notes) -> FileStatus | None:
    if isinstance(answer, bytes):
        (found,) = decode_links(answer)
        if isinstance(found, Gone | NotRead):
            notes.note(_EXE, found)
        elif found.target == target:
            return found.status
        else:  # It has called execve(2) meanwhile.
            notes.note(_EXE, NotRead(_EXE, Reason.CHANGED))
    elif answer is not None:
        notes.note(_EXE, answer)
    return None


def _read_file(answer: Answer | None, path: str, notes: Notes) -> FileStatus | _Absent | None:
    if isinstance(answer, NotRead):
        notes.note(f"exe at {path}", answer)
    return _decode(answer)


def _decode(answer: Answer | None) -> FileStatus | _Absent | None:
    if isinstance(answer, Gone):
        return _Absent()
    return decode_file(answer) if isinstance(answer, bytes) else None
