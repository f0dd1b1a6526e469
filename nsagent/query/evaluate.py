"""A filter expression as one test of rows, made once: functions inside of functions, and no tree to walk. Pure."""

from collections.abc import Iterable
from typing import Final

from nsagent.errors import NotFound
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.query.expression import Autobound, Between, Every, Expression, Not, Number, Some, list_filters, map_filters
from nsagent.query.filter import Filter
from nsagent.query.match import WITH_PORTS, Test, make_test, meet_every

_CLIENT_PORTS: Final = (32768, 60999)
"""The kernel's range for clients, where the pass did not read that of the netns."""

_NOTHING: Final = Some(())


def evaluate(expression: Expression, snapshot: Snapshot) -> Test:
    """Whether a row of the snapshot meets the expression; raises NotFound and Ambiguous for what it names."""
    if isinstance(expression, Filter):
        return make_test(snapshot, expression)
    if isinstance(expression, Between):
        return _compare(expression)
    if isinstance(expression, Autobound):
        return _make_autobound_test(snapshot)
    if isinstance(expression, Not):
        part = evaluate(expression.part, snapshot)
        return lambda socket: not part(socket)
    parts = [evaluate(each, snapshot) for each in expression.parts]
    if isinstance(expression, Every):
        return meet_every(parts)
    return _meet_some(parts)


def check_names(expression: Expression, snapshots: Iterable[Snapshot]) -> None:
    """Raises NotFound for a name in it that none of the snapshots knows, and Ambiguous."""
    unknown = [_find_unknown(expression, snapshot) for snapshot in snapshots]
    for each, err in unknown[-1].items():
        if all(each in others for others in unknown):
            raise err


def take_unknown_for_nothing(wanted: Filter, snapshot: Snapshot) -> Filter:
    """The filter with an expression in which no row meets what names something that the snapshot does not know.

    For whoever looks again and again: what is not there now may come. Raises Ambiguous.
    """
    if wanted.expression is None:
        return wanted
    unknown = _find_unknown(wanted.expression, snapshot)
    kept = map_filters(wanted.expression, lambda each: _NOTHING if each in unknown else each)
    return wanted._replace(expression=kept)


def _find_unknown(expression: Expression, snapshot: Snapshot) -> dict[Filter, NotFound]:
    """The conditions that name what the snapshot does not know, and what is said of that."""
    unknown = {}
    for each in list_filters(expression):
        try:
            make_test(snapshot, each)
        except NotFound as err:
            unknown[each] = err
    return unknown


def _meet_some(tests: list[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda socket: first(socket) or second(socket)
    return lambda socket: any(test(socket) for test in tests)


def _compare(between: Between) -> Test:
    first, last = between.first, between.last
    if between.number is Number.UID:
        return lambda socket: socket.row.uid is not None and first <= socket.row.uid <= last
    if between.number is Number.LOCAL_PORT:
        return lambda socket: first <= socket.row.local.port <= last and socket.row.protocol in WITH_PORTS
    return lambda socket: first <= socket.row.remote.port <= last and socket.row.protocol in WITH_PORTS


def _make_autobound_test(snapshot: Snapshot) -> Test:
    ports = {one.number: one.client_ports or _CLIENT_PORTS for one in snapshot.netns}

    def is_autobound(socket: OwnedSocket) -> bool:
        first, last = ports.get(socket.netns, _CLIENT_PORTS)
        return first <= socket.row.local.port <= last and socket.row.protocol in WITH_PORTS

    return is_autobound
