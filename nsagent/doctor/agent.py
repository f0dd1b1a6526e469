"""What an agent with a config would find on this machine: its directories, room on disk, its addresses."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from errno import EADDRINUSE
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nsagent.errors import PathRefused
from nsagent.model.check import Check, CheckState
from nsagent.scan.held_directory import check_unshared, hold_directory, open_listing

if TYPE_CHECKING:
    from nsagent.config.model import Config

_LEAST_BYTES: Final = 64 << 20
"""Fewer free ones are little for reports and a history."""


def check_agent(config: "Config", split_listen: Callable[[str], tuple[str, int]]) -> Iterator[Check]:
    """One check for each directory that is written to, and each address that is listened at.

    `split_listen` takes the address and the port of `http.listen` apart.
    """
    for path, alone in _list_directories(config).items():
        yield _check_directory(path, alone=alone)
    if config.http is not None:
        yield _check_port(config.http.listen, *split_listen(config.http.listen))
    if config.socket is not None:
        yield _check_socket(Path(config.socket))


def _list_directories(config: "Config") -> dict[Path, bool]:
    """Each directory that is written to, and whether nobody else may write in it."""
    found: dict[Path, bool] = {}
    for report in config.reports:
        for output in report.outputs:
            if output.type in ("file", "textfile"):
                found.setdefault(Path(output.path).parent, False)
            elif output.type == "http" and output.spool is not None:
                found[Path(output.spool.path)] = True
    if config.history is not None:
        found[Path(config.history.path).parent] = True
    return found


def _check_directory(path: Path, *, alone: bool) -> Check:
    try:
        if (uid := os.stat(path).st_uid) not in (0, os.geteuid()):
            # As the state of manifests/nsagent.service, whose agent is no root; whoever looks may be.
            return Check(str(path), "disk", CheckState.UNUSED, detail=f"for an agent of uid {uid} alone, whose it is")
        with hold_directory(path, guarded=True) as directory:
            if alone:
                listing = open_listing(directory)
                try:
                    check_unshared(listing)
                finally:
                    os.close(listing)
            free = os.fstatvfs(directory)
    except PathRefused as err:
        return _failed(path, str(err), f"name a directory that only its owner may write in, or chmod go-w {path}")
    except OSError as err:
        fix = f"mkdir -m 0750 -p {path}" if isinstance(err, FileNotFoundError) else None
        return _failed(path, err.strerror or str(err), fix)
    if free.f_flag & os.ST_RDONLY:
        return _failed(path, "read-only", "mount it for writing, or name another")
    left = free.f_bavail * free.f_frsize
    if left < _LEAST_BYTES:
        return _failed(path, f"{left >> 20} MiB are free", "make room, or lower max_size and keep")
    return Check(str(path), "disk", CheckState.USED, detail=f"{left >> 20} MiB are free")


def _failed(path: Path, detail: str, fix: str | None) -> Check:
    return Check(str(path), "disk", CheckState.FAILED, detail=detail, fix=fix)


def _check_port(listen: str, host: str, port: int) -> Check:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as err:
        if err.errno == EADDRINUSE:
            held = f"nsagent scan --listening --port {port}"
            return Check(listen, "http", CheckState.UNUSED, detail="somebody listens there already", fix=held)
        return Check(listen, "http", CheckState.FAILED, detail=err.strerror or str(err), fix="set http.listen")
    return Check(listen, "http", CheckState.USED)


def _check_socket(path: Path) -> Check:
    try:
        found = os.stat(path.parent)
    except FileNotFoundError:
        return Check(str(path), "socket", CheckState.USED, detail="its directory will be made")
    except OSError as err:
        return Check(str(path), "socket", CheckState.FAILED, detail=err.strerror)
    if found.st_mode & 0o077 or not stat.S_ISDIR(found.st_mode):
        fix = f"chmod 0700 {path.parent}, or name a directory below it"
        return Check(str(path), "socket", CheckState.FAILED, detail="its directory is open to others", fix=fix)
    return Check(str(path), "socket", CheckState.USED)
