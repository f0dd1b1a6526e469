"""Where the facts of a command come from: this host, or a capture."""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from nsagent.errors import CaptureError
from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.model.facts import Facts
from nsagent.model.net import Protocol
from nsagent.query.filter import Filter


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the options of a command say about reading; `runtime` as typed, None to look for engines.

    `protocols` are wanted beside those that every pass reads. `since` is a capture of an earlier pass.
    `only`: the rows of certain containers are asked for, so that a pass need not read all netns.
    """

    engine: EngineName = EngineName.AUTO
    runtime: str | None = None
    proc_root: Path = Path("/proc")
    from_file: Path | None = None
    capture: Path | None = None
    interfaces: bool = False
    protocols: frozenset[Protocol] = frozenset()
    deep: bool = False
    tcp_info: bool = False
    since: Path | None = None
    host_root: Path = Path("/")
    owners: OwnersWanted = OwnersWanted.PID
    only: Filter | None = None


def read_facts(options: ReadOptions, environ: Mapping[str, str]) -> Facts:
    """The facts asked for, kept in a file too if `capture` says so; raises NsagentError."""
    if options.from_file is None:
        facts = _read_host(options, environ)
    else:
        facts = _read_capture(options.from_file)
        if options.owners is OwnersWanted.CONTAINER:
            # What its fds tell is not asked for.
            facts = replace(facts, owners=options.owners)
    if options.capture:
        write_capture(facts, options.capture)
    return facts


def read_earlier(path: Path, facts: Facts) -> Facts:
    """The facts of an earlier pass over the host of `facts`.

    Raises CaptureError, which names both passes, for those of another boot or of a later time.
    """
    earlier = _read_capture(path)
    if earlier.boot_id != facts.boot_id:
        raise CaptureError(f"{path}: is of boot {earlier.boot_id}, this pass of boot {facts.boot_id}")
    if earlier.taken_at_ns > facts.taken_at_ns:
        raise CaptureError(f"{path}: was taken at {_when(earlier)}, this pass earlier, at {_when(facts)}")
    return earlier


def list_lacking(options: ReadOptions, facts: Facts) -> list[str]:
    """One line for each thing that was asked for and that a capture does not hold; [] for a pass over this host."""
    name, lacking = options.from_file, []
    if name is None:
        return []
    if missing := [protocol for protocol in Protocol if protocol in options.protocols - {*facts.protocols}]:
        lacking.append(f"{name} holds no table of {', '.join(missing)}: capture it with --all")
    if options.deep and not facts.deep:
        lacking.append(f"{name} holds no sockets that are bound and do nothing: capture it with --deep")
    if options.owners is OwnersWanted.PID and facts.owners is OwnersWanted.CONTAINER:
        lacking.append(f"{name} holds no owners: capture it without --owners container")
    if unread := sum(one.skipped for one in facts.netns):
        lacking.append(f"{name} is of some containers only: {unread} of {len(facts.netns)} netns were not read")
    return lacking


def write_capture(facts: Facts, path: Path) -> None:
    """Write a capture as a whole or not at all, readable by its owner only: it names every process.

    Raises CaptureError.
    """
    from nsagent.scan.capture import encode_capture

    if not path.name:
        raise CaptureError(f"{path}: cannot be written: it names no file")
    data = encode_capture(facts)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            # A file is replaced as a whole: /dev/null, and where /dev/stdout leads, would be gone for everybody.
            raise CaptureError(f"{path}: cannot be written: it is no regular file")
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            os.unlink(unfinished)
            raise
    except OSError as err:
        raise CaptureError(f"{path}: cannot be written: {err.strerror}") from err


def _read_capture(path: Path) -> Facts:
    from nsagent.scan.capture import decode_capture

    try:
        data = path.read_bytes()
    except OSError as err:
        raise CaptureError(f"{path}: cannot be read: {err.strerror}") from err
    return decode_capture(data, str(path))


def _read_host(options: ReadOptions, environ: Mapping[str, str]) -> Facts:
    from nsagent.runtimes.discover import discover_engines
    from nsagent.scan.collect import PassRequest, collect
    from nsagent.scan.plan import PROTOCOLS, TablesWanted

    _raise_fd_limit()
    request = PassRequest(
        host=environ.get("NSAGENT_HOST") or os.uname().nodename,
        started_at_ns=time.time_ns(),
        proc_root=str(options.proc_root),
        engine=options.engine,
        interfaces=options.interfaces,
        tables=TablesWanted(options.protocols.union(PROTOCOLS), options.deep, options.tcp_info),
        # What an earlier pass remembers, and what a container has made, may stand in any netns.
        only=None if options.since or options.owners is OwnersWanted.CONTAINER else options.only,
        owners=options.owners,
    )
    engines = discover_engines(options.runtime, environ, os.path.abspath(options.host_root), clock=time.monotonic)
    with (
        _progress_on_terminal("reading processes and tables ..."),
        _interruptible() as stop,
        closing(engines),
    ):
        return collect(request, engines, clock=time.monotonic, stop=stop)


def _when(facts: Facts) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(facts.taken_at_ns // 1_000_000_000))


def _raise_fd_limit() -> None:
    """A pass holds an fd or two for each netns."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """SIGTERM and Ctrl-C end a pass between two reads, with everything closed.

    The exception wakes who waits; the event stays set where the interpreter swallows the
    exception, as it does in a finalizer.
    """
    stop = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress_on_terminal(text: str) -> Iterator[None]:
    """Say what takes so long, after a second and only to a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(1.0, lambda: print(f"\r{text}", end="", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if timer.finished.is_set():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
