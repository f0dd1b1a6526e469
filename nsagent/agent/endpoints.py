"""What the agent answers over HTTP: a WSGI application (PEP 3333) over the Board. It starts and writes nothing.

| path | answer |
|---|---|
| /metrics | Prometheus text |
| /healthz | 200 while passes finish as they should, else 503 |
| /readyz | 200 once a pass of the host has finished, else 503 |
| /v1/snapshot | the JSON document of the last pass; JSON lines with ?format=jsonl |
| /v1/who | the same document with the rows that hold an end: ?endpoint=ADDRESS:PORT, given twice for a connection |
| /v1/forebears | whose child a process was when it began, and so on, as JSON: ?pid=PID&start_ticks=NUMBER |
| /v1/changes | the last changes as JSON lines; with ?since=NUMBER those after it |
| /v1/status | how the agent fares, as JSON; with ?format=table or yaml for people |
| /v1/capture | the capture of the last pass: over the unix socket only |
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from io import BytesIO
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qs

from nsagent.agent.board import Board
from nsagent.agent.metrics import Metrics
from nsagent.agent.status_text import render_status
from nsagent.agent.token_file import TokenFile
from nsagent.agent.who import render_who
from nsagent.errors import Ambiguous, NotFound, ServeFailed, UsageError
from nsagent.model.change import Change
from nsagent.model.ids import Pid
from nsagent.query.select import leave_labels
from nsagent.report.escape import escape
from nsagent.report.inspection import forebear_record
from nsagent.report.json import render_json
from nsagent.report.json_text import dump
from nsagent.report.jsonl import render_jsonl
from nsagent.scan.capture import encode_capture

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LONG_ANSWERS: Final = 2
"""How many answers are made at a time that take long, or hold a pass while somebody reads them slowly."""

LONGEST_REQUEST_LINE: Final = 4096
"""Bytes of path and query; the line has twenty more."""

_JSON: Final = "application/json"
_JSON_LINES: Final = "application/x-ndjson"
_PLAIN: Final = "text/plain; charset=utf-8"

_ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'"),
    ("Cache-Control", "no-store"),
)

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::\d{0,5})?", re.ASCII)

ChangeRecord = Callable[[Change], dict[str, object]]
"""A change as a plain dict, keys in their published order."""


class Access(NamedTuple):
    """Who may ask for what at one listener."""

    host: str
    """How it was configured: a name that a Host header may say, beside numbers and localhost."""
    data: bool = True
    """Whether /v1 is served without a token."""
    token: TokenFile | None = None
    """What /v1 asks for."""
    capture: bool = False
    """Whether whoever connects may have the capture."""


class Answer(NamedTuple):
    """A status, and a body of bytes that are there already or are made while they are read."""

    status: HTTPStatus
    content_type: str
    body: bytes | Iterator[bytes]
    headers: tuple[tuple[str, str], ...] = ()


class _Capture(bytes):
    """That of a pass, as it is sent."""


def tell(status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Answer:
    """An answer of one line."""
    return Answer(status, _PLAIN, f"{text}\n".encode(), headers)


class Endpoints:
    """The application of one listener; called by several threads."""

    def __init__(self, board: Board, metrics: Metrics, access: Access, change_record: ChangeRecord) -> None:
        self._board = board
        self._metrics = metrics
        self._access = access
        self._change_record = change_record
        self._long = threading.BoundedSemaphore(LONG_ANSWERS)
        self._capture_lock = threading.Lock()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answer = self._refuse(environ) or self._answer(environ)
        body = answer.body
        headers = [("Content-Type", answer.content_type), *_ALWAYS, *answer.headers]
        if isinstance(body, bytes):
            headers.append(("Content-Length", str(len(body))))
        start_response(f"{answer.status.value} {answer.status.phrase}", headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            _close(body)
            return []
        if isinstance(body, bytes):
            # A file shares the bytes: a thousand slow readers hold them once, and no thread.
            wrapper = environ.get("wsgi.file_wrapper")
            return wrapper(BytesIO(body)) if wrapper and body else [body]
        return body

    def _refuse(self, environ: "WSGIEnvironment") -> Answer | None:
        """Why a request is not even looked at, None if it is."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return tell(HTTPStatus.METHOD_NOT_ALLOWED, "GET and HEAD only", ("Allow", "GET, HEAD"))
        if environ.get("CONTENT_LENGTH", "") not in ("", "0"):
            return tell(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a request has no body here")
        if len(environ.get("REQUEST_URI", "")) > LONGEST_REQUEST_LINE:
            return tell(HTTPStatus.REQUEST_URI_TOO_LONG, f"a path of more than {LONGEST_REQUEST_LINE} bytes")
        if not is_own_host(environ.get("HTTP_HOST", ""), self._access.host):
            # A page of somebody else, whose name was made to lead here, gets nothing (DNS rebinding).
            return tell(HTTPStatus.MISDIRECTED_REQUEST, "ask by an IP address, localhost, or the name in the config")
        return None

    def _answer(self, environ: "WSGIEnvironment") -> Answer:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            text, content_type = self._metrics.scrape(self._board)
            return Answer(HTTPStatus.OK, content_type, text)
        if path == "/healthz":
            well = self._board.is_well()
            return tell(*((HTTPStatus.OK, "ok") if well else (HTTPStatus.SERVICE_UNAVAILABLE, "no pass finishes")))
        if path == "/readyz":
            if self._board.blind is not None:
                return tell(HTTPStatus.SERVICE_UNAVAILABLE, self._board.blind)
            return tell(HTTPStatus.OK, "ok") if self._board.last_pass else _not_yet()
        answers: dict[str, Callable[[dict[str, list[str]]], Answer]]
        answers = {
            "/v1/snapshot": self._snapshot,
            "/v1/who": self._find_who,
            "/v1/forebears": self._list_forebears,
            "/v1/changes": self._changes,
            "/v1/status": self._status,
        }
        if self._access.capture:
            answers["/v1/capture"] = self._captured
        if path not in answers:
            return tell(HTTPStatus.NOT_FOUND, "no such path")
        if refused := self._check_token(environ.get("HTTP_AUTHORIZATION", "")):
            return refused
        if path != "/v1/status" and environ["REQUEST_METHOD"] == "HEAD":
            return tell(HTTPStatus.OK, "ask by GET")
        try:
            return answers[path](parse_qs(environ.get("QUERY_STRING", ""), max_num_fields=8))
        except (ValueError, UsageError) as err:
            return tell(HTTPStatus.BAD_REQUEST, str(err))
        except (NotFound, Ambiguous) as err:
            return tell(HTTPStatus.NOT_FOUND, escape(str(err)))

    def _check_token(self, authorization: str) -> Answer | None:
        """Why /v1 is closed to whoever shows this, None if it is open."""
        access = self._access
        if access.token is None:
            return None if access.data else tell(HTTPStatus.FORBIDDEN, "beyond loopback this takes http.token_file")
        scheme, _, token = authorization.partition(" ")
        try:
            if scheme.lower() == "bearer" and access.token.holds(token.strip().encode("latin-1")):
                return None
        except ServeFailed:
            return tell(HTTPStatus.SERVICE_UNAVAILABLE, "the token of this agent cannot be read")
        return tell(HTTPStatus.UNAUTHORIZED, "a bearer token is asked for", ("WWW-Authenticate", "Bearer"))

    def _snapshot(self, query: dict[str, list[str]]) -> Answer:
        renderers = {"json": (render_json, _JSON), "jsonl": (render_jsonl, _JSON_LINES)}
        render, content_type = renderers[_pick(query, "format", "json", renderers)]
        last = self._board.last_pass
        if last is None:
            return _not_yet()
        # Labels are for those who ask for them, in a report: here anybody on this host may.
        snapshot = leave_labels(last.snapshot)
        return self._long_answer(content_type, lambda: (text.encode() for text in render(snapshot)))

    def _find_who(self, query: dict[str, list[str]]) -> Answer:
        last = self._board.last_pass
        return _not_yet() if last is None else Answer(HTTPStatus.OK, _JSON, render_who(last, query).encode())

    def _list_forebears(self, query: dict[str, list[str]]) -> Answer:
        pid, start_ticks = _read_number(query, "pid"), _read_number(query, "start_ticks")
        found = self._board.list_forebears(Pid(pid), start_ticks)
        if found is None:
            return tell(HTTPStatus.NOT_FOUND, "nothing was heard of such a process")
        record: dict[str, object] = {"schema": "nsagent/forebears/v1", "forebears": [*map(forebear_record, found)]}
        return Answer(HTTPStatus.OK, _JSON, _line(record))

    def _changes(self, query: dict[str, list[str]]) -> Answer:
        since = _read_number(query, "since", "0")
        return self._long_answer(_JSON_LINES, lambda: self._list_changes(since))

    def _list_changes(self, since: int) -> Iterator[bytes]:
        changes, missed, last = self._board.list_changes(since)
        # After a restart numbers begin anew: one that is asked for may be another agent's, and be reached again.
        started_at = None if self._board.status is None else self._board.status.started_at
        head = {"type": "changes", "schema": "nsagent/v1", "missed": missed, "last": last}
        yield _line({**head, "agent_started_at": started_at})
        for number, change in changes:
            yield _line({"type": "change", "number": number, **self._change_record(change)})

    def _status(self, query: dict[str, list[str]]) -> Answer:
        status = self._board.status
        if status is None:
            return _not_yet()
        formats = {"json": _JSON, "yaml": "application/yaml", "table": _PLAIN}
        format_ = _pick(query, "format", "json", formats)
        return Answer(HTTPStatus.OK, formats[format_], render_status(status, format_).encode())

    def _captured(self, _query: dict[str, list[str]]) -> Answer:
        if not self._long.acquire(blocking=False):
            return _busy()
        try:
            last = self._board.last_pass
            if last is None:
                return _not_yet()
            with self._capture_lock:
                capture = last.made.get(_Capture)
                if capture is None:
                    capture = last.made[_Capture] = _Capture(encode_capture(last.facts))
                return Answer(HTTPStatus.OK, "application/gzip", capture)
        finally:
            self._long.release()

    def _long_answer(self, content_type: str, make: Callable[[], Iterator[bytes]]) -> Answer:
        if not self._long.acquire(blocking=False):
            return _busy()
        return Answer(HTTPStatus.OK, content_type, _Held(make(), self._long))


class _Held(Iterator[bytes]):
    """Chunks, and a place among the long answers, given back when they are closed."""

    def __init__(self, chunks: Iterator[bytes], place: threading.BoundedSemaphore) -> None:
        self._chunks = chunks
        self._place: threading.BoundedSemaphore | None = place

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Give the place back; once is enough."""
        place, self._place = self._place, None
        if place is not None:
            place.release()


def is_own_host(header: str, configured: str) -> bool:
    """Whether a Host header names this agent in a way that no page of somebody else can."""
    match = _HOST.fullmatch(header)
    if match is None:
        return False
    name = match[1].strip("[]").lower()
    if name in ("localhost", configured.lower()):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _pick(query: dict[str, list[str]], key: str, usual: str, known: Iterable[str]) -> str:
    value = query.get(key, [usual])[-1]
    if value not in known:
        raise UsageError(f"{key}: expected one of {', '.join(known)}")
    return value


def _read_number(query: dict[str, list[str]], key: str, usual: str = "") -> int:
    text = query.get(key, [usual])[-1]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError(f"{key}: expected a number")
    return int(text)


def _line(record: dict[str, object]) -> bytes:
    return f"{dump(record)}\n".encode()


def _close(body: bytes | Iterator[bytes]) -> None:
    if isinstance(body, _Held):
        body.close()


def _not_yet() -> Answer:
    return tell(HTTPStatus.SERVICE_UNAVAILABLE, "no pass has finished yet", ("Retry-After", "1"))


def _busy() -> Answer:
    return tell(HTTPStatus.SERVICE_UNAVAILABLE, "others are being answered: ask again", ("Retry-After", "1"))
