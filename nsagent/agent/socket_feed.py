"""The ends of sockets, handed on as the kernel tells of them, where a report asks for events: listening has its price.

Where the kernel tells nothing, passes alone tell what opens and closes.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from nsagent.agent.event_log import EventLog
from nsagent.errors import EventsUnavailable, NsagentError
from nsagent.events.known_sockets import ListLodgers
from nsagent.events.losses import Losses
from nsagent.events.socket_events import SocketEvents, Source
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.socket_notices import open_socket_notices
from nsagent.kernel.threads import start_thread
from nsagent.model.named_event import EventsOf
from nsagent.scan.collect.pace import Pace

_AGAIN_SECONDS: Final = 60.0
"""How long after events ended it is tried to hear them again."""

_END_SECONDS: Final = 0.3


class SocketFeed:
    """Hears in a thread of its own, from begin() to close()."""

    def __init__(
        self,
        proc_root: str,
        log: EventLog,
        *,
        list_lodgers: ListLodgers,
        tell: Callable[[str], None],
        share: float,
        connect: Callable[[ProcFs], Source] = open_socket_notices,
        again_seconds: float = _AGAIN_SECONDS,
    ) -> None:
        """It takes no more than this share of a CPU: what the kernel cannot keep meanwhile is lost, and counted.

        What ends, or cannot be heard for what may pass, is tried again after `again_seconds`, and again. Raises
        EventsUnavailable.
        """
        self._log, self._tell, self._share, self._again_seconds = log, tell, share, again_seconds
        self._open = partial(SocketEvents, proc_root=proc_root, connect=connect, list_lodgers=list_lodgers)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        """Guards what follows, which its own thread alone writes from begin() on."""
        self.events = self._open()
        """What passes bring the netns to that they meet, and what they show; others where it had to be tried again."""
        self._past = Losses()
        """Of what was heard before, whose end is a gap, too."""
        self._error: NsagentError | None = None
        """What has ended it."""
        self._thread = threading.Thread(target=self._run, name="socket events", daemon=True)

    @property
    def is_heard(self) -> bool:
        """Whether the kernel tells of the end of any socket."""
        return self.events.failure is None and self._error is None

    @property
    def reason(self) -> str | None:
        """Why the kernel does not tell of the end of each socket; None where it does."""
        hindered = self.events.failure or self._error or self.events.limit
        return None if hindered is None else str(hindered)

    @property
    def losses(self) -> Losses:
        """What was lost since the beginning."""
        with self._lock:
            return self._past.plus(self.events.losses)

    def begin(self) -> None:
        """Hear from now on, and say what is not heard."""
        if self.reason is not None:
            self._tell(f"socket events: {self.reason}: passes tell the rest")
        self._error = failure = self.events.failure
        if failure is None or failure.may_pass:
            try:
                start_thread(self._thread)
            except NsagentError as err:
                self._fail(err)

    def close(self) -> None:
        """Hear no more."""
        with self._lock:
            self._ended.set()
            events = self.events
        events.close()
        if self._thread.ident is not None:
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                if self.events.failure is None:
                    self._hand_all_on(self.events)
            except NsagentError as err:
                self._fail(err)
            while not self._ended.wait(self._again_seconds) and not self._hear_again():
                pass

    def _hand_all_on(self, events: SocketEvents) -> None:
        pace = Pace(self._share, clock=time.monotonic, cpu_clock=time.thread_time)
        for event in events:
            self._log.take_socket(event)
            self._log.lose(EventsOf.SOCKET, self.losses)
            pace.keep(self._ended)

    def _hear_again(self) -> bool:
        """Whether the kernel tells once more; what it told meanwhile is lost."""
        try:
            events = self._open()
        except EventsUnavailable as err:
            self._fail(err)
            return False
        if events.failure is not None:
            self._fail(events.failure)
        with self._lock:
            if events.failure is None and not self._ended.is_set():
                before, self.events = self.events, events
                self._past, self._error = self._past.plus(before.losses).plus(Losses(gaps=1)), None
                events = before
        events.close()
        return self._error is None

    def _fail(self, err: NsagentError) -> None:
        before, self._error = self._error, err
        if str(before) != str(err):
            self._tell(f"socket events: {err}: passes tell the rest")
