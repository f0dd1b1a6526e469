"""Who holds an end, by a pass, for those who ask often: that is indexed once, when it is first asked about."""

from typing import NamedTuple

from nsagent.agent.board import LastPass
from nsagent.model.snapshot import OwnedSocket
from nsagent.query.netns import find_each_netns
from nsagent.query.select import leave_labels, select_rows
from nsagent.query.socket_index import SocketIndex
from nsagent.query.who import find_who, parse_question
from nsagent.report.accept_queues import is_listener
from nsagent.report.json import render_json


class _Indexed(NamedTuple):
    """What is made of a pass that was asked about."""

    ends: SocketIndex
    listeners: tuple[OwnedSocket, ...]
    """What the accept queues of containers are summed up of."""


def render_who(last: LastPass, query: dict[str, list[str]]) -> str:
    """The document of the rows that answer a query, without labels, and with notes.

    Raises UsageError for a query that means nothing, NotFound and Ambiguous. Any number of threads may ask.
    """
    question = parse_question(query.get("endpoint", []), query.get("protocol"))
    snapshot = last.snapshot
    if names := query.get("netns"):
        numbers = (one.number for name in names for one in find_each_netns(snapshot, name))
        question = question._replace(netns=frozenset(numbers))
    indexed = _find_index(last)
    found = find_who(snapshot, indexed.ends, question)
    selected = leave_labels(select_rows(snapshot, found.sockets))
    whole = snapshot._replace(sockets=indexed.listeners)
    return "".join(render_json(selected, whole=whole, notes=found.notes))


def _find_index(last: LastPass) -> _Indexed:
    """The index of a pass; two threads that make it at once make the same."""
    indexed: _Indexed | None = last.made.get(_Indexed)
    if indexed is None:
        listeners = tuple(filter(is_listener, last.snapshot.sockets))
        indexed = last.made[_Indexed] = _Indexed(SocketIndex(last.snapshot), listeners)
    return indexed
