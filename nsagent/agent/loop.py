"""The loop: what is due is made, one pass at a time, until somebody says stop.

The main thread waits for what comes next: the time of a report or a pass, the end of the pass under way, a
signal, another config. A pass and its reports are made in a thread of their own, so that one that hangs
keeps nobody from ending the agent.
"""

import gc
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

import nsagent
from nsagent.agent.config_file import ConfigFile, ConfigWatch, read_config_file
from nsagent.agent.delivery import Delivery
from nsagent.agent.logs import logger, start_logging
from nsagent.agent.made_report import deliver
from nsagent.agent.notify import Notifier
from nsagent.agent.passes import Made, read_rss_bytes
from nsagent.agent.schedule import Due
from nsagent.agent.setup import Setup, World
from nsagent.agent.status import AgentStatus, ConfigStatus, PassStatus
from nsagent.config.model import Config
from nsagent.errors import Aborted, NsagentError
from nsagent.kernel.threads import start_thread
from nsagent.model.snapshot import Snapshot
from nsagent.report.coverage import coverage_lines
from nsagent.report.times import tell_time

_LOOK_SECONDS: Final = 2.0
"""How often the config file is looked at, and threads that are held up."""
_AGAIN_SECONDS: Final = 0.3
"""How soon after it was seen to have changed: it is loaded as soon as it has not changed further."""
_END_SECONDS: Final = 1.2
"""How long a pass and reports that are under way may still take at the end."""
_RELOAD_SECONDS: Final = 1.0
"""How long reports that are made may still take before another config is loaded."""
_NUMBER: Final = re.compile(r"\d+")
_COLLECT_PASSES: Final = 16
"""After so many passes what is in cycles is looked for: a pass makes none, libraries do."""


class _Ended(NamedTuple):
    """The pass under way has ended: what came of it, or why it failed."""

    made: Made | None
    error: str | None


class Agent:
    """Runs until `stop` is called; stop and reload are for signal handlers, too."""

    def __init__(
        self, file: ConfigFile, load: Callable[[ConfigFile], Config], setup: Setup, world: World, notifier: Notifier
    ) -> None:
        """`setup` is in use already, of the config that `load` has made of `file`."""
        self._watch = ConfigWatch(file)
        self._load = load
        self._setup = setup
        self._world = world
        self._notifier = notifier
        self._delivery = Delivery(clock=world.clock)
        self._wishes: SimpleQueue[str | _Ended] = SimpleQueue()
        self._stopped = False
        self._stop_pass = threading.Event()
        """Of the pass under way: one that fails sets it, too."""
        self._worker: threading.Thread | None = None
        moment = world.read_clocks()
        self._config_status = ConfigStatus(file.path, tell_time(moment.wall))
        self._started_at = tell_time(moment.wall)
        self._next_pass = moment.running
        self._next_look = moment.running + _LOOK_SECONDS
        self._reload_wanted = False
        self._failed = self._skipped = 0
        self._pass_error: str | None = None
        self._last: PassStatus | None = None
        self._runtimes: tuple[tuple[str, bool], ...] = ()
        self._told: list[str] = []

    def stop(self) -> None:
        """End soon: what is under way is ended, reports that are made are written."""
        self._wishes.put("stop")

    def reload(self) -> None:
        """Load the config anew."""
        self._wishes.put("reload")

    def run(self) -> None:
        """Make passes and reports until stop() is called."""
        gc.disable()  # See _COLLECT_PASSES.
        self._publish()
        self._notifier.tell("READY=1", f"STATUS={self._tell()}")
        logger.info(
            "started: %d reports, a pass at least every %g s",
            len(self._setup.config.reports),
            self._setup.config.interval,
        )
        if self._world.board.blind is not None:
            logger.error("not ready: %s", self._world.board.blind)
        while not self._stopped:
            self._begin_due()
            self._turn(self._wait_for_wish())
        self._end()

    def _wait_for_wish(self) -> "str | _Ended | None":
        now = self._world.clock()
        until = self._next_look
        if self._worker is None:
            until = min(until, self._next_pass, self._setup.timetable.find_next())
        if (watchdog := self._notifier.watchdog_seconds) is not None:
            until = min(until, now + watchdog / 3)
        try:
            return self._wishes.get(timeout=max(until - now, 0.0))
        except Empty:
            return None

    def _turn(self, wish: "str | _Ended | None") -> None:
        """Do what is wished for, and what is to be done now and then."""
        if isinstance(wish, _Ended):
            self._finish(wish)
        elif wish == "reload":
            self._reload_wanted = True
        elif wish == "stop":
            self._stopped = True
            self._stop_pass.set()
        if self._world.clock() >= self._next_look:
            self._delivery.look_after()
            self._setup.keep_reachable()
            self._reload_wanted |= self._watch.look()
            again = _AGAIN_SECONDS if self._watch.is_changing and not self._reload_wanted else _LOOK_SECONDS
            self._next_look = self._world.clock() + again
            self._publish()
        if self._reload_wanted and self._worker is None:  # A pass that is under way is one of the config before.
            self._reload()
        if self._world.board.is_well():
            self._notifier.ping()
        if os.getpid() == 1:
            _reap()

    def _begin_due(self) -> None:
        """Begin a pass, if none is under way and one is due."""
        moment = self._world.read_clocks()
        if self._worker is not None:
            if moment.running >= self._next_pass:
                self._skipped += 1
                self._next_pass += self._setup.config.interval
            return
        due = self._setup.timetable.take_due(moment)
        if not due and moment.running < self._next_pass:
            return
        self._next_pass = moment.running + self._setup.config.interval
        setup, self._stop_pass = self._setup, threading.Event()
        self._worker = threading.Thread(target=lambda: self._work(setup, due), name="pass", daemon=True)
        try:
            start_thread(self._worker)
        except NsagentError as err:
            self._wishes.put(_Ended(None, str(err)))

    def _work(self, setup: Setup, due: list[Due]) -> None:
        """One pass and the reports that are due; in a thread of its own."""
        made = error = None
        try:
            made = self._make(setup, due)
        except Aborted:
            error = "the agent was told to stop"
        except (NsagentError, OSError) as err:
            error = str(err)
        except Exception as err:  # noqa: BLE001 - the agent goes on: the next pass may be better.
            logger.exception("pass: a bug")
            error = f"a bug: {err!r}"
        if error is not None:
            for one in due:
                setup.book.finish(one.name, [f"pass: {error}"])
        self._wishes.put(_Ended(made, error))

    def _make(self, setup: Setup, due: list[Due]) -> Made:
        entries = [(one.name, setup.book.begin(one.name, one.skipped)) for one in due]
        made = setup.make_pass(self._stop_pass)
        snapshot = made.taken.snapshot
        self._world.board.publish_pass(snapshot, made.taken.facts, made.status)
        self._world.board.publish_changes(made.changes or ())
        setup.record(snapshot, made.changes)
        for name, entry in entries:
            deliver(name, entry, made, setup.book, self._delivery)
        return made

    def _finish(self, ended: _Ended) -> None:
        """Note how the pass under way ended."""
        self._worker = None
        self._pass_error = ended.error
        if ended.made is None:
            self._failed += 1
            logger.warning("pass: %s", ended.error)
        else:
            self._last = ended.made.status
            self._tell_gaps(ended.made.taken.snapshot)
            self._runtimes = self._setup.passes.list_runtimes(ended.made)
            if self._last.number % _COLLECT_PASSES == 1:
                gc.collect()
        for name, seconds in self._setup.book.take_pauses().items():
            self._setup.timetable.delay(name, seconds, self._world.read_clocks())
        self._publish()
        self._notifier.tell(f"STATUS={self._tell()}")

    def _tell_gaps(self, snapshot: Snapshot) -> None:
        """Say what could not be seen, where that is not what it was before, but for how many and for how long."""
        lines = coverage_lines(snapshot)
        alike = [_NUMBER.sub("", line) for line in lines]
        if alike != self._told:
            for line in lines:
                logger.warning("%s", line)
            self._told = alike

    def _reload(self) -> None:
        """Take the config as it is now, all of it, or none."""
        self._reload_wanted = False
        self._delivery.wait(_RELOAD_SECONDS)
        moment = self._world.read_clocks()
        self._notifier.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        path = self._config_status.path
        try:
            file = read_config_file(path)
            self._watch = ConfigWatch(file)
            config = self._load(file)
            setup = Setup(config, self._world, self._setup)
            setup.begin(self._setup)
        except NsagentError as err:
            self._refuse(str(err))
        except Exception as err:  # noqa: BLE001 - the agent goes on as it was.
            logger.exception("config: a bug")
            self._refuse(f"a bug: {err!r}")
        else:
            if config.log != self._setup.config.log:
                start_logging(config.log, clock=self._world.clock)
            self._setup = setup
            self._config_status = ConfigStatus(path, tell_time(moment.wall))
            self._next_pass = min(self._next_pass, moment.running + config.interval)
            logger.info("config loaded: %d reports", len(config.reports))
        self._notifier.tell("READY=1")
        self._publish()

    def _refuse(self, error: str) -> None:
        """Go on with the config before."""
        for problem in error.splitlines():
            logger.error("config not loaded: %s", problem)
        logger.warning("config: the one of %s stays in force", self._config_status.loaded_at)
        self._config_status = replace(self._config_status, last_reload_ok=False, error=error)

    def _publish(self) -> None:
        moment = self._world.read_clocks()
        timetable = self._setup.timetable
        self._world.board.publish_status(
            AgentStatus(
                version=nsagent.__version__,
                host=self._world.place.read_name(),
                pid=os.getpid(),
                started_at=self._started_at,
                config=self._config_status,
                blind=self._world.board.blind,
                passes=0 if self._last is None else self._last.number,
                passes_failed=self._failed,
                passes_skipped=self._skipped,
                pass_error=self._pass_error,
                last_pass=self._last,
                reports=self._setup.book.list_statuses(lambda name: timetable.tell_next(name, moment)),
                runtimes=self._runtimes,
                rss_bytes=read_rss_bytes(),
                events=self._setup.tell_events(),
                happened=None if self._last is None else self._world.log.count(),
            )
        )

    def _tell(self) -> str:
        last = self._last
        return "no pass yet" if last is None else f"pass {last.number}: {last.sockets} sockets in {last.netns} netns"

    def _end(self) -> None:
        """Let what is under way end, for a moment: reports that are made are written whole."""
        self._notifier.tell("STOPPING=1")
        end = self._world.clock() + _END_SECONDS
        if self._worker is not None:
            self._worker.join(_END_SECONDS)
        self._delivery.wait(max(end - self._world.clock(), 0.0))
        self._delivery.close()
        self._setup.close_outputs(seconds=max(end - self._world.clock(), 0.0))
        self._setup.close()
        logger.info("ended")


def _reap() -> None:
    """What this program, as PID 1, has inherited and has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
