"""What the running agent is asked over its unix socket: its last pass, and how it fares."""

import json
import socket
import time
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final

from nsagent.errors import AgentUnavailable
from nsagent.model.forebear import Forebear
from nsagent.model.ids import Pid
from nsagent.model.process import ProcessKey
from nsagent.model.process_event import ExitStatus
from nsagent.scan.capture_file import MAX_FILE_BYTES

_MOST_STATUS_BYTES: Final = 16 << 20
_CAPTURE_SECONDS: Final = 120.0
"""For a whole answer; to pack the capture of a million sockets takes half of it."""

_STATUS_SECONDS: Final = 10.0

_MOST_FOREBEARS_BYTES: Final = 1 << 20
_FOREBEARS_SECONDS: Final = 2.0

_AGAIN_SECONDS: Final = 0.2
_CHUNK_BYTES: Final = 1 << 20


def ask_capture(path: Path) -> bytes:
    """The capture of its last pass; raises AgentUnavailable."""
    return _ask(path, "/v1/capture", MAX_FILE_BYTES, _CAPTURE_SECONDS)


def ask_status(path: Path, format_: str) -> str:
    """How it fares, as json, yaml or table; raises AgentUnavailable."""
    return _ask(path, f"/v1/status?format={format_}", _MOST_STATUS_BYTES, _STATUS_SECONDS).decode(errors="replace")


def find_status(path: Path) -> dict[str, Any] | None:
    """How it fares, as the document of `-o json`; None where no agent answers."""
    try:
        status: dict[str, Any] = json.loads(ask_status(path, "json"))
    except (AgentUnavailable, ValueError):
        return None
    return status


def find_forebears(path: Path, key: ProcessKey) -> tuple[Forebear, ...] | None:
    """Whose child a process was when it began, and so on; None where no agent answers, or it has not heard of that."""
    target = f"/v1/forebears?pid={key.pid}&start_ticks={key.start_ticks}"
    try:
        told = json.loads(_ask(path, target, _MOST_FOREBEARS_BYTES, _FOREBEARS_SECONDS))
        return tuple(map(_read_forebear, told["forebears"]))
    except (AgentUnavailable, ValueError, KeyError, TypeError):
        return None


def _read_forebear(record: dict[str, Any]) -> Forebear:
    """Raises ValueError, KeyError and TypeError."""
    ended, status = record["ended_at"], record["status"]
    return Forebear(
        Pid(record["pid"]),
        record["start_ticks"],
        record["comm"],
        record["container_id"],
        None if ended is None else datetime.fromisoformat(ended).timestamp(),
        None if status is None else ExitStatus(**status),
    )


class _UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        super().__init__("localhost")
        self._path = path
        self._timeout_seconds = timeout_seconds

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._timeout_seconds)
        self.sock.connect(str(self._path))


def _ask(path: Path, target: str, most_bytes: int, patience_seconds: float) -> bytes:
    """The body of its answer; one that is busy with others, or has made no pass yet, is asked again."""
    deadline = time.monotonic() + patience_seconds
    while True:
        connection = _UnixConnection(path, patience_seconds)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            body = _read(response, most_bytes, deadline)
        except (OSError, HTTPException, ValueError) as err:
            raise AgentUnavailable(_explain(path, err)) from err
        finally:
            connection.close()
        if body is None:
            raise AgentUnavailable(f"the agent at {path}: its answer is too long, or takes too long")
        if response.status == HTTPStatus.OK:
            return body
        if response.status != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() + _AGAIN_SECONDS > deadline:
            raise AgentUnavailable(f"the agent at {path}: {body[:200].decode(errors='replace').strip()}")
        time.sleep(_AGAIN_SECONDS)


def _read(response: HTTPResponse, most_bytes: int, deadline: float) -> bytes | None:
    """The body, None where it has no end in bytes or in time."""
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read1(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > most_bytes or time.monotonic() > deadline:
            return None
    if response.length:
        raise HTTPException("its answer was cut off")
    return b"".join(chunks)


def _explain(path: Path, err: Exception) -> str:
    if isinstance(err, (FileNotFoundError, ConnectionRefusedError, NotADirectoryError)):
        return f"no agent at {path}: is `nsagent run` running?"
    if isinstance(err, (PermissionError, BrokenPipeError, ConnectionResetError)):
        why = err.strerror if isinstance(err, PermissionError) else "hangs up"
        return f"the agent at {path}: {why}: it answers root and its own user only"
    return f"the agent at {path}: {(isinstance(err, OSError) and err.strerror) or err or type(err).__name__}"
