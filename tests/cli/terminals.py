"""Running programs on a terminal of a given width."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Sequence
from typing import NamedTuple

from tests.cli.test_app import environment


class Shown(NamedTuple):
    """How a program ended, and what it wrote."""

    status: int
    out: str
    """On the terminal, lines as the program wrote them."""
    err: str
    """On stderr, "" where that was the terminal too."""


def run_on_terminal(
    command: Sequence[str], columns: int, *, both: bool = False, timeout: float = 120, **settings: str
) -> Shown:
    """Run with a terminal as stdout, and with `both` as stderr too, which else is a pipe."""
    master, slave = pty.openpty()
    told: list[bytes] = []
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
        env = {name: value for name, value in environment().items() if name not in ("COLUMNS", "NO_COLOR")}
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=slave if both else subprocess.PIPE,
            env={**env, "TERM": "xterm", **settings},
        )
    finally:
        os.close(slave)
    reader = threading.Thread(target=_read_all, args=(master, told))
    reader.start()
    with process:
        _, err = process.communicate(timeout=timeout)
    reader.join()
    os.close(master)
    out = b"".join(told).decode(errors="surrogateescape").replace("\r\n", "\n")
    return Shown(process.returncode, out, (err or b"").decode())


def _read_all(master: int, told: list[bytes]) -> None:
    """Until nobody has the other end open any more, which is EIO."""
    while True:
        try:
            told.append(os.read(master, 1 << 16))
        except OSError:
            return
