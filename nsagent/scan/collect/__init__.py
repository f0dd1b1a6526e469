"""One pass over a host: processes, netns, tables, names. The only place where kernel and runtimes meet.

What cannot be read becomes a Gap; nothing is decided here. The stages are walk -> read -> settle ->
conclude, a module each. One thread walks the processes while another reads the tables of each netns as
it is met. Rows that nobody was seen to hold are then looked up again, which drops what has closed, and
looked for in the processes again, which finds what was opened or handed on behind the back of the walk.
"""

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from nsagent.errors import Aborted, EngineUnavailable, NoProcfs, NotRead, Reason
from nsagent.identity.share import name_share
from nsagent.kernel.lookups import Lookups
from nsagent.kernel.netns import list_own_netns_fds, read_own_netns
from nsagent.kernel.proc_mount import read_proc_mount
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.threads import run_in_threads
from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.model.facts import Facts
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import NetnsId
from nsagent.query.filter import Filter
from nsagent.runtimes.runtimes import Answers, Runtimes
from nsagent.scan.collect.carried import Carried
from nsagent.scan.collect.chosen import Chosen, check_names, choose, choose_processes, list_nameless
from nsagent.scan.collect.conclude import conclude, read_the_rest
from nsagent.scan.collect.context import PassContext, open_context
from nsagent.scan.collect.earlier_tables import EarlierTables
from nsagent.scan.collect.follow_mounts import follow_mounts
from nsagent.scan.collect.holders import ThreadTables
from nsagent.scan.collect.look_again import dump_anew, hold_others
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.pace import Pace
from nsagent.scan.collect.placed import place_processes
from nsagent.scan.collect.settle import read_met, settle
from nsagent.scan.collect.unlisted import find_unlisted, leave_vsock, see_sockets
from nsagent.scan.collect.walk import Reach, Walk, walk_processes
from nsagent.scan.laps import Lap, Laps
from nsagent.scan.progress import Progress, Reached
from nsagent.scan.request import PassRequest

MetQueue = SimpleQueue[MetNetns | None]
"""Each netns as it is met; None ends it, once for each reader."""


def collect(
    request: PassRequest,
    runtimes: Runtimes,
    *,
    clock: Callable[[], float],
    carried: Carried | None = None,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
) -> Facts:
    """The facts of one pass; `clock` is monotonic, in seconds. Who makes many keeps what is `carried`.
    `progress` can be looked at meanwhile.

    Raises EngineUnavailable if the engine asked for cannot work at all, NotRead or NoProcfs if the procfs
    itself cannot be read, and Aborted soon after `stop` is set; for a pass about some containers NotFound,
    Ambiguous and Changed. Leaves no fd, netns or thread behind but the runtimes' own: a pass that did
    says so in a gap.
    """
    mount = read_proc_mount(request.proc_root)
    procfs, live = ProcFs(request.proc_root, mount.covered), mount.live
    if request.engine is EngineName.SOCK_DIAG and not live:
        raise EngineUnavailable(
            f"engine sock_diag: {procfs.root} is no procfs of the running kernel; use --engine proc"
        )
    netns, held = _read_own_netns(), _list_own_netns_fds()
    met: MetQueue = SimpleQueue()
    stop = stop or threading.Event()
    with open_context(
        request,
        procfs,
        partial(_tell_met, met, carried.netns_met if carried else None),
        live=live,
        lookups=carried.lookups if carried else Lookups(name_share),
        pace=carried.pace if carried else Pace(),
        earlier=carried.tables.begin() if carried else EarlierTables(),
        clock=clock,
        stop=stop,
    ) as context:
        if progress is not None:
            progress.show(lambda: Reached(context.reader.count_taken(), context.registry.count_met()))
        facts = _run(context, met, runtimes, carried)
    broken = []
    if read_own_netns() != netns:
        broken.append(Gap(Stage.CHECKS, Subject(Kind.OWN_NETNS), Reason.MISMATCH))
    after = _list_own_netns_fds()
    if held is None or after is None:
        broken.append(Gap(Stage.CHECKS, Subject(Kind.NETNS_FDS), Reason.NOT_TOLD))
    elif left := after - held:
        broken.append(Gap(Stage.CHECKS, Subject(Kind.NETNS_FDS), Reason.LEFT_OPEN, count=len(left)))
    return facts._replace(gaps=(*facts.gaps, *broken)) if broken else facts


def _tell_met(met: MetQueue, tell: Callable[[int], object] | None, one: MetNetns) -> None:
    """Have a netns read, and told of while it is held."""
    if tell is not None and one.fd is not None:
        tell(one.fd)
    met.put(one)


def _read_own_netns() -> NetnsId:
    """Raises NoProcfs where none is mounted: then nobody can be looked at."""
    try:
        return read_own_netns()
    except NotRead as err:
        if err.errno != "ENOENT":
            raise
        raise NoProcfs("/proc") from err


def _list_own_netns_fds() -> frozenset[int] | None:
    try:
        return list_own_netns_fds()
    except NotRead:
        return None


def _run(context: PassContext, met: MetQueue, runtimes: Runtimes, carried: Carried | None) -> Facts:
    """The stages, one after the other; the runtimes are asked meanwhile."""
    started, laps = context.clock(), Laps(context.clock)
    only = context.request.only
    runtimes.start()
    chosen = None
    if only is None:
        walk = _walk_and_read(context, met, carried)
        if others := hold_others(context):
            read_met(context, others, anew=True)
    else:
        walk = _walk(context, carried)
        answers = runtimes.collect(lambda: list_nameless(walk.readings))
        if only.pids:
            chosen = choose_processes(only.pids, walk.readings, answers)
        else:
            chosen = choose(only, walk.readings, answers, place_processes(context, walk.readings, answers).placed)
        context.gaps.add(chosen.gaps)
        _read_chosen(context, chosen)
    if carried is not None:
        dump_anew(context, carried.keep_tables(context.reader.list_states()))
    laps.end(Lap.WALK)
    concerned = walk.readings if only is None else [] if only.pids or chosen is None else chosen.readings
    settled = settle(context, walk, concerned)
    read_the_rest(context, walk, settled)
    if context.stop.is_set():
        raise Aborted("interrupted")
    laps.end(Lap.SETTLE)
    facts = conclude(context, walk, settled, lambda: _collect_names(only, walk, chosen, runtimes), started)
    laps.end(Lap.NAMES)
    if carried is not None:
        carried.laps = laps
    return facts


def _collect_names(only: Filter | None, walk: Walk, chosen: Chosen | None, runtimes: Runtimes) -> Answers:
    """What the runtimes tell; for a pass about some containers what they told, and tell still."""
    if only is None or chosen is None:
        return runtimes.collect(lambda: list_nameless(walk.readings))
    return check_names(only, walk.readings, chosen.answers, runtimes)


def _walk_and_read(context: PassContext, met: MetQueue, carried: Carried | None) -> Walk:
    """Walk the processes, while the tables of each netns that this meets are read; then help with those.

    That is for the time that the kernel takes for a dump. Where most tables are at rest nobody waits for it, and
    threads that hand the lock of the interpreter to each other take more CPU time than one: then one does all.
    """
    walks: list[Walk] = []
    resting = carried.tables.resting.count_netns() if carried and carried.tables.resting else 0
    if resting and context.room.is_ample_for(resting):

        def walk_then_read() -> None:
            walks.append(_walk(context, carried))
            met.put(None)
            context.reader.read(iter(met.get, None))

        run_in_threads([walk_then_read], context.stop)
        context.reader.read_rest(context.registry.list_met())
        return walks[0]

    def walk_and_help() -> None:
        try:
            walks.append(_walk(context, carried))
        finally:
            met.put(None)
            met.put(None)
        context.room.add_reader()
        read()

    def read() -> None:
        try:
            context.reader.read(iter(met.get, None))
        finally:
            context.room.remove_reader()

    context.room.add_reader()  # From before the walk: the first netns may already have to wait for room.
    run_in_threads([walk_and_help, read], context.stop)
    context.reader.read_rest(context.registry.list_met())
    return walks[0]


def _walk(context: PassContext, carried: Carried | None) -> Walk:
    """Walk the processes, with those of their threads that have an fd table of their own, with --deep all.

    Threads of a copied tree are looked at with --deep only: no fd table of them can be compared.
    """
    deep, fds = context.request.tables.deep, context.request.owners is OwnersWanted.PID
    comparable = context.procfs.shows_own_pids()
    threads = ThreadTables(comparable, context.registry, deep=deep)
    further = threads.look if fds and (deep or context.live) else lambda *_: ()
    walk = walk_processes(context, Reach(fds, further, rested=carried.resting if carried else {}))
    if carried is not None and not context.stop.is_set():
        carried.take(walk, context.procfs.list_pids, threads.own_tables, comparable=comparable)
    if not walk.pids:
        raise NoProcfs(context.procfs.root)
    follow_mounts(context)
    context.gaps.add((*walk.gaps, *threads.gaps))
    return walk


def _read_chosen(context: PassContext, chosen: Chosen) -> None:
    """Read the netns of the containers that the pass is about, and the others if it takes them."""
    met = context.registry.list_met()
    theirs = chosen.list_netns(met)
    read_met(context, theirs)
    only = context.request.only
    if only and only.pids and context.live and context.procfs.shows_own_pids():
        others = see_sockets(context, leave_vsock(context, find_unlisted(context, chosen.readings)))
        read_met(context, context.reader.find_new(others))
        context.reader.skip(context.reader.find_new(met))
        return
    inside = {one.serial for one in theirs}
    context.reader.skip(one for one in met if one.serial not in inside)
    if find_unlisted(context, chosen.readings):
        read_met(context, context.reader.take_skipped())
