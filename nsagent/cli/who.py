"""`nsagent who`: which process and container holds an end, or a connection."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from nsagent.cli.completion import list_each, list_netns_names
from nsagent.cli.options import Engine, Printing, Source, Texts
from nsagent.errors import NotFound
from nsagent.model.choices import EngineName, View
from nsagent.model.found import NoteKind
from nsagent.model.snapshot import Snapshot
from nsagent.query.socket_index import WITH_ENDS, SocketIndex

if TYPE_CHECKING:
    from nsagent.cli.answer import Read
    from nsagent.query.who import Question
    from nsagent.scan.request import SnapshotRequest


def who(
    *,
    ends: Annotated[
        list[str],
        typer.Argument(
            metavar="ADDRESS:PORT", help="An end, or both ends of a connection: 10.0.0.1:80, [::1]:80, *:80."
        ),
    ],
    netns: Annotated[
        Texts,
        typer.Option(
            "--netns",
            metavar="NETNS",
            help="Only in this netns, by inode, `ip netns` name, path, key:N, or 'host'.",
            autocompletion=list_netns_names,
        ),
    ] = None,
    protocol: Annotated[
        Texts,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="tcp, udp, udplite or sctp; TCP and UDP without it.",
            autocompletion=list_each(lambda: WITH_ENDS),
        ),
    ] = None,
    engine: Engine = EngineName.AUTO,
    source: Source,
    printing: Printing,
) -> None:
    """Who holds ADDRESS:PORT, in any netns: what is connected there, and what gets what comes for it.

    With two ends, in any order, who holds that connection, at either end. Of an address that is
    none of this host's, who talks to it. What is odd about the answer is said on stderr.
    """
    from nsagent.cli.answer import answer
    from nsagent.query.who import parse_question
    from nsagent.scan.plan import PROTOCOLS, TablesWanted

    question = parse_question(ends, protocol)
    output = printing.make_options(View.SOCKETS)
    tables = TablesWanted(question.protocols.union(PROTOCOLS), own_addresses=True)
    ports = frozenset(end.port for end in question.ends)
    request = replace(source.make_request(), engine=engine, tables=tables, ports=ports)

    def select(made: "Read") -> Snapshot:
        return _select(made, question, netns or (), request, source)

    answer(View.SOCKETS, request, source, select, output, strict=printing.strict)


def _select(
    made: "Read", question: "Question", netns: Sequence[str], request: "SnapshotRequest", source: Source
) -> Snapshot:
    """The rows that answer the question, in the netns of these names or in all; what is said of them goes to stderr."""
    from nsagent.cli.answer import add_command_lines
    from nsagent.cli.tell import tell
    from nsagent.cli.threads import name_netns
    from nsagent.query.netns import find_each_netns
    from nsagent.query.select import select_rows
    from nsagent.query.who import find_behind, find_who
    from nsagent.report.notes import note_lines

    snapshot = made.snapshot
    if netns:
        names = (name_netns(text, snapshot, source) for text in netns)
        numbers = frozenset(one.number for name in names for one in find_each_netns(snapshot, name))
        question = question._replace(netns=numbers)
    try:
        found = find_who(snapshot, SocketIndex(snapshot), question)
    except NotFound:
        # What is near is at other ports.
        snapshot = made.make_whole()
        found = find_who(snapshot, SocketIndex(snapshot), question)
    notes = list(found.notes)
    proxies = [note for note in found.notes if note.kind is NoteKind.PROXY] if request.from_file is None else []
    if proxies:
        snapshot = made.make_whole()  # And so is what a proxy passes on to.
        index = SocketIndex(snapshot)
        for note in proxies:
            lines = add_command_lines(select_rows(snapshot, note.sockets), request).command_lines
            notes += find_behind(index, note, lines or {})
    for line in note_lines(notes, snapshot):
        tell(f"nsagent: {line}")
    return select_rows(snapshot, found.sockets)
