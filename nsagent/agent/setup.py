"""All that is made of one config: passes, reports with their outputs, a timetable, places to ask at, a history.

A config that is loaded later takes over what is the same in both, so that no receiver, no scrape and no
history notices; what cannot be set up leaves the earlier one in force, whole.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from nsagent.agent.board import Board
from nsagent.agent.book import Book, Entry
from nsagent.agent.control import Control, serve_http, serve_socket
from nsagent.agent.delivery import Lane
from nsagent.agent.event_log import EventLog
from nsagent.agent.history import History
from nsagent.agent.listeners import split_listen
from nsagent.agent.metrics import Metrics
from nsagent.agent.outputs import open_output
from nsagent.agent.outputs.stdout import KeptStdout, Stdout
from nsagent.agent.passes import Made, Passes, Place
from nsagent.agent.process_feed import ProcessFeed, hear
from nsagent.agent.processes import Processes
from nsagent.agent.reports import ReportMaker
from nsagent.agent.schedule import Moment, Timetable
from nsagent.agent.socket_feed import SocketFeed
from nsagent.agent.status import EventsStatus
from nsagent.config.model import Config, Http, HttpOutput, Output
from nsagent.errors import EventsUnavailable, HistoryError, ServeFailed
from nsagent.events.losses import Losses
from nsagent.model.change import Change
from nsagent.model.choices import View
from nsagent.model.named_event import EventsHead, EventsOf
from nsagent.model.snapshot import Snapshot
from nsagent.model.socket_event import SocketEventSource
from nsagent.report.changes import change_record

_EVENTS_SHARE: Final = 0.6
"""Of a CPU, at most, for each thread that hears: whoever has processes or connections come and go by the thousand
does not have the agent use more. Of `limits.cpu` it is a third, so that passes go on."""

_END_SECONDS: Final = 0.2
"""How long a history may still be written to at the end, after a pass that is under way was waited for."""


class World(NamedTuple):
    """What outlasts a config: this process, and what it is asked for while it runs."""

    place: Place
    environ: Mapping[str, str]
    board: Board
    metrics: Metrics
    stdout: Stdout | KeptStdout
    tell: Callable[[str], None]
    """Takes a line about what nobody waits for."""
    read_clocks: Callable[[], Moment]
    processes: Processes
    log: EventLog

    def clock(self) -> float:
        """The one that only runs on."""
        return self.read_clocks().running


class _Hearing(NamedTuple):
    """How events are listened for; another way of it is another listener."""

    named: bool
    """Whether somebody is to be told of each, and of the ends of sockets too."""
    share: float
    """Of a CPU, for each thread."""
    poll_seconds: float | None
    """How far apart looks at /proc are where the kernel tells nothing; None for none."""


class Setup:
    """What one config asks for; in use from begin() on."""

    def __init__(self, config: Config, world: World, earlier: "Setup | None" = None) -> None:
        """Raises UsageError for a source of names that does not exist; opens nothing."""
        self.config = config
        self.passes = Passes(config, world.place, world.environ, clock=world.clock)
        self.timetable = Timetable(config.reports, world.place.read_name(), world.read_clocks())
        self.history: History | None = None
        self.feed: ProcessFeed | None = None
        self.socket_feed: SocketFeed | None = None
        self.tells_events = any(report.view is View.EVENTS for report in config.reports)
        self._hearing = _find_hearing(config, named=self.tells_events)
        self._world = world
        kept: Mapping[Output, Lane] = {} if earlier is None else earlier.lanes
        wanted = (output for report in config.reports for output in report.outputs)
        self.lanes: dict[Output, Lane] = {output: kept[output] for output in wanted if output in kept}
        self.book = Book({}, lambda: world.read_clocks().wall)
        self._served: dict[str, tuple[object, Control]] = {}

    def begin(self, earlier: "Setup | None" = None) -> None:
        """Open what is new, take over the rest, let go of what is no more; raises NsagentError: then nothing is."""
        with ExitStack() as opened:
            self._serve(earlier, opened)
            opened.pop_all()
        self._take_history(earlier)
        self._take_feed(earlier)
        if earlier is not None:
            earlier.close_outputs(keep=self.lanes)  # A spool belongs to one output at a time.
        world = self._world
        # What is under way to the same place comes first: two that append to one file would tear each other's reports.
        before = {} if earlier is None else earlier.lanes
        going = {_tell_place(output): lane for output, lane in before.items() if output not in self.lanes}
        for report in self.config.reports:
            for output in report.outputs:
                if output not in self.lanes:
                    out = open_output(output, stdout=world.stdout, tell=world.tell)
                    lane = going.pop(_tell_place(output), None)
                    if lane is not None:
                        lane.out = out
                    self.lanes[output] = lane or Lane(out)
            lanes = tuple(self.lanes[output] for output in report.outputs)
            self.book.entries[report.name] = Entry(ReportMaker(report), lanes)
        if earlier is not None:
            self.book.take_over(earlier.book)
            self.passes.take_over(earlier.passes)
            self.timetable.take_over(earlier.timetable, world.read_clocks())
            earlier._let_go(self)
        world.board.interval_seconds = self.config.interval

    def make_pass(self, stop: threading.Event) -> Made:
        """The next pass, of which whoever hears of processes learns; raises Aborted, as Passes.make()."""
        config, processes = self.config, self._world.processes
        changes_wanted = bool(config.history or config.http or config.socket or self.tells_events)
        lodgers = None if self.feed is None else processes.map_lodgers
        met = None if self.socket_feed is None else self.socket_feed.events.see_netns
        made = self.passes.make(stop, changes_wanted=changes_wanted, netns_met=met, map_lodgers=lodgers)
        if self.feed is not None:
            for each in (self.feed.identities, processes):
                each.learn(made.taken.snapshot, made.taken.facts, made.started_ns)
        self._tell_events(made)
        return made

    def _tell_events(self, made: Made) -> None:
        """Have the log, and each report of events, take what has happened up to a pass."""
        log, snapshot, status = self._world.log, made.taken.snapshot, self.tell_events()
        if status is not None:
            log.lose(EventsOf.PROCESS, Losses(status.gaps, status.lost))
        if self.socket_feed is not None:
            self.socket_feed.events.learn(snapshot)
            log.lose(EventsOf.SOCKET, self.socket_feed.losses)
        log.learn(snapshot, made.changes or ())
        if not self.tells_events:
            return
        reason = "not listened for" if self.socket_feed is None else self.socket_feed.reason
        heard = self.socket_feed is not None and self.socket_feed.is_heard
        head = EventsHead(
            snapshot.host,
            snapshot.taken_at,
            processes=None if status is None else status.engine,
            process_reason=None if status is None else status.error,
            sockets_seconds=self.config.interval,
            sockets=(SocketEventSource.DIFF, SocketEventSource.DESTROY) if heard else (SocketEventSource.DIFF,),
            socket_reason=reason,
        )
        for entry in self.book.entries.values():
            entry.maker.see_events(snapshot, log, head)

    def record(self, snapshot: Snapshot, changes: Sequence[Change] | None) -> None:
        """Keep a run in the history, if there is to be one; what fails is told, and the next run tries again."""
        wanted = self.config.history
        if wanted is None:
            return
        before = None if self.history is None else self.history.aside
        try:
            if self.history is None:
                self.history = History.open(Path(wanted.path), wanted.max_age, wanted.max_size)
            # A pass that is paced may take longer than it should be until the next one.
            due_seconds = max(self.config.interval, snapshot.duration_seconds)
            self.history.record(snapshot, changes, due_seconds=due_seconds)
        except HistoryError as err:
            self._world.tell(f"history: {err}")
        if self.history is not None and self.history.aside != before:
            self._world.tell(f"history: {wanted.path} was damaged, and is now {self.history.aside}")

    def tell_events(self) -> EventsStatus | None:
        """How events fare, None where none are wanted."""
        return None if self.feed is None else self.feed.status(self._world.processes.count())

    def keep_reachable(self) -> None:
        """Serve anew where nobody comes any more, as the file of the unix socket is gone; what fails is told."""
        for kind, (wanted, control) in [*self._served.items()]:
            if control.is_reachable():
                continue
            try:
                self._served[kind] = wanted, self._open_place(kind, wanted)
            except ServeFailed as err:
                self._world.tell(str(err))
            else:
                control.close()
                self._world.tell(f"{kind}: {wanted}: its file was gone, and is made anew")

    def close_outputs(self, *, keep: Iterable[Output] = (), seconds: float = 0.0) -> None:
        """Let go of the outputs, but for those to keep, within so many seconds for all, who send meanwhile."""
        kept, end = set(keep), self._world.clock() + seconds
        for output, lane in self.lanes.items():
            if output not in kept:
                lane.out.close(max(0.0, end - self._world.clock()))

    def close(self) -> None:
        """Let go of all but the outputs, for the agent ends; a disk that hangs is not waited for."""
        for _, control in self._served.values():
            control.close()
        self._close_feeds()
        if self.history is not None:
            self.history.close(_END_SECONDS)
        self.passes.close()

    def _serve(self, earlier: "Setup | None", opened: ExitStack) -> None:
        config = self.config
        before = {} if earlier is None else earlier._served
        for kind, wanted in (("http", config.http), ("socket", config.socket)):
            if wanted is None:
                continue
            if kind in before and before[kind][0] == wanted:
                self._served[kind] = before[kind]
                continue
            if kind in before and earlier is not None and _needs_same_place(before[kind][0], wanted):
                # Two cannot listen there: without the earlier one for a moment, or until this has failed.
                earlier_wanted, control = earlier._served.pop(kind)
                control.close()
                opened.callback(earlier._serve_again, kind, earlier_wanted)
            control = self._open_place(kind, wanted)
            opened.callback(control.close)
            self._served[kind] = wanted, control

    def _serve_again(self, kind: str, wanted: object) -> None:
        """Serve there where a later config cannot, or say why not."""
        try:
            self._served[kind] = wanted, self._open_place(kind, wanted)
        except ServeFailed as err:
            self._world.tell(f"{err}; nobody is answered there any more")

    def _open_place(self, kind: str, wanted: object) -> Control:
        world = self._world
        if isinstance(wanted, Http):
            return serve_http(wanted, world.board, world.metrics, change_record, clock=world.clock)
        return serve_socket(str(wanted), world.board, world.metrics, change_record, clock=world.clock)

    def _take_history(self, earlier: "Setup | None") -> None:
        if earlier is not None and earlier.config.history == self.config.history:
            self.history = earlier.history

    def _take_feed(self, earlier: "Setup | None") -> None:
        world = self._world
        world.log.wanted = self.tells_events
        if self.config.events == "off":
            return
        if earlier is not None and earlier.feed is not None:
            if earlier._hearing == self._hearing:
                self.feed, self.socket_feed = earlier.feed, earlier.socket_feed
                return
            earlier._close_feeds()  # Else both would tell the same for a moment.
        else:
            world.processes.begin_anew()
        self._open_feeds()

    def _open_feeds(self) -> None:
        world, proc_root, hearing = self._world, self._world.place.proc_root, self._hearing
        sinks, named = (world.processes.take, world.log.count_one), [world.log.keep] if hearing.named else []
        for of in EventsOf:
            world.log.hear_anew(of)
        self.feed = ProcessFeed(
            proc_root,
            sinks,
            named_sinks=named,
            tell=world.tell,
            hear=partial(hear, poll_seconds=hearing.poll_seconds),
            share=hearing.share,
        )
        self.feed.begin()
        if hearing.named:
            lodgers = world.processes.list_lodgers
            try:
                self.socket_feed = SocketFeed(
                    proc_root, world.log, list_lodgers=lodgers, tell=world.tell, share=hearing.share
                )
            except EventsUnavailable as err:
                world.tell(f"socket events: {err}: passes tell the rest")
            else:
                self.socket_feed.begin()

    def _close_feeds(self) -> None:
        for feed in (self.feed, self.socket_feed):
            if feed is not None:
                feed.close()

    def _let_go(self, later: "Setup") -> None:
        kept = {id(control) for _, control in later._served.values()}
        for _, control in self._served.values():
            if id(control) not in kept:
                control.close()
        if self.feed is not later.feed:
            self._close_feeds()
        if self.history is not None and self.history is not later.history:
            self.history.close()
        self.passes.close()


def _find_hearing(config: Config, *, named: bool) -> _Hearing:
    share = _EVENTS_SHARE if config.limits.cpu is None else config.limits.cpu / 3
    return _Hearing(named, share, config.interval if named else None)


def _tell_place(output: Output) -> str:
    """Where it writes to."""
    return output.url if isinstance(output, HttpOutput) else getattr(output, "path", "")


def _needs_same_place(before: object, wanted: object) -> bool:
    """Whether both cannot be had at once; an address may be one of all, or be written otherwise."""
    if isinstance(before, Http) and isinstance(wanted, Http):
        _, port = split_listen(before.listen)
        return port != 0 and port == split_listen(wanted.listen)[1]
    return before == wanted
