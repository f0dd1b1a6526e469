"""The first process of a bed of pods: it holds their mounts and netns, and ends all of them at the end.

Run as a module by cri_bed.py in a mount namespace and a netns of its own, and as PID 1 of a node of
its own: `cri_init TOKEN DIRECTORY PROC_FD`, where PROC_FD is an open /proc of the test. It says its PID
as the test sees it. When stdin closes, also because the tests were killed, it ends everything that was
started for the bed and removes its cgroups and its directory.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

from tests.live.bed_init import hide_netns, raise_loopback
from tests.live.leftovers import list_mounts, list_pod_cgroups, list_pod_parents, list_processes_with, remove_cgroups

BED_VARIABLE = "NSAGENT_LIVE_CRI_BED"
"""Is set to the directory of the bed in the environment of all that runs for it, containers too."""

HIDDEN = ("/run", "/var/lib")
HIDDEN_ON_NODE = (*HIDDEN, "/var/log")
POLL_SECONDS = 0.02
END_SECONDS = 45.0


def hide_machine(paths: Iterable[str]) -> None:
    """Empty directories: shims and CNI plugins write there, whatever their configuration."""
    for path in paths:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "bed", path], check=True)


def end_processes(directory: str) -> None:
    """Kill what runs for the bed until nothing does."""
    end = time.monotonic() + END_SECONDS
    while time.monotonic() < end and (remaining := list(list_processes_with(BED_VARIABLE, directory))):
        for pid in remaining:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def remove_pod_cgroups(token: str, parents_before: set[str]) -> None:
    """Remove the cgroups of the pods: they are busy for a moment after their last process."""
    end = time.monotonic() + END_SECONDS
    while time.monotonic() < end and (remaining := list_pod_cgroups(token)):
        remove_cgroups(remaining)
        time.sleep(POLL_SECONDS)
    remove_cgroups(list_pod_parents() - parents_before)


def remove_directory(directory: str) -> None:
    """Unmount what is mounted in the directory, then remove it."""
    for path in reversed(list_mounts()):
        if path.startswith(directory):
            subprocess.run(["umount", "--lazy", path], stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Hold the bed until stdin closes."""
    token, directory, proc = sys.argv[1:]
    own_pid = os.readlink("self", dir_fd=int(proc))
    os.close(int(proc))
    parents_before = list_pod_parents()
    if os.getpid() == 1:
        hide_netns()
        hide_machine(HIDDEN_ON_NODE)
        # As systemd has them: else no mount of the node reaches a pod.
        subprocess.run(["mount", "--make-rshared", "/"], check=True)
        # Shims of pods that have ended are reaped by the kernel.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    else:
        hide_machine(HIDDEN)
    raise_loopback()
    print(own_pid, flush=True)
    sys.stdin.buffer.read()
    end_processes(directory)
    remove_pod_cgroups(token, parents_before)
    remove_directory(directory)


if __name__ == "__main__":
    main()
