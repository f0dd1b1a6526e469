"""The image of the DaemonSet, built of this checkout: in a minute, or seconds where only nsagent has changed."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nsagent
from tests.live.capabilities import PATH

ROOT = Path(__file__).parent.parent.parent
NAME = f"nsagent:{nsagent.__version__}"
BUILD_SECONDS = 540.0


class BuiltImage(NamedTuple):
    """What manifests/build-image makes."""

    archive: Path
    """As `docker save` would write it."""
    root: Path
    """The file system in it."""
    bom: Path
    """What Python packages are in it."""

    @property
    def pulled_name(self) -> str:
        """What containerd calls it."""
        return f"docker.io/library/{NAME}"


def build_image() -> BuiltImage:
    """Build it, where it is not of these sources already; raises RuntimeError with what was said.

    One process at a time, of those that share the tests out: the others then find it built.
    """
    directory = ROOT / "build" / "image"
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory.parent / "image.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [ROOT / "manifests" / "build-image", directory],
            env={**os.environ, "PATH": PATH, "PYTHON": sys.executable},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise RuntimeError(f"the image is not built:\n{done.stdout}")
    return BuiltImage(directory / "nsagent.tar", directory / "root", directory / "root.cdx.json")
