"""What is said of an answer to who holds an end, in words: for stderr, and for records."""

from collections.abc import Iterable
from typing import Final

from nsagent.model.found import Note, NoteKind
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.report.addresses import local_text
from nsagent.report.context import Context, context_of
from nsagent.report.escape import escape

_NAMED: Final = 3
"""How many sockets, or netns, a line names."""


def note_lines(notes: Iterable[Note], snapshot: Snapshot) -> list[str]:
    """One printable line, without its end, for each; `snapshot` is the one that was searched."""
    return [record["text"] for record in note_records(notes, snapshot)]


def note_records(notes: Iterable[Note], snapshot: Snapshot) -> list[dict[str, str]]:
    """Each as a plain dict: its kind, the end that it is about, and the line."""
    notes = tuple(notes)
    if not notes:
        return []
    context = context_of(snapshot)
    return [
        {"kind": note.kind, "end": note.end, "text": escape(f"{note.end}: {_words(note, context)}")} for note in notes
    ]


def _words(note: Note, context: Context) -> str:
    told = _tell_sockets(note.sockets, context)
    match note.kind:
        case NoteKind.NOT_LOCAL:
            whose = "no address of this host"
            if note.netns:
                whose = f"no address of the netns asked about, if perhaps one of netns {_tell_netns(note, context)}"
            return f"{whose}: these are the sockets that talk to it"
        case NoteKind.NOT_CONNECTED:
            return "no such connection is there: this is what waits for one"
        case NoteKind.SEVERAL_NETNS:
            return f"each of these netns has its own, and who connects gets that of his: {_tell_netns(note, context)}"
        case NoteKind.SHADOWED:
            return f"nothing of it comes to {told}, which waits for the same with less precedence"
        case NoteKind.ONE_OF:
            return f"the kernel chooses one of {told}"
        case NoteKind.UNROUTED:
            where = "which is bound to it where it is no own address"
            return f"nothing comes to {told}, {where}, unless a proxy or a route leads it there"
        case NoteKind.GROUP:
            return "an address of multicast or broadcast: who has joined gets it, which no table tells"
        case NoteKind.PROXY:
            return f"passed on to a container, as the name of the program says, by {told}"
        case NoteKind.BEHIND if note.netns:
            which = f"which of netns {_tell_netns(note, context)} is meant is not known"
            return f"this is where it is passed on to, held by one of {told}: {which}"
        case NoteKind.BEHIND:
            return f"this is where it is passed on to, held by {told or 'nobody that is seen'}"
        case NoteKind.V6ONLY:
            return f"/proc does not tell whether IPv4 comes to {told}"
        case NoteKind.CLAIMED:
            whose = f"netns {_tell_netns(note, context)} has given itself this address"
            return f"{whose}: the host sends what is for it elsewhere"
        case NoteKind.ADDRESSES:
            return (
                f"not known whether this is an address of netns {_tell_netns(note, context)}, where any is waited for"
            )


def _tell_netns(note: Note, context: Context) -> str:
    return _tell([context.netns_labels[number] for number in note.netns])


def _tell_sockets(sockets: Iterable[OwnedSocket], context: Context) -> str:
    return _tell([_tell_socket(socket, context) for socket in sockets])


def _tell_socket(socket: OwnedSocket, context: Context) -> str:
    """`0.0.0.0:80 of pid 12 (httpd), container web`."""
    text = f"{socket.row.protocol} {local_text(socket.row, socket.interface)}"
    if socket.owners:
        process = socket.owners[0].process
        text += f" of pid {process.pid} ({process.comm})"
    container = context.container_labels[socket.container_id]
    return f"{text} in container {container}" if container else text


def _tell(texts: list[str]) -> str:
    rest = len(texts) - _NAMED
    return ", ".join(texts) if rest <= 0 else f"{', '.join(texts[:_NAMED])} and {rest} more"
