"""The first process of a bed of pods: it holds their mounts and netns, and ends all of them at the end.

Run as a module by cri_bed.py in a mount namespace and a netns of its own: `cri_init TOKEN DIRECTORY`.
It says `ready`. When stdin closes, also because the tests were killed, it ends everything that was
started for the bed and removes its cgroups and its directory.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

from tests.live.bed_init import raise_loopback
from tests.live.leftovers import list_mounts, list_pod_cgroups, list_pod_parents, list_processes_with, remove_cgroups

BED_VARIABLE = "NSAGENT_LIVE_CRI_BED"
"""Is set to the directory of the bed in the environment of all that runs for it, containers too."""

HIDDEN = ("/run", "/var/lib")
POLL_SECONDS = 0.02
END_SECONDS = 45.0


def hide_machine() -> None:
    """An empty /run and /var/lib: shims and CNI plugins write there, whatever their configuration."""
    for path in HIDDEN:
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
    token, directory = sys.argv[1:]
    parents_before = list_pod_parents()
    hide_machine()
    raise_loopback()
    print("ready", flush=True)
    sys.stdin.buffer.read()
    end_processes(directory)
    remove_pod_cgroups(token, parents_before)
    remove_directory(directory)


if __name__ == "__main__":
    main()
