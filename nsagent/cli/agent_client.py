"""What the running agent is asked over its unix socket: its last pass, and how it fares."""

import json
import socket
import time
from errno import EACCES, EPERM
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final

from nsagent.errors import AgentUnavailable
from nsagent.scan.capture_file import MAX_FILE_BYTES

_MOST_STATUS_BYTES: Final = 16 << 20
_PATIENCE_SECONDS: Final = 60.0
"""For a whole answer; the capture of a million sockets is packed in half of it."""

_AGAIN_SECONDS: Final = 0.2
_CHUNK_BYTES: Final = 1 << 20


def ask_capture(path: Path) -> bytes:
    """The capture of its last pass; raises AgentUnavailable."""
    return _ask(path, "/v1/capture", MAX_FILE_BYTES)


def ask_status(path: Path, format_: str) -> str:
    """How it fares, as json, yaml or table; raises AgentUnavailable."""
    return _ask(path, f"/v1/status?format={format_}", _MOST_STATUS_BYTES).decode(errors="replace")


def find_status(path: Path) -> dict[str, Any] | None:
    """How it fares, as the document of `-o json`; None where no agent answers."""
    try:
        status: dict[str, Any] = json.loads(ask_status(path, "json"))
    except (AgentUnavailable, ValueError):
        return None
    return status


class _UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_PATIENCE_SECONDS)
        self.sock.connect(str(self._path))


def _ask(path: Path, target: str, most_bytes: int) -> bytes:
    """The body of its answer; one that is busy with others, or has made no pass yet, is asked again."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        connection = _UnixConnection(path)
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
        raise ConnectionResetError("cut off")
    return b"".join(chunks)


def _explain(path: Path, err: Exception) -> str:
    if isinstance(err, (FileNotFoundError, ConnectionRefusedError, NotADirectoryError)):
        return f"no agent at {path}: is `nsagent run` running?"
    if isinstance(err, OSError) and err.errno in (EACCES, EPERM):
        return f"the agent at {path}: {err.strerror}: it answers root and its own user only"
    return f"the agent at {path}: {(isinstance(err, OSError) and err.strerror) or err or type(err).__name__}"
