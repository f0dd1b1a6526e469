"""A word on the terminal while a pass takes long."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nsagent.cli.tell import tell
from nsagent.errors import ReadFailed
from nsagent.kernel.threads import start_thread
from nsagent.scan.progress import Progress

_PATIENCE_SECONDS: Final = 1.0
_EACH_SECONDS: Final = 0.2
_ERASE: Final = "\r\x1b[K"


@contextmanager
def progress_on_terminal() -> Iterator[Progress]:
    """Say how far a pass is, after a second and only to a terminal; it is gone from there at the end."""
    progress = Progress()
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield progress
        return
    done = threading.Event()
    thread = threading.Thread(target=_tell_often, args=(progress, done), daemon=True)
    try:
        start_thread(thread)
    except ReadFailed:  # The pass itself will say so.
        yield progress
        return
    try:
        yield progress
    finally:
        done.set()
        thread.join()


def _tell_often(progress: Progress, done: threading.Event) -> None:
    if done.wait(_PATIENCE_SECONDS):
        return
    while True:
        read, found = progress.look()
        tell(f"{_ERASE}reading: {read} of {found} netns ...", end="")
        if done.wait(_EACH_SECONDS):
            tell(_ERASE, end="")
            return
