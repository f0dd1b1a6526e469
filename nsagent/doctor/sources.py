"""Where names of containers come from on this machine: each place asked once, timed, and judged.

A source that works says how much it knows; one that does not says why, and what would help.
Which places there are is runtimes.places' business.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.identity.cgroup_path import parse_cgroup
from nsagent.identity.join import NAMED_BY_ID
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.visibility import read_visibility, shows_kernel_threads
from nsagent.model.check import Check, CheckState
from nsagent.model.ids import ContainerId, Pid
from nsagent.runtimes.asked_source import AskedSource
from nsagent.runtimes.discover import TIMEOUT_SECONDS, make_source
from nsagent.runtimes.places import Place, PlaceState, SourceKind
from nsagent.runtimes.source import Source, Versioned

Clock = Callable[[], float]

_DIRECTORIES: Final = frozenset({SourceKind.BUNDLES, SourceKind.LOGS})
_STATE_OF_PLACE: Final = {
    PlaceState.ABSENT: CheckState.ABSENT,
    PlaceState.UNFIT: CheckState.UNUSED,
    PlaceState.SAME: CheckState.UNUSED,
    PlaceState.LEFT_OUT: CheckState.UNUSED,
}
_HUNG: Final = "is the daemon hung? its names are left out, sockets are not"
_ENABLE_CRI: Final = "for Kubernetes' containers: remove cri from disabled_plugins in /etc/containerd/config.toml"
_DENIED_DIRECTORY: Final = "run as root, or add CAP_DAC_READ_SEARCH"
# To connect takes the right to write to a socket (unix(7)), which CAP_DAC_READ_SEARCH does not give.
_DENIED_SOCKET: Final = "run as root or in the group of the socket; to root it is SELinux or AppArmor that refuses"
_HIDDEN: Final = "run as root, in the PID namespace of the host (hostPID: true, docker run --pid host)"
_NO_NAMES: Final = "mount an engine's socket, /run/containerd or /var/log/containers, or name one: --runtime KIND=PLACE"
_NO_PROCESS: Final = "no procfs, nor a copy of one: there is no process in it"
_NO_PROCFS: Final = "name the directory of a procfs: --proc-root DIR"
_CGROUP: Final = "cgroup"


def check_sources(
    places: Sequence[Place],
    proc_root: str,
    *,
    clock: Clock,
    deadline_seconds: float = TIMEOUT_SECONDS,
    make: Callable[[Place], Source] = make_source,
) -> tuple[Check, ...]:
    """One check for the cgroup paths in the procfs at `proc_root`, then one for each place, in their order.

    The sources are asked all at once and until the deadline, however many hang; what they tell is
    timed each by itself, the loading of what a source needs included. `clock` is monotonic, in
    seconds; `make` gives the source of a place.
    """
    cgroups, nameless = _check_cgroup_paths(proc_root, clock)
    asks = [AskedSource(make(place), clock) if place.state is PlaceState.ASKED else None for place in places]
    deadline = clock() + deadline_seconds
    for ask in asks:
        if ask is not None:
            ask.ask()
    checks = []
    for place, ask in zip(places, asks, strict=True):
        if ask is None:
            checks.append(_judge_unasked(place))
            continue
        ask.wait(deadline, deadline_seconds)
        ask.give_up()
        checks.append(_judge_answer(place, ask, deadline_seconds))
        nameless -= {container.id for container in ask.containers if container.name is not None}
    # What failed has its own fix.
    fix = None if any(check.state is CheckState.FAILED for check in checks) else _NO_NAMES
    return (_tell_nameless(cgroups, len(nameless), fix), *checks)


def _check_cgroup_paths(proc_root: str, clock: Clock) -> tuple[Check, set[ContainerId]]:
    """How many containers the cgroups of the processes show, and those whose name they do not tell."""
    began = clock()
    procfs = ProcFs(proc_root)
    try:
        pids = procfs.list_pids()
    except NotRead as err:
        return Check(proc_root, _CGROUP, CheckState.FAILED, clock() - began, None, err.errno, _NO_PROCFS), set()
    if not pids:  # A pass over this ends here.
        return Check(proc_root, _CGROUP, CheckState.FAILED, clock() - began, None, _NO_PROCESS, _NO_PROCFS), set()
    ids, nameless, unread = _read_container_ids(procfs, pids)
    details = [f"{count} of {len(pids)} processes not readable ({reason})" for reason, count in unread.items()]
    hidden = _find_hidden(proc_root, pids)
    if hidden is not None:
        details.append(f"processes are hidden ({hidden})")
    fix = None if hidden is None else _HIDDEN
    seconds = clock() - began
    return Check(proc_root, _CGROUP, CheckState.USED, seconds, len(ids), "; ".join(details) or None, fix), nameless


def _read_container_ids(procfs: ProcFs, pids: Sequence[Pid]) -> tuple[set[ContainerId], set[ContainerId], Counter[str]]:
    """The containers of these processes, those of them that paths give no name to, and the failed reads by reason.

    Pause containers and containers around others are among them.
    """
    ids: set[ContainerId] = set()
    named: set[ContainerId] = set()
    unread: Counter[str] = Counter()
    for pid in pids:
        try:
            with procfs.open_process(pid) as process:
                identity = parse_cgroup(process.read_cgroup())
        except Gone:
            continue
        except NotRead as err:
            unread[err.errno or err.reason] += 1
            continue
        ids.update(identity.chain)
        if identity.container_id is not None:
            ids.add(identity.container_id)
            if identity.runtime in NAMED_BY_ID:
                named.add(identity.container_id)
    return ids, ids - named, unread


def _tell_nameless(cgroups: Check, nameless: int, fix: str | None) -> Check:
    """The check with how many of its containers no source names; `fix` helps where there are only such."""
    if nameless == 0:
        return cgroups
    detail = f"{nameless} named by no source"
    return replace(
        cgroups,
        detail=detail if cgroups.detail is None else f"{detail}; {cgroups.detail}",
        fix=fix if cgroups.fix is None and nameless == cgroups.containers else cgroups.fix,
    )


def _find_hidden(proc_root: str, pids: Sequence[Pid]) -> str | None:
    """What hides processes from this user, None if nothing does."""
    try:
        visibility = read_visibility(proc_root, pids)
    except (NotRead, FormatError) as err:
        return str(err)
    if visibility.partial:
        return f"hidepid={visibility.hidepid}" if visibility.init else "PID 1 is not there"
    procfs = ProcFs(proc_root)
    is_part = procfs.is_live() and not shows_kernel_threads(procfs, pids)
    return "those outside of this PID namespace" if is_part else None


def _judge_unasked(place: Place) -> Check:
    """The check of a place that is not asked."""
    fix = None
    if place.state is PlaceState.UNFIT and place.kind not in _DIRECTORIES:
        # A mount of a socket that is not there yet makes a directory of that name.
        fix = "remove it, start the engine, then mount its socket"
    return Check(place.address, place.kind, _STATE_OF_PLACE[place.state], detail=place.reason, fix=fix)


def _judge_answer(place: Place, ask: AskedSource, deadline_seconds: float) -> Check:
    """The check of a place whose source was asked; one that did not answer took all the time there was."""
    seconds = deadline_seconds if ask.seconds is None else ask.seconds
    if ask.failure is not None:
        # A containerd that is Docker's serves no CRI, or what asks it is not installed: nobody asked for it, nothing is
        # wrong.
        idle = ask.serves_other or ask.lacks_extra
        state = CheckState.UNUSED if idle else CheckState.FAILED
        fix = _advise(place, ask.failure.reason)
        return Check(place.address, place.kind, state, seconds, None, ask.failure.detail, fix)
    containers = [container for container in ask.containers if not container.sandbox]
    version = ask.source.version if isinstance(ask.source, Versioned) else None
    details = [version] if version else []
    if nameless := sum(container.name is None for container in containers):
        details.append(f"{nameless} without a name")
    if ask.left_out:
        details.append(f"{len(ask.left_out)} left out")
    return Check(place.address, place.kind, CheckState.USED, seconds, len(containers), ", ".join(details) or None)


def _advise(place: Place, reason: Reason) -> str | None:
    """What would help against a failure, where that is known."""
    is_directory = place.kind in _DIRECTORIES
    name_another = f"name another: --runtime {place.kind}={'DIR' if is_directory else 'unix:///PATH'}"
    match reason:
        case Reason.NO_ANSWER:
            return _HUNG
        case Reason.NOT_SERVED:
            return _ENABLE_CRI if place.kind is SourceKind.CRI and "containerd" in place.address else name_another
        case Reason.ABSENT:
            return f"mount it, or {name_another}"
        case Reason.DENIED:
            return _DENIED_DIRECTORY if is_directory else _DENIED_SOCKET
        case Reason.REFUSED:
            return "start the engine: nobody listens at its socket"
    return None
