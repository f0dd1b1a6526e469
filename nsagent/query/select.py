"""The part of a Snapshot that a Filter selects. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from nsagent.errors import NotFound, Reason
from nsagent.model.choices import View
from nsagent.model.gap import Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.net import Protocol, SocketState, has_remote, is_listening
from nsagent.model.snapshot import Coverage, OwnedSocket, Snapshot
from nsagent.query.containers import choose_containers, count_unjudged, include_below, is_called_by_id, tell_sources
from nsagent.query.filter import Filter
from nsagent.query.netns import find_each_netns, find_netns

Test = Callable[[OwnedSocket], bool]

_WITH_PORTS: Final = frozenset((Protocol.TCP, Protocol.UDP, Protocol.UDPLITE, Protocol.SCTP, Protocol.VSOCK))

_WITH_ACCEPT_QUEUE: Final = frozenset((Protocol.TCP, Protocol.SCTP))


def select_snapshot(snapshot: Snapshot, wanted: Filter) -> Snapshot:
    """The rows that match, with the netns and containers that they name.

    Coverage is that of the whole pass, with a gap more for what could not be judged. A pod of which
    only the pause container lives is known, and may have no rows. Raises NotFound or Ambiguous for a
    container, pod, netns or process that the snapshot does not know.
    """
    tests = _list_tests(snapshot, wanted)
    if not tests:
        return snapshot
    narrowed = _narrow(snapshot, lambda socket: all(test(socket) for test in tests))
    return replace(narrowed, coverage=_cover(snapshot, wanted))


def select_view(snapshot: Snapshot, view: View) -> Snapshot:
    """The rows that a view is about, with the netns and containers that they name; for most views all of them."""
    if view is View.LISTENERS:
        return _narrow(snapshot, lambda socket: is_listening(socket.row))
    if view is View.CONNECTIONS:
        return _narrow(snapshot, lambda socket: has_remote(socket.row))
    return snapshot


def select_netns(snapshot: Snapshot, name: str) -> Snapshot:
    """One netns with its rows and containers; raises NotFound and Ambiguous."""
    netns = find_netns(snapshot, name)
    return replace(
        snapshot,
        netns=(netns,),
        sockets=tuple(socket for socket in snapshot.sockets if socket.netns == netns.number),
        containers=tuple(one for one in snapshot.containers if one.id in netns.containers),
    )


def select_containers(snapshot: Snapshot, wanted: Filter) -> Snapshot:
    """The containers that a filter chooses, with the netns in which they are; coverage as in select_snapshot.

    A pause container that no row names is one of them only where it is called by its own id. Raises
    NotFound and Ambiguous.
    """
    if not wanted.chooses_containers:
        return snapshot
    ids = _choose(snapshot, wanted)
    called = {one.id for one in snapshot.folded if one.id in ids and is_called_by_id(one, wanted.containers)}
    # Not Netns.containers: the pause containers are not in there.
    below = include_below(ids, snapshot.containers)
    netns = {process.netns for process in snapshot.processes if process.container_id in below}
    return replace(
        snapshot,
        containers=(
            *(one for one in snapshot.containers if one.id in ids),
            *(one for one in snapshot.folded if one.id in called),
        ),
        netns=tuple(one for one in snapshot.netns if one.number in netns),
        coverage=_cover(snapshot, wanted),
        folded=tuple(one for one in snapshot.folded if one.id not in called),
    )


def leave_labels(snapshot: Snapshot) -> Snapshot:
    """The snapshot without labels of containers and pods, which may hold secrets."""
    return replace(
        snapshot,
        containers=tuple(
            replace(one, labels=None, pod=one.pod and replace(one.pod, labels={})) for one in snapshot.containers
        ),
        netns=tuple(
            replace(one, pods=tuple(replace(pod, labels={}) for pod in one.pods)) if one.pods else one
            for one in snapshot.netns
        ),
    )


def list_container_ids(socket: OwnedSocket) -> Iterable[ContainerId]:
    """The containers that a row names: its own, those of its owners, and those that their paths show below."""
    if socket.container_id is not None:
        yield socket.container_id
    for owner in socket.owners:
        if owner.process.container_id is not None:
            yield owner.process.container_id
        yield from owner.process.inner


def _narrow(snapshot: Snapshot, test: Test) -> Snapshot:
    sockets = tuple(socket for socket in snapshot.sockets if test(socket))
    netns = {socket.netns for socket in sockets}
    containers = {id_ for socket in sockets for id_ in list_container_ids(socket)}
    return replace(
        snapshot,
        sockets=sockets,
        netns=tuple(one for one in snapshot.netns if one.number in netns),
        containers=tuple(one for one in snapshot.containers if one.id in containers),
    )


def _choose(snapshot: Snapshot, wanted: Filter) -> frozenset[ContainerId]:
    """The containers meant, pause containers too: a pod may have no other left."""
    sources = tell_sources(snapshot.sources, snapshot.coverage.gaps)
    return choose_containers(wanted, (*snapshot.containers, *snapshot.folded), sources)


def _cover(snapshot: Snapshot, wanted: Filter) -> Coverage:
    """The coverage of the pass, and what it did not tell that this filter asks for."""
    unjudged = count_unjudged(wanted, snapshot.containers)
    unlimited = 0 if wanted.accept_queue_above is None else sum(map(_lacks_limit, snapshot.sockets))
    counts = (
        (Stage.NAMES, Kind.LABELS, unjudged.labels),
        (Stage.NAMES, Kind.KUBE_NAMESPACES, unjudged.kube_namespaces),
        (Stage.TABLES, Kind.ACCEPT_QUEUES, unlimited),
    )
    gaps = merge_gaps(Gap(stage, Subject(kind), Reason.NOT_TOLD, count=count) for stage, kind, count in counts if count)
    if not gaps:
        return snapshot.coverage
    complete = snapshot.coverage.complete and not unlimited
    return replace(snapshot.coverage, complete=complete, gaps=(*snapshot.coverage.gaps, *gaps))


def _list_tests(snapshot: Snapshot, wanted: Filter) -> list[Test]:
    """One test for each field of the filter that is not empty."""
    tests: list[Test] = []
    if wanted.chooses_containers:
        ids = _choose(snapshot, wanted)
        # A row that only its pod is charged with is none of a container's.
        chosen = () if wanted.containers else (*snapshot.containers, *snapshot.folded)
        pods = {one.pod for one in chosen if one.id in ids and one.pod is not None}
        wide = include_below(ids, snapshot.containers)
        tests.append(lambda socket: socket.pod in pods or any(id_ in wide for id_ in list_container_ids(socket)))
    if wanted.netns:
        numbers = {one.number for text in wanted.netns for one in find_each_netns(snapshot, text)}
        tests.append(lambda socket: socket.netns in numbers)
    if wanted.pids:
        pids = {_check_pid(snapshot, pid) for pid in wanted.pids}
        tests.append(lambda socket: any(owner.process.pid in pids for owner in socket.owners))
    if wanted.ports:
        tests.append(lambda socket: _has_port(socket, wanted.ports))
    if wanted.protocols:
        tests.append(lambda socket: socket.row.protocol in wanted.protocols)
    if wanted.states:
        tests.append(lambda socket: socket.row.state in wanted.states)
    if wanted.listening:
        tests.append(lambda socket: is_listening(socket.row))
    if wanted.ownerless:
        tests.append(lambda socket: socket.verdict is not None)
    if (share := wanted.accept_queue_above) is not None:
        tests.append(lambda socket: _fills_accept_queue(socket, share))
    return tests


def _check_pid(snapshot: Snapshot, pid: Pid) -> Pid:
    if not any(process.pid == pid for process in snapshot.processes):
        raise NotFound("process", str(pid), hint="a thread goes by the id of its process")
    return pid


def _has_port(socket: OwnedSocket, ports: frozenset[int]) -> bool:
    """Whether either end has such a port: the number of an IP protocol or a netlink port id is none."""
    row = socket.row
    return row.protocol in _WITH_PORTS and (row.local.port in ports or row.remote.port in ports)


def _has_accept_queue(socket: OwnedSocket) -> bool:
    return socket.row.state is SocketState.LISTEN and socket.row.protocol in _WITH_ACCEPT_QUEUE


def _lacks_limit(socket: OwnedSocket) -> bool:
    """Whether it has an accept queue of which nobody tells the limit, as /proc does not."""
    return _has_accept_queue(socket) and socket.row.tx_queue is None


def _fills_accept_queue(socket: OwnedSocket, share: float) -> bool:
    """Whether more than this part of its accept queue is known to be taken.

    A queue takes one connection more than its limit says (sk_acceptq_is_full of include/net/sock.h).
    """
    used, limit = socket.row.rx_queue, socket.row.tx_queue
    return _has_accept_queue(socket) and limit is not None and (used or 0) > share * (limit + 1)
