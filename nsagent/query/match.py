"""Whether a row is one that a filter asks for. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from nsagent.errors import NotFound
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.net import Protocol, SocketState, is_listening
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.query.containers import choose_containers, include_below, tell_sources
from nsagent.query.filter import Filter
from nsagent.query.netns import find_each_netns
from nsagent.query.network import make_end_test

Test = Callable[[OwnedSocket], bool]

WITH_PORTS: Final = frozenset((Protocol.TCP, Protocol.UDP, Protocol.UDPLITE, Protocol.SCTP, Protocol.VSOCK))

_WITH_ACCEPT_QUEUE: Final = frozenset((Protocol.TCP, Protocol.SCTP))


def make_test(snapshot: Snapshot, wanted: Filter) -> Test:
    """Whether a row of the snapshot meets every field of the filter.

    Raises NotFound or Ambiguous for a container, pod, netns or process that the snapshot does not know.
    """
    tests = [*_list_name_tests(snapshot, wanted), *_list_row_tests(wanted), *_list_owner_tests(snapshot, wanted)]
    if wanted.expression is not None:
        from nsagent.query.evaluate import evaluate

        tests.append(evaluate(wanted.expression, snapshot))
    return meet_every(tests)


def meet_every(tests: Sequence[Test]) -> Test:
    """Whether a row meets all tests: once per row, so that one or two of them stand in no loop."""
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda socket: first(socket) and second(socket)
    return lambda socket: all(test(socket) for test in tests)


def choose(snapshot: Snapshot, wanted: Filter) -> frozenset[ContainerId]:
    """The containers meant, pause containers too: a pod may have no other left."""
    sources = tell_sources(snapshot.sources, snapshot.coverage.gaps)
    return choose_containers(wanted, (*snapshot.containers, *snapshot.folded), sources)


def list_container_ids(socket: OwnedSocket) -> Iterable[ContainerId]:
    """The containers that a row names: its own, those of its owners, and those that their paths show below."""
    if socket.container_id is not None:
        yield socket.container_id
    for owner in socket.owners:
        if owner.process.container_id is not None:
            yield owner.process.container_id
        yield from owner.process.inner


def lacks_limit(socket: OwnedSocket) -> bool:
    """Whether it has an accept queue of which nobody tells the limit, as /proc does not."""
    return _has_accept_queue(socket) and socket.row.tx_queue is None


def _list_name_tests(snapshot: Snapshot, wanted: Filter) -> Iterable[Test]:
    """One for containers and one for netns, if they are asked for."""
    if wanted.chooses_containers:
        ids = choose(snapshot, wanted)
        # A row that only its pod is charged with is none of a container's.
        chosen = () if wanted.containers else (*snapshot.containers, *snapshot.folded)
        pods = {one.pod for one in chosen if one.id in ids and one.pod is not None}
        wide = include_below(ids, snapshot.containers)
        yield lambda socket: socket.pod in pods or any(id_ in wide for id_ in list_container_ids(socket))
    if wanted.netns:
        numbers = {one.number for text in wanted.netns for one in find_each_netns(snapshot, text)}
        yield lambda socket: socket.netns in numbers


def _list_row_tests(wanted: Filter) -> Iterable[Test]:
    """One for each field that the kernel's row answers, and that is not empty."""
    if wanted.ports:
        yield lambda socket: _has_port(socket, wanted.ports)
    if wanted.local:
        is_local = make_end_test(wanted.local)
        yield lambda socket: is_local(socket.row.local)
    if wanted.remote:
        is_remote = make_end_test(wanted.remote)
        yield lambda socket: is_remote(socket.row.remote)
    if wanted.protocols:
        yield lambda socket: socket.row.protocol in wanted.protocols
    if wanted.states:
        yield lambda socket: socket.row.state in wanted.states
    if wanted.listening:
        yield lambda socket: is_listening(socket.row)
    if (share := wanted.accept_queue_above) is not None:
        yield lambda socket: _fills_accept_queue(socket, share)
    if wanted.interfaces:
        yield lambda socket: socket.interface in wanted.interfaces or str(socket.row.interface) in wanted.interfaces


def _list_owner_tests(snapshot: Snapshot, wanted: Filter) -> Iterable[Test]:
    """One for each field that asks who holds a row, and that is not empty."""
    if wanted.pids:
        pids = {_check_pid(snapshot, pid) for pid in wanted.pids}
        yield lambda socket: any(owner.process.pid in pids for owner in socket.owners)
    if wanted.comms:
        yield lambda socket: any(owner.process.comm in wanted.comms for owner in socket.owners)
    if wanted.units:
        yield lambda socket: any(owner.process.unit in wanted.units for owner in socket.owners)
    if wanted.ownerless:
        yield lambda socket: socket.verdict is not None


def _check_pid(snapshot: Snapshot, pid: Pid) -> Pid:
    if not any(process.pid == pid for process in snapshot.processes):
        raise NotFound("process", str(pid), hint="a thread goes by the id of its process")
    return pid


def _has_port(socket: OwnedSocket, ports: frozenset[int]) -> bool:
    """Whether either end has such a port: the number of an IP protocol or a netlink port id is none."""
    row = socket.row
    return row.protocol in WITH_PORTS and (row.local.port in ports or row.remote.port in ports)


def _has_accept_queue(socket: OwnedSocket) -> bool:
    return socket.row.state is SocketState.LISTEN and socket.row.protocol in _WITH_ACCEPT_QUEUE


def _fills_accept_queue(socket: OwnedSocket, share: float) -> bool:
    """Whether more than this part of its accept queue is known to be taken.

    A queue takes one connection more than its limit says (sk_acceptq_is_full of include/net/sock.h).
    """
    used, limit = socket.row.rx_queue, socket.row.tx_queue
    return _has_accept_queue(socket) and limit is not None and (used or 0) > share * (limit + 1)
