"""The stage that concludes: what concerns the whole host, and all that was read put together as Facts."""

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain

from nsagent.errors import FormatError, NotRead, Reason
from nsagent.kernel.capabilities import read_capabilities
from nsagent.kernel.cgroupfs import read_cgroup_paths
from nsagent.kernel.procfs import ProcessDir
from nsagent.kernel.stale_names import list_stale_names
from nsagent.kernel.visibility import read_visibility
from nsagent.model.choices import OwnersWanted
from nsagent.model.facts import Facts, Visibility
from nsagent.model.gap import Gap, Kind, Stage, Subject, make_gap
from nsagent.model.ids import Pid
from nsagent.runtimes.runtimes import Answers
from nsagent.scan.collect.chosen import CGROUP_PATHS
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.ends import read_links
from nsagent.scan.collect.look_again import name_interfaces
from nsagent.scan.collect.placed import place_processes
from nsagent.scan.collect.settle import Settled
from nsagent.scan.collect.state import NetnsState, is_host, make_reading
from nsagent.scan.collect.text_tables import ask_member
from nsagent.scan.collect.walk import Walk


def read_the_rest(context: PassContext, walk: Walk, settled: Settled) -> None:
    """What is read last of each netns: interfaces if they are asked for, names that rows need, the kernel's sockets."""
    if context.request.interfaces and context.live:
        # Imported here, as below: nobody pays for it who does not ask for it.
        from nsagent.scan.collect.interfaces import read_interfaces

        read_interfaces(context, walk.host_inode)
    name_interfaces(context)
    if context.request.tables.own_addresses:
        _read_links_of_host(context, walk)
    if settled.ownerless:
        # Where every row has an owner nobody asks for it.
        from nsagent.scan.collect.rpc_flows import find_rpc_flows
        from nsagent.scan.collect.tunnels import find_tunnels

        find_tunnels(context, settled.ownerless, walk.host_inode)
        find_rpc_flows(context, settled.ownerless)


def _read_links_of_host(context: PassContext, walk: Walk) -> None:
    """To which networks the host sends packets by links of its own; of other netns nobody needs to know."""
    for state in context.reader.list_states():
        if is_host(state.met, walk.host_inode, walk.host_key) or Pid(1) in state.met.members:
            with suppress(NotRead):  # Nobody in there may be read: that is told already.
                ask_member(context.procfs, state.met, partial(_read_links, context, state))


def _read_links(context: PassContext, state: NetnsState, process: ProcessDir) -> None:
    read_links(state, process.read_net, context.gaps)


def conclude(
    context: PassContext, walk: Walk, settled: Settled, tell_names: Callable[[], Answers], started: float
) -> Facts:
    """The facts of the pass that `started` at that clock; names come last, when runtimes have had the longest time."""
    request = context.request
    states = context.reader.list_states()
    visibility = _read_visibility(context, walk)
    cgroup_paths, stale_names = _read_cgroup_paths(context), _list_stale_names(context)
    answers = tell_names()
    placing = place_processes(context, (*walk.readings, *settled.readings), answers)
    context.gaps.add(placing.gaps)
    # A netns that is not to be read need not be open.
    unread = {state.met.subject for state in states if state.skipped}
    gaps = (gap for gap in context.gaps.list_gaps() if gap.stage is not Stage.NETNS or gap.subject not in unread)
    return Facts(
        host=request.host,
        boot_id=context.procfs.read_sysctl("kernel/random/boot_id"),
        byteorder=sys.byteorder,
        taken_at_ns=request.started_at_ns,
        duration_seconds=round(context.clock() - started, 6),
        engine=request.engine,
        processes=(*walk.readings, *settled.readings),
        process_counts=walk.counts(),
        netns=tuple(make_reading(state, walk.host_inode, walk.host_key) for state in states),
        containers=answers.containers,
        sources=(CGROUP_PATHS, *answers.sources),
        gaps=tuple(chain(gaps, answers.gaps)),
        protocols=tuple(sorted(request.tables.protocols)),
        deep=request.tables.deep,
        visibility=visibility,
        rewalk=settled.rewalk,
        cgroup_paths=cgroup_paths,
        stale_names=stale_names,
        kept=answers.kept,
        owners=request.owners,
        capabilities=_read_capabilities(),
        kernel_release=context.procfs.read_sysctl("kernel/osrelease"),
        placed=placing.placed,
    )


def _read_cgroup_paths(context: PassContext) -> tuple[tuple[int, str], ...]:
    """The paths of the cgroups that rows name: where their sockets were made."""
    ids = context.reader.list_cgroup_ids()
    if not context.live or not ids:
        return ()
    subject = Subject(Kind.CGROUP_PATHS)
    try:
        found = read_cgroup_paths(ids, proc_root=context.procfs.root)
    except (NotRead, FormatError) as err:
        # Owners tell more; without them it is a gap that who made a socket is not known.
        if context.request.owners is OwnersWanted.CONTAINER:
            context.gaps.note(Stage.CGROUPS, subject, err)
        return ()
    # Others are known here, so that a row whose own is not would look like one that was made in a removed cgroup.
    failed = Counter(make_gap(Stage.CGROUPS, subject, err) for err in found.failed.values())
    context.gaps.add(replace(gap, count=count) for gap, count in failed.items())
    return tuple(sorted(found.paths.items()))


def _list_stale_names(context: PassContext) -> tuple[str, ...]:
    """As the host's first process sees them: its mounts need not reach this mount namespace."""
    for root in (f"{context.procfs.root}/1/root", "") if context.live else ():
        try:
            return list_stale_names(f"{root}/run/netns")
        except NotRead:
            continue
    return ()


def _read_visibility(context: PassContext, walk: Walk) -> Visibility:
    """What the mount of procfs shows; what it hides are gaps."""
    root = context.procfs.root
    if not context.live:
        return Visibility()
    try:
        visibility = read_visibility(root, walk.pids)
    except (NotRead, FormatError) as err:
        context.gaps.note(Stage.PROCESSES, Subject(Kind.MOUNT_OPTIONS, root), err)
        return Visibility()
    gaps = []
    if visibility.partial:
        reason = Reason.HIDEPID if visibility.hidepid else Reason.NO_INIT
        gaps.append(Gap(Stage.PROCESSES, Subject(Kind.HIDDEN_PROCESSES), reason, detail=visibility.hidepid))
    elif walk.position == len(walk.pids) and not any(reading.kernel_thread for reading in walk.readings):
        # The kernel's own threads are in the first PID namespace alone.
        gaps.append(Gap(Stage.PROCESSES, Subject(Kind.HIDDEN_PROCESSES), Reason.PID_NAMESPACE))
    if visibility.subset:
        subject = Subject(Kind.PROCFS_FILES, f"{root}/sys")
        gaps.append(Gap(Stage.PROCESSES, subject, Reason.SUBSET, detail=visibility.subset))
    context.gaps.add(gaps)
    return visibility


def _read_capabilities() -> int | None:
    try:
        return read_capabilities()
    except (NotRead, FormatError):
        return None  # Then every remedy is worth telling.
