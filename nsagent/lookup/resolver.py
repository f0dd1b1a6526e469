"""Who holds the ends of a connection, for a program that asks thousands of times a second.

Answers come from the last look at the host; a connection that it does not show makes another look, in a thread of the
resolver's own, and one for all who wait. Looks begin at least an interval apart, and what they have not shown is not
looked for again for a while.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple, Self, TypeVar

from nsagent.errors import Aborted, NsagentError
from nsagent.kernel.threads import start_thread
from nsagent.lookup.ends import Address, Ends, Tuple, make_tuple
from nsagent.lookup.monitored import Aliases, Monitored
from nsagent.lookup.records import NOTHING, Resolution, keep_holders
from nsagent.lookup.sight import HostLooks, Looks
from nsagent.model.snapshot import Coverage

V = TypeVar("V")

_TIMES_APART: Final = 4
"""So many times as long as a look took, the next one begins after it did: a large host takes no more of a core."""

_Key = tuple[str, Address, Address]


class Limits(NamedTuple):
    """How old answers may be, and what they may cost."""

    interval_seconds: float = 2.0
    """The least time from the start of one look to that of the next; it is four times as long as the look, if more."""
    renew_seconds: float = 10.0
    """An answer of a look that is older asks for another look, and is given all the same."""
    expiry_seconds: float = 30.0
    """An answer of a look that is older is given no more, be it of a connection that has closed since."""
    unknown_seconds: float = 5.0
    """For so long from its end a connection that a look has not shown is not looked for again."""
    patience_seconds: float = 5.0
    """How long who asks for a connection that is not known waits for a look; with 0 nobody waits."""
    most_answers: int = 1 << 16
    """So many are kept ready, so many of closed connections, and so many that are not known."""


class _Known(NamedTuple):
    """An answer that was given."""

    resolution: Resolution
    fresh_until: float
    """By the clock; from then on it is judged anew."""
    seen: float | None
    """When the look began that showed it; None of one that no look has shown."""
    asked: Tuple


class _Look(NamedTuple):
    """The last look."""

    started: float
    published: float
    """When it had ended, by the clock."""
    ends: Ends


class Resolver:
    """Both ends of connections, for any number of threads; a context manager, which ends its thread.

    Nothing is looked at before somebody asks. A fork has none of its thread: make another one there.
    """

    def __init__(
        self,
        looks: Looks | None = None,
        *,
        monitored: Sequence[Monitored] = (),
        limits: Limits | None = None,
        enabled: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`looks` are HostLooks unless others are given, and closed with it. `clock` is monotonic, in seconds.

        One that is not `enabled` answers nothing, and never looks. Raises UsageError for `monitored` that mean nothing.
        """
        self._aliases = Aliases(monitored)
        self._limits = limits or Limits()
        self._enabled = enabled
        self._clock = clock
        self._looks = looks
        self._answers: dict[_Key, _Known] = {}
        """Each is read without the lock, and replaced as a whole at each look."""
        self._closed_since: dict[_Key, _Known] = {}
        self._unknown: dict[_Key, float] = {}
        """When each was first asked for that no look has shown."""
        self._look: _Look | None = None
        self._changed = threading.Condition()
        """Its lock guards all that follows an underscore here; not held while somebody looks."""
        self._wanted = False
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.failure: NsagentError | None = None
        """Why the last look failed, None if it did not. Answers of looks before it are given until they expire."""
        self.coverage: Coverage | None = None
        """What the last look that ended well could see, and its gaps; None before the first."""
        self.looked = 0
        """How many looks have ended well."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def resolve(self, protocol: str, source: Address, destination: Address) -> Resolution:
        """Both ends of a connection of tcp or udp, of which this host may have both, one or none.

        Waits for a look where the connection is not known, as long as the patience lasts; `pending` tells that more
        may be known later. Raises UsageError for a protocol, an address or a port that there is not.
        """
        # What follows is all that a hit costs: 0.3 us.
        known = self._answers.get((protocol, source, destination))
        if known is not None and self._clock() < known.fresh_until:
            return known.resolution
        return self._find((protocol, source, destination), self._limits.patience_seconds)

    async def resolve_async(self, protocol: str, source: Address, destination: Address) -> Resolution:
        """The same for a coroutine: where it would wait, a thread of the loop's executor waits."""
        resolution = self._find((protocol, source, destination), 0.0)
        if resolution.pending and self._limits.patience_seconds > 0:
            import asyncio

            return await asyncio.to_thread(self.resolve, protocol, source, destination)
        return resolution

    def close(self) -> None:
        """End the thread, and whoever waits; a look that is under way is given up. Nothing is answered any more."""
        self._enabled = False
        self._stop.set()
        with self._changed:
            thread, self._answers = self._thread, {}
            self._changed.notify_all()
        if thread is not None:
            thread.join()
        elif self._looks is not None:
            self._looks.close()

    def _find(self, key: _Key, patience_seconds: float) -> Resolution:
        known = self._answers.get(key)
        if known is not None and self._clock() < known.fresh_until:
            return known.resolution
        known = known or self._closed_since.get(key)
        asked = make_tuple(*key) if known is None else known.asked
        until = self._clock() + patience_seconds
        with self._changed:
            while self._enabled:
                resolution = self._judge(key, asked)
                left = until - self._clock()
                if not resolution.pending or left <= 0:
                    return resolution
                self._changed.wait(left)
        return NOTHING

    def _judge(self, key: _Key, asked: Tuple) -> Resolution:
        """What is known of a connection; asks for a look where that may tell more. The lock is held."""
        now, look, limits = self._clock(), self._look, self._limits
        if look is None or now >= look.started + limits.renew_seconds:
            self._want_look()
        resolution, before = NOTHING, self._closed_since.get(key)
        if look is not None and now < look.started + limits.expiry_seconds:
            resolution = Resolution(*look.ends.find(asked))
            if before is not None:
                resolution = keep_holders(resolution, before.resolution)
            if _is_whole(resolution):
                return self._keep(key, _Known(resolution, look.started + limits.renew_seconds, look.started, asked))
        if before is not None and before.seen is not None and now < (expires := before.seen + limits.expiry_seconds):
            return self._keep(key, before._replace(fresh_until=expires))
        first = self._unknown.get(key)
        if first is not None and look is not None and look.started >= first:
            # From its end on: a look may take longer than what it has not shown stays unknown.
            until = look.published + limits.unknown_seconds
            if now < until:
                return self._keep(key, _Known(resolution, until, None, asked))
            first = None
        if first is None:
            _add(self._unknown, key, now, limits.most_answers)
        self._want_look()
        return resolution._replace(pending=True)

    def _keep(self, key: _Key, known: _Known) -> Resolution:
        if self._clock() < known.fresh_until:
            _add(self._answers, key, known, self._limits.most_answers)
        return known.resolution

    def _want_look(self) -> None:
        """Wake the thread, or start it; the lock is held."""
        self._wanted = True
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=self._run, name="nsagent-resolver", daemon=True)
            try:
                start_thread(thread)
            except NsagentError as err:  # The next one that asks tries again.
                self.failure = err
            else:
                self._thread = thread
        self._changed.notify_all()

    def _run(self) -> None:
        """Look whenever a look is wanted, until the end."""
        looks = self._looks or HostLooks(clock=self._clock)
        next_start = self._clock()
        try:
            while self._await_wish():
                pause = next_start - self._clock()
                if pause > 0 and self._stop.wait(pause):
                    return
                with self._changed:
                    self._wanted = False
                    started = self._clock()
                try:
                    sight = looks.look(self._stop)
                except Aborted:
                    return
                except NsagentError as err:
                    self._tell_failure(err)
                else:
                    self._publish(started, Ends(sight, self._aliases), sight.snapshot.coverage)
                took = self._clock() - started
                next_start = started + max(self._limits.interval_seconds, took * _TIMES_APART)
        finally:
            looks.close()

    def _await_wish(self) -> bool:
        """Whether a look is wanted, once one is; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._stop.is_set())
        return not self._stop.is_set()

    def _tell_failure(self, err: NsagentError) -> None:
        with self._changed:
            self.failure = err
            self._changed.notify_all()

    def _publish(self, started: float, ends: Ends, coverage: Coverage) -> None:
        """Put a look in the place of the one before. What it shows too is renewed when it is next asked for."""
        limits, now = self._limits, self._clock()
        look = _Look(started, now, ends)
        with self._changed:
            seen = {
                key: known
                for key, known in chain(self._closed_since.items(), self._answers.items())
                if known.seen is not None and now < known.seen + limits.expiry_seconds
            }
            surplus = max(len(seen) - limits.most_answers, 0)
            self._closed_since = dict(islice(seen.items(), surplus, None))
            # Whoever waits for this look has asked since the one before began.
            before = -math.inf if self._look is None else self._look.started
            self._unknown = {
                key: first
                for key, first in self._unknown.items()
                if first > before or now < first + limits.unknown_seconds
            }
            self._answers = {}
            self._look, self.failure, self.coverage = look, None, coverage
            self.looked += 1
            self._changed.notify_all()


def _is_whole(resolution: Resolution) -> bool:
    """Whether no other look may tell more: some end is of this host, and each that is has a socket."""
    local = [end for end in (resolution.source, resolution.destination) if end is not None]
    return bool(local) and all(end.sockets for end in local)


def _add(entries: dict[_Key, V], key: _Key, value: V, most: int) -> None:
    """Add one; the oldest have to go where there are too many.

    An eighth of them at once: a dict keeps the places of what was deleted at its start for long, so that finding the
    oldest one again and again takes 35 us each time, of 65,536.
    """
    if len(entries) >= most and key not in entries:
        for oldest in [*islice(entries, max(most // 8, 1))]:
            del entries[oldest]
    entries[key] = value
