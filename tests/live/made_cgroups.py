"""Cgroups made by hand, in some or all hierarchies, and processes moved into them.

Source: cgroups(7); Documentation/admin-guide/cgroup-v1/cpusets.rst (a new cpuset takes no process
until it has CPUs and memory nodes).
"""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress

from tests.live.deadlines import until
from tests.live.leftovers import CGROUP_ROOT, remove_cgroups

V2 = "v2"
_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")
_NESTED, _LONG = 17, "x" * 245
"""Together more bytes than PATH_MAX."""


def find_hierarchies() -> dict[str, str]:
    """Where each cgroup hierarchy of this machine is mounted: V2, and those of version 1 by their directory."""
    if os.path.exists(os.path.join(CGROUP_ROOT, "cgroup.controllers")):
        return {V2: CGROUP_ROOT}
    found: dict[str, str] = {}
    for name in sorted(os.listdir(CGROUP_ROOT)):
        top = os.path.join(CGROUP_ROOT, name)
        if os.path.exists(os.path.join(top, "cgroup.controllers")):
            found[V2] = top
        elif os.path.exists(os.path.join(top, "cgroup.procs")) and not os.path.islink(top):
            found[name] = top
    return found


class MadeCgroups:
    """Makes cgroups; `close` removes them, when the processes in them have ended."""

    def __init__(self) -> None:
        self._made: set[str] = set()

    def enter(self, pid: int, path: str, hierarchies: Mapping[str, str]) -> None:
        """Move a process into the cgroup at `path` of each of these hierarchies, which is made if need be."""
        for directory in self.make(path, hierarchies):
            _write(os.path.join(directory, "cgroup.procs"), str(pid))

    def make(self, path: str, hierarchies: Mapping[str, str]) -> list[str]:
        """The directories of the cgroup at `path` in each of these hierarchies, made if need be."""
        directories: list[str] = []
        for top in hierarchies.values():
            directory = top
            for name in path.strip("/").split("/"):
                directory = os.path.join(directory, name)
                if not os.path.isdir(directory):
                    os.mkdir(directory)
                    self._made.add(directory)
                    _take_cpus(directory)
            directories.append(directory)
        return directories

    def close(self) -> None:
        """Remove what was made here, and in it; raises AssertionError if processes are still in some of it.

        A directory in which others have cgroups by now, as a dockerd in its `docker`, is left to them.
        """
        innermost = {path for path in self._made if not any(other.startswith(f"{path}/") for other in self._made)}
        remove_cgroups({path for top in innermost for path, _, _ in os.walk(top)} | self._made)
        assert [path for path in self._made if os.path.exists(path) and not next(os.walk(path))[1]] == []


class DeepCgroup:
    """A cgroup whose path is too long to be told."""

    def __init__(self, top: str) -> None:
        self._names = [f"nsagent-{secrets.token_hex(4)}"] + [_LONG] * _NESTED
        self._fds = [os.open(top, os.O_PATH)]
        for name in self._names:
            os.mkdir(name, dir_fd=self._fds[-1])
            self._fds.append(os.open(name, os.O_PATH | os.O_DIRECTORY, dir_fd=self._fds[-1]))

    def list_ids(self) -> list[int]:
        """Its id, and those of the cgroups around it, outermost first."""
        return [os.fstat(fd).st_ino for fd in self._fds[1:]]

    def enter(self, pid: int) -> None:
        """Move a process into it."""
        procs = os.open("cgroup.procs", os.O_WRONLY, dir_fd=self._fds[-1])
        os.write(procs, str(pid).encode())
        os.close(procs)

    def close(self) -> None:
        """Remove it, once nobody is in there."""
        os.close(self._fds.pop())
        while self._names:
            until(self._remove_last, "nobody is in the cgroup")

    def _remove_last(self) -> bool:
        with suppress(OSError):
            os.rmdir(self._names[-1], dir_fd=self._fds[-1])
            self._names.pop()
            os.close(self._fds.pop())
            return True
        return False


def _take_cpus(directory: str) -> None:
    """Give a new cpuset what the one around it has."""
    for name in _CPUSET_FILES:
        path = os.path.join(directory, name)
        if os.path.exists(path):
            with open(os.path.join(os.path.dirname(directory), name), encoding="ascii") as outer:
                _write(path, outer.read())


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
