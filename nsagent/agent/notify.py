"""What systemd is told of a service of Type=notify.

Source: sd_notify(3), the protocol under "Notes"; a socket whose name begins with @ is an abstract one.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Tells the service manager; nobody where no NOTIFY_SOCKET is set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._path = "\0" + path[1:] if path[:1] == "@" else path
        self.watchdog_seconds = _read_watchdog(environ)
        """Within which time to call ping() again and again; None where nobody waits for it."""

    def tell(self, *lines: str) -> None:
        """Tell these, each as in `READY=1`; a manager that does not listen misses them."""
        if not self._path:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as way:
            way.sendto("\n".join(lines).encode("utf-8", "replace"), self._path)

    def ping(self) -> None:
        """That it is well."""
        if self.watchdog_seconds is not None:
            self.tell("WATCHDOG=1")


def _read_watchdog(environ: Mapping[str, str]) -> float | None:
    """The watchdog's time, where it is meant for this process (sd_watchdog_enabled(3))."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isascii() and microseconds.isdigit() and int(microseconds) else None
