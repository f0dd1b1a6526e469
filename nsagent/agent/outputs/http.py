"""Reports to a receiver of POST requests, in their order, as the receiver takes them.

Whoever writes a report waits for the disk at most, never for the receiver: a thread of its own sends. What is not
taken yet lies in the spool, or in memory where there is none or where it cannot be used. What lies in memory is
always newer than what lies in the spool.
"""

import hashlib
import random
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final, NamedTuple

from nsagent.agent.logs import logger
from nsagent.agent.outputs.direct import why
from nsagent.agent.outputs.http_post import Answer, Pauses, Poster, describe_url
from nsagent.agent.outputs.report import Tell, WrittenReport
from nsagent.agent.outputs.small_file import read_token
from nsagent.agent.outputs.spool import Spool
from nsagent.agent.status import OutputStatus
from nsagent.config.model import HttpOutput as HttpConfig
from nsagent.errors import OutputFailed, PathRefused, PostFailed, ReadFailed
from nsagent.kernel.threads import start_thread

MAX_TRIES: Final = 5
"""Of one report that lies in memory, where there is no spool."""
MAX_WAITING: Final = 1000
"""Reports in memory."""
MAX_WAITING_BYTES: Final = 32 << 20

_LAST_SECONDS: Final = 0.2
_SENDING: Final = "sending"
_SPOOL: Final = "spool"


class _Head(NamedTuple):
    """The report to be sent now, and where it lies."""

    report: WrittenReport
    spool: Spool | None
    """None: in memory."""
    name: str
    """Of its record there."""


class HttpOutput:
    """Sends as long as it is open. `tell` hears of what is dropped, and of each new reason why nothing is taken."""

    def __init__(
        self,
        config: HttpConfig,
        *,
        tell: Tell,
        pauses: Pauses | None = None,
        max_waiting: int = MAX_WAITING,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._config = config
        self._tell = tell
        self._pauses = pauses or Pauses(random.random)
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._url = describe_url(config.url)
        self._status = OutputStatus(f"http {self._url}")
        """As of the last change that is whole: it is read without the lock, which may be held while a disk hangs."""
        self._poster = Poster(config.url, ca_file=config.ca_file, timeout_seconds=config.timeout)
        self._changed = threading.Condition()
        """Guards all below."""
        self._counts = self._status
        self._untold: list[str] = []
        self._errors: dict[str, str | None] = {_SENDING: None, _SPOOL: None}
        self._waiting: deque[WrittenReport] = deque()
        self._sending: _Head | None = None
        self._tries = 0
        self._spool: Spool | None = None
        self._is_closing = False
        self._is_over = False
        with self._changing():
            self._open_spool()
        self._worker = self._make_worker()
        self._start_worker()

    def write(self, report: WrittenReport) -> None:
        """Take a report to be sent; it is on disk then if the spool can be used. Raises OutputFailed."""
        most = self._config.spool.max_size if self._config.spool else self._max_waiting_bytes
        with self._changing():
            if self._is_closing:
                raise OutputFailed(f"{self._url}: is closed")
            if len(report.data) > most:
                self._drop(1, f"had {len(report.data)} bytes, more than may wait")
                raise OutputFailed(f"{self._url}: the report has {len(report.data)} bytes, more than may wait")
            self._waiting.append(report)
            self._move_to_spool()
            self._bound_waiting()
            if not self._worker.is_alive():
                self._start_worker()

    def status(self) -> OutputStatus:
        """How it fares."""
        return self._status

    def close(self, seconds: float = 0.0) -> None:
        """Send what waits for so long, then end the request that is under way; what lies in the spool stays.

        With a spool the first failure is the end: the next start goes on.
        """
        with self._changing():
            self._is_closing = True
        self._join(seconds - _LAST_SECONDS)
        with self._changing():
            self._is_over = True
        self._poster.abort()
        self._join(min(_LAST_SECONDS, seconds))  # One that waits for a name server is left behind.
        with self._changing():
            if self._waiting:
                self._drop(len(self._waiting), "not sent: the agent ends, or its config has no such output any more")
                self._waiting.clear()
            self._close_spool()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds the lock; then wakes whoever waits for a change, and tells what there is to tell."""
        try:
            with self._changed:
                try:
                    yield
                finally:
                    spooled = 0 if self._spool is None else len(self._spool)
                    error = self._errors[_SENDING] or self._errors[_SPOOL]
                    self._status = replace(self._counts, spooled=spooled, error=error)
                    untold, self._untold = self._untold, []
                    self._changed.notify_all()
        finally:
            for line in untold:
                self._tell(f"{self._url}: {line}")

    def _make_worker(self) -> threading.Thread:
        return threading.Thread(target=self._work, name="sending", daemon=True)

    def _start_worker(self) -> None:
        with suppress(ReadFailed):  # No thread to be had just now: the next report tries again.
            if self._worker.ident is not None:
                self._worker = self._make_worker()
            start_thread(self._worker)

    def _join(self, seconds: float) -> None:
        if self._worker.ident is not None:
            self._worker.join(max(0.0, seconds))

    def _work(self) -> None:
        while (head := self._wait_for_head()) is not None:
            pause = self._send(head)
            with self._changed:
                is_idle = pause > 0 or not self._has_any()
            if is_idle:
                self._poster.close()  # Else the receiver may close it, and it stands in close_wait until the next one.
            with self._changed:
                self._changed.wait_for(self._is_to_give_up, pause)
                if pause and self._is_to_give_up():
                    return

    def _is_to_give_up(self) -> bool:
        """Whether nothing is tried again: nothing is lost by that where all lies in the spool."""
        return self._is_over or (self._is_closing and self._spool is not None and not self._waiting)

    def _wait_for_head(self) -> _Head | None:
        """The next report, None when it is time to end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._has_any())
            with self._changing():
                self._sending = None if self._is_over else self._find_head()
                if self._sending or self._is_closing:
                    return self._sending
                is_unreadable = self._has_any()
            if is_unreadable:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closing, self._pauses.next_seconds(None))

    def _has_any(self) -> bool:
        return bool(self._waiting) or (self._spool is not None and len(self._spool) > 0)

    def _find_head(self) -> _Head | None:
        """The oldest report, None where there is none or it cannot be read; what is damaged is let go on the way."""
        while self._spool is not None:
            try:
                found = self._spool.first()
            except OSError as err:
                self._fail(_SPOOL, f"spool: cannot be read: {why(err)}; it is tried again")
                return None
            if found is None:
                break
            name, report = found
            if report is not None:
                return _Head(report, self._spool, name)
            self._spool.remove(name)
            self._drop(1, f"damaged in {name} of the spool")
        return _Head(self._waiting[0], None, "") if self._waiting else None

    def _send(self, head: _Head) -> float:
        """Post it once, and let it go if it is taken or never will be; the pause in seconds until the next one."""
        answer, error = None, ""
        try:
            answer = self._poster.post(head.report.data, self._make_headers(head.report))
        except PostFailed as err:
            error = str(err)
        except Exception as err:  # noqa: BLE001 - a bug costs a try, and not all that waits.
            logger.exception("%s: a bug", self._url)
            error = f"a bug: {err!r}"
        with self._changing():
            self._sending = None
            return 0.0 if self._is_over and not answer else self._settle(head, answer, error)

    def _settle(self, head: _Head, answer: Answer | None, error: str) -> float:
        counts = self._counts
        if answer and answer.is_taken:
            self._let_go(head)
            self._pauses.reset()
            self._counts = replace(counts, written=counts.written + 1)
            self._errors[_SENDING] = None
            return 0.0
        if answer:
            error = f"HTTP {answer.status} {answer.complaint}".rstrip()
        self._counts = replace(counts, failed=counts.failed + 1)
        if answer and answer.is_final:
            self._let_go(head)
            self._pauses.reset()
            self._drop(1, f"refused: {error}")
            return 0.0
        self._tries += 1
        self._fail(_SENDING, f"{error}; it is tried again")
        if self._config.spool is None and self._tries >= MAX_TRIES:
            self._let_go(head)
            self._drop(1, f"not taken in {MAX_TRIES} tries: {error}")
        return self._pauses.next_seconds(answer.retry_after_seconds if answer else None)

    def _let_go(self, head: _Head) -> None:
        self._tries = 0
        if head.spool is None:
            if self._waiting and self._waiting[0] is head.report:
                self._waiting.popleft()
        elif head.spool is self._spool:  # Not one of the same name in a directory that was made anew.
            head.spool.remove(head.name)

    def _open_spool(self) -> None:
        wanted = self._config.spool
        if wanted is None or self._spool is not None:
            return
        try:
            self._spool = Spool(wanted.path, wanted.max_size)
            self._errors[_SPOOL] = None
        except (OSError, PathRefused) as err:
            self._fail(_SPOOL, f"spool {wanted.path}: cannot be used: {why(err)}; reports wait in memory")

    def _close_spool(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _move_to_spool(self) -> None:
        """All that waits in memory, oldest first, unless it is being sent."""
        self._open_spool()
        while self._spool is not None and self._waiting:
            if self._sending is not None and self._sending.report is self._waiting[0]:
                return
            try:
                dropped = self._spool.append(self._waiting[0])
            except OSError as err:
                if isinstance(err, FileNotFoundError):  # The directory was removed.
                    self._close_spool()
                self._fail(_SPOOL, f"spool: cannot be written: {why(err)}; reports wait in memory")
                return
            self._errors[_SPOOL] = None
            self._waiting.popleft()
            if dropped:
                self._drop(dropped, "dropped, the oldest: the spool is full")

    def _bound_waiting(self) -> None:
        dropped = 0
        while len(self._waiting) > 1 and (
            len(self._waiting) > self._max_waiting
            or sum(len(report.data) for report in self._waiting) > self._max_waiting_bytes
        ):
            self._waiting.popleft()
            dropped += 1
        if dropped:
            self._drop(dropped, "dropped, the oldest: too many wait in memory")

    def _drop(self, count: int, why_so: str) -> None:
        self._counts = replace(self._counts, dropped=self._counts.dropped + count)
        self._errors[_SENDING] = f"{count} {'report' if count == 1 else 'reports'} {why_so}"
        self._untold.append(f"{self._errors[_SENDING]}")

    def _fail(self, kind: str, error: str) -> None:
        """Tell an error once."""
        if self._errors[kind] != error:
            self._errors[kind] = error
            self._untold.append(error)

    def _make_headers(self, report: WrittenReport) -> dict[str, str]:
        identity = "\0".join((report.host, report.name, report.taken_at, report.format))
        headers = {
            "Content-Type": report.content_type,
            "User-Agent": "nsagent",
            "X-Nsagent-Report": report.name,
            "Idempotency-Key": hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest(),
        }
        if self._config.token_file:
            try:
                headers["Authorization"] = f"Bearer {read_token(self._config.token_file)}"
            except (OSError, PathRefused) as err:
                raise PostFailed(f"{self._config.token_file}: {why(err)}") from err
        return headers
