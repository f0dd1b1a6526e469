"""The part of a Snapshot that a Filter selects. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from nsagent.errors import Reason
from nsagent.model.choices import View
from nsagent.model.gap import Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.net import has_remote, is_listening
from nsagent.model.snapshot import Coverage, OwnedSocket, Snapshot
from nsagent.query.containers import count_unjudged, include_below, is_called_by_id
from nsagent.query.filter import Filter
from nsagent.query.match import WITH_PORTS, Test, choose, lacks_limit, list_container_ids, make_test
from nsagent.query.netns import find_netns


def select_snapshot(snapshot: Snapshot, wanted: Filter) -> Snapshot:
    """The rows that match, with the netns and containers that they name.

    Coverage is that of the whole pass, with a gap more for what could not be judged. A pod of which
    only the pause container lives is known, and may have no rows. Raises NotFound or Ambiguous for a
    container, pod, netns or process that the snapshot does not know.
    """
    if wanted == Filter():
        return snapshot
    narrowed = _narrow(snapshot, make_test(snapshot, wanted))
    return narrowed._replace(coverage=_cover(snapshot, wanted))


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
    return snapshot._replace(
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
    ids = choose(snapshot, wanted)
    called = {one.id for one in snapshot.folded if one.id in ids and is_called_by_id(one, wanted.containers)}
    # Not Netns.containers: the pause containers are not in there.
    below = include_below(ids, snapshot.containers)
    netns = {process.netns for process in snapshot.processes if process.container_id in below}
    return snapshot._replace(
        containers=(
            *(one for one in snapshot.containers if one.id in ids),
            *(one for one in snapshot.folded if one.id in called),
        ),
        netns=tuple(one for one in snapshot.netns if one.number in netns),
        coverage=_cover(snapshot, wanted),
        folded=tuple(one for one in snapshot.folded if one.id not in called),
    )


def select_rows(snapshot: Snapshot, sockets: Iterable[OwnedSocket]) -> Snapshot:
    """These rows of the snapshot, in this order, with the netns and containers that they name."""
    rows = tuple(sockets)
    netns = {socket.netns for socket in rows}
    containers = {id_ for socket in rows for id_ in list_container_ids(socket)}
    return snapshot._replace(
        sockets=rows,
        netns=tuple(one for one in snapshot.netns if one.number in netns),
        containers=tuple(one for one in snapshot.containers if one.id in containers),
    )


def select_local_port(snapshot: Snapshot, port: int) -> Snapshot:
    """The rows with this local port, of protocols that have ports."""
    rows = snapshot.sockets
    return select_rows(snapshot, (one for one in rows if one.row.local.port == port and one.row.protocol in WITH_PORTS))


def leave_labels(snapshot: Snapshot) -> Snapshot:
    """The snapshot without labels of containers and pods, which may hold secrets."""
    return snapshot._replace(
        containers=tuple(
            one._replace(labels=None, pod=one.pod and replace(one.pod, labels={})) for one in snapshot.containers
        ),
        netns=tuple(
            one._replace(pods=tuple(replace(pod, labels={}) for pod in one.pods)) if one.pods else one
            for one in snapshot.netns
        ),
    )


def _narrow(snapshot: Snapshot, test: Test) -> Snapshot:
    return select_rows(snapshot, filter(test, snapshot.sockets))


def _cover(snapshot: Snapshot, wanted: Filter) -> Coverage:
    """The coverage of the pass, and what it did not tell that this filter asks for."""
    unjudged = count_unjudged(wanted, snapshot.containers)
    unlimited = 0 if wanted.accept_queue_above is None else sum(map(lacks_limit, snapshot.sockets))
    counts = (
        (Stage.NAMES, Kind.LABELS, unjudged.labels),
        (Stage.NAMES, Kind.KUBE_NAMESPACES, unjudged.kube_namespaces),
        (Stage.TABLES, Kind.ACCEPT_QUEUES, unlimited),
    )
    gaps = merge_gaps(Gap(stage, Subject(kind), Reason.NOT_TOLD, count=count) for stage, kind, count in counts if count)
    if not gaps:
        return snapshot.coverage
    complete = snapshot.coverage.complete and not unlimited
    return snapshot.coverage._replace(complete=complete, gaps=(*snapshot.coverage.gaps, *gaps))
