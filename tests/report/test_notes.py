"""What is said of an answer, in words."""

import pytest

from nsagent.model.found import Note, NoteKind
from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.report.notes import note_lines, note_records
from tests.scan.snapshots import HOST, WEB, container, listener, make_netns, process, snapshot, socket

BOX = container("web")
ONE = listener(80, process(12, "httpd", container=BOX), netns=WEB)
TWO = socket(SocketState.CLOSE, Endpoint("127.0.0.1", 80), protocol=Protocol.UDP, interface="lo")
GIVEN = snapshot(ONE, TWO, containers=(BOX,), netns=(make_netns(HOST), make_netns(WEB)._replace(names=("web",))))
FIRST, SECOND = "tcp 0.0.0.0:80 of pid 12 (httpd) in container web", "udp 127.0.0.1%lo:80"


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (Note(NoteKind.NOT_LOCAL, "x:80"), "no address of this host: these are the sockets that talk to it"),
        (
            Note(NoteKind.NOT_LOCAL, "x:80", (WEB,)),
            "no address of the netns asked about, if perhaps one of netns web: these are the sockets that talk to it",
        ),
        (Note(NoteKind.NOT_CONNECTED, "x:80"), "no such connection is there: this is what waits for one"),
        (
            Note(NoteKind.SEVERAL_NETNS, "x:80", (HOST, WEB, 1, 2, 3)),
            "each of these netns has its own, and who connects gets that of his: host, web, 1 and 2 more",
        ),
        (
            Note(NoteKind.SHADOWED, "x:80", sockets=(ONE, TWO)),
            f"nothing of it comes to {FIRST}, {SECOND}, which waits for the same with less precedence",
        ),
        (Note(NoteKind.ONE_OF, "x:80", sockets=(ONE, TWO)), f"the kernel chooses one of {FIRST}, {SECOND}"),
        (
            Note(NoteKind.GROUP, "x:80"),
            "an address of multicast or broadcast: who has joined gets it, which no table tells",
        ),
        (
            Note(NoteKind.PROXY, "x:80", sockets=(ONE,)),
            f"passed on to a container, as the name of the program says, by {FIRST}",
        ),
        (Note(NoteKind.BEHIND, "x:80", sockets=(ONE,)), f"this is where it is passed on to, held by {FIRST}"),
        (
            Note(NoteKind.BEHIND, "x:80", (HOST, WEB), (ONE, TWO)),
            (
                f"this is where it is passed on to, held by one of {FIRST}, {SECOND}: "
                "which of netns host, web is meant is not known"
            ),
        ),
        (Note(NoteKind.BEHIND, "x:80"), "this is where it is passed on to, held by nobody that is seen"),
        (Note(NoteKind.V6ONLY, "x:80", sockets=(ONE,)), f"/proc does not tell whether IPv4 comes to {FIRST}"),
        (
            Note(NoteKind.ADDRESSES, "x:80", (WEB,)),
            "not known whether this is an address of netns web, where any is waited for",
        ),
    ],
)
def test_a_note_is_one_line(note: Note, said: str) -> None:
    assert note_lines([note], GIVEN) == [f"x:80: {said}"]
    assert note_records([note], GIVEN) == [{"kind": note.kind, "end": "x:80", "text": f"x:80: {said}"}]


def test_names_that_others_have_chosen_are_escaped() -> None:
    odd = listener(80, process(12, "a\x1b[31m\n"))
    assert note_lines([Note(NoteKind.ONE_OF, "x:80", sockets=(odd,))], snapshot(odd)) == [
        r"x:80: the kernel chooses one of tcp 0.0.0.0:80 of pid 12 (a\x1b[31m\x0a)"
    ]
