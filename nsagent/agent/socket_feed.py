"""The ends of sockets, handed on as the kernel tells of them, where a report asks for events: listening has its price.

Where the kernel tells nothing, passes alone tell what opens and closes.
"""

import threading
import time
from collections.abc import Callable

from nsagent.agent.event_log import EventLog
from nsagent.errors import NsagentError
from nsagent.events.known_sockets import ListLodgers
from nsagent.events.socket_events import SocketEvents, Source
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.socket_notices import open_socket_notices
from nsagent.kernel.threads import start_thread
from nsagent.model.named_event import EventsOf
from nsagent.scan.collect.pace import Pace

_END_SECONDS = 0.3


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
    ) -> None:
        """It takes no more than this share of a CPU: what the kernel cannot keep meanwhile is lost, and counted."""
        self._log, self._tell, self._share = log, tell, share
        self._ended = threading.Event()
        self.events = SocketEvents(proc_root=proc_root, connect=connect, list_lodgers=list_lodgers)
        """What passes bring the netns to that they meet, and what they show."""
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

    def begin(self) -> None:
        """Hear from now on, and say what is not heard."""
        if self.reason is not None:
            self._tell(f"socket events: {self.reason}: passes tell the rest")
        if self.events.failure is None:
            try:
                start_thread(self._thread)
            except NsagentError as err:
                self._fail(err)

    def close(self) -> None:
        """Hear no more."""
        self._ended.set()
        self.events.close()
        if self._thread.ident is not None:
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        pace = Pace(self._share, clock=time.monotonic, cpu_clock=time.thread_time)
        try:
            for event in self.events:
                self._log.take_socket(event)
                self._log.lose(EventsOf.SOCKET, self.events.losses)
                pace.keep(self._ended)
        except NsagentError as err:
            self._fail(err)

    def _fail(self, err: NsagentError) -> None:
        self._error = err
        self._tell(f"socket events: {err}: passes tell the rest")
