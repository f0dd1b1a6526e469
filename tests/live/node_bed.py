"""A node of a cluster: PIDs, mounts and netns of its own, and containerd where nodes have it.

What runs on it sees nothing of the machine: an agent's pod there can be compared to the last listener.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.live.capabilities import PATH
from tests.live.cri_bed import CriBed
from tests.live.cri_configuration import Places

COMMAND_SECONDS = 60.0


class NodeBed(CriBed):
    """One such node, in which everything ends with its PID 1."""

    namespaces = ("--mount", "--net", "--pid")

    @property
    def root(self) -> str:
        """The root directory of the node, as the test sees it."""
        return f"/proc/{self._init_pid}/root"

    @property
    def places(self) -> Places:
        """Where nodes have it."""
        return Places("/var/lib/containerd", "/run/containerd", "/run/containerd/containerd.sock", "/var/log")

    @property
    def daemon_pid(self) -> int:
        """The pid of containerd, as the test sees it: nsenter runs it as its child."""
        entered = super().daemon_pid
        with open(f"/proc/{entered}/task/{entered}/children", encoding="ascii") as children:
            return int(children.read())

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """containerd neither answers nor refuses while this lasts."""
        with super().stopped():
            yield
        # nsenter stops with its child, and does not go on with it.
        os.kill(super().daemon_pid, signal.SIGCONT)

    def run(self, *command: str) -> str:
        """What a command of this machine says on the node."""
        done = subprocess.run(
            [*self.enter, *command],
            env={**os.environ, "PATH": PATH},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=True,
        )
        return done.stdout

    def _unshare(self) -> list[str]:
        return [*super()._unshare(), "--fork", "--kill-child", "--mount-proc"]
