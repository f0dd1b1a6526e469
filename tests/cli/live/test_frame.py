"""What stands on the screen."""

from collections.abc import Iterator
from itertools import pairwise, product

import pytest

from nsagent.cli.live.frame import Frame, Line, Size, Span, Style, find_first, make_frame
from nsagent.cli.live.look import Look, TypedFilter, arrange, fit_window
from nsagent.cli.live.seen import Seen, add_pass
from nsagent.cli.live.state import Prompt, Shown, State
from nsagent.model.choices import OutputFormat, View
from nsagent.model.net import Endpoint, SocketState
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.report.display import display_width
from nsagent.report.options import OutputOptions
from nsagent.scan.attribute import attribute
from tests.cli.crowd import crowded
from tests.scan.snapshots import T1, container, listener, process, snapshot, socket

KEYS = "q quit, h help, / filter, s sort, p pause, w wide"
WEB = container("web")
SERVER = process(10, "nginx: w\x1b[31m", container=WEB)
FRONT = listener(80, SERVER)
LEFT = socket(SocketState.TIME_WAIT, Endpoint("10.0.0.1", 80), Endpoint("10.0.0.9", 50000), cookie=3, inode=0)
COME = socket(SocketState.ESTABLISHED, Endpoint("10.0.0.1", 80), Endpoint("10.0.0.9", 50001), SERVER, cookie=2, inode=8)
BEGUN, SIZE, PLAIN = State(), Size(10, 100), OutputOptions()
LACKS = ("3 of 5 processes not readable (EACCES): add CAP_SYS_PTRACE",)


def see(*sockets: OwnedSocket, lacks: tuple[str, ...] = ()) -> Seen:
    taken = snapshot(*sockets, containers=(WEB,))
    return add_pass(None, taken, taken, lacks)


def see_changed() -> Seen:
    """The second of two passes: a connection has come, what was left of another one is gone."""
    before, after = (snapshot(FRONT, one, containers=(WEB,)) for one in (LEFT, COME))
    return add_pass(add_pass(None, before, before, ()), after._replace(taken_at=T1), after, ())


def frame_of(
    seen: Seen | None,
    state: State = BEGUN,
    size: Size = SIZE,
    output: OutputOptions = PLAIN,
    waiting: str = "",
) -> Frame:
    """The screen that shows this, laid out as the loop does."""
    arranged = window = None
    if seen is not None:
        arranged = arrange(seen, state.look, View.SOCKETS, output)
        first = find_first(state, len(arranged.table.rows), size.lines)
        window = fit_window(arranged, first, size.columns, output)
    return make_frame(arranged, window, state, size, output, waiting=waiting)


def text_of(line: Line) -> str:
    text = ""
    for span in line:
        text += " " * (span.column - display_width(text)) + span.text
    return text.rstrip()


def show(*arguments: object, **settings: object) -> str:
    """The text on the screen, each line with a line end."""
    return "".join(f"{text_of(line)}\n" for line in frame_of(*arguments, **settings).lines)  # type: ignore[arg-type]


def test_a_pass_stands_there_with_what_it_could_not_see() -> None:
    expected = f"""\
node-1, 01-02 03:04:05 UTC: 2 sockets, 2 netns, 0 new, 0 gone, 0 gaps, pass 0.10 s
3 of 5 processes not readable (EACCES): add CAP_SYS_PTRACE
NETNS  PROTO  STATE      LOCAL        REMOTE          PID  COMMAND           CONTAINER  POD
host   tcp    listen     0.0.0.0:80   0.0.0.0:*       10   nginx: w\\x1b[31m  web        -
host   tcp    time_wait  10.0.0.1:80  10.0.0.9:50000  -    (unknown)         -          -




rows 1-2 of 2  {KEYS}
"""
    assert show(see(FRONT, LEFT, lacks=LACKS)) == expected


def test_before_the_first_pass_there_are_keys_and_how_far_it_is() -> None:
    assert show(None, size=Size(3, 80)) == f"\n\n{KEYS}\n"
    assert show(None, size=Size(2, 80), waiting="reading for 3 s: 1 of 4 netns") == (
        f"\nreading for 3 s: 1 of 4 netns  {KEYS}\n"[:81] + "\n"
    )


def test_new_rows_are_bold_and_those_that_are_gone_are_counted() -> None:
    frame = frame_of(see_changed())
    head, header, front, come, *_ = frame.lines
    assert text_of(head).endswith(": 2 sockets, 2 netns, 1 new, 1 gone, 0 gaps, pass 0.10 s")
    assert [{span.style for span in line} for line in (head, header, front, come)] == [
        {Style(bold=True)},
        {Style(reverse=True)},
        {Style()},
        {Style(bold=True)},
    ]


def test_colours_are_those_of_the_table_where_they_are_wanted() -> None:
    seen = see(FRONT, LEFT)
    plain, coloured = (frame_of(seen, output=OutputOptions(colour=colour)) for colour in (False, True))
    assert {span.style for line in plain.lines[2:] for span in line} == {Style()}
    listen, unknown = coloured.lines[2][2], coloured.lines[3][6]
    assert listen == Span(14, "listen", Style("32"))
    assert unknown == Span(59, "(unknown)", Style("2"))


def test_an_error_stands_above_what_was_seen_last() -> None:
    frame = show(see(FRONT)._replace(error="no agent at /run/nsagent/agent.sock"))
    assert frame.splitlines()[1] == "no agent at /run/nsagent/agent.sock"


def test_what_is_asked_for_stands_in_the_last_line() -> None:
    look = Look(("-local", "pid"), TypedFilter("80\x1b"))
    state = State(look, paused=True)
    assert (
        show(see(FRONT), state, waiting="reading").splitlines()[-1]
        == (f"paused  reading  /80\\x1b  by -local,pid  rows 0-0 of 0  {KEYS}"[:100])
    )
    narrow = show(see(FRONT), size=Size(10, 60)).splitlines()[-1]
    assert narrow == "rows 1-1 of 1  no room for command: w has all columns  q qui"


def test_a_page_of_rows_is_shown_from_the_topmost_one_on() -> None:
    many = see(*(listener(port, SERVER, cookie=port, inode=port) for port in range(1000, 1030)))
    frame = frame_of(many, State(first_row=7), Size(8, 100))
    assert frame.shown == Shown(
        30, 5, ("netns", "proto", "state", "local", "remote", "pid", "command", "container", "pod"), 0
    )
    assert [line[3].text for line in frame.lines[2:7]] == [f"0.0.0.0:{port}" for port in range(1007, 1012)]
    assert text_of(frame.lines[-1]).startswith("rows 8-12 of 30 ")
    at_the_end = frame_of(many, State(first_row=99), Size(8, 100))
    assert at_the_end.lines[6][3].text == "0.0.0.0:1029"


def test_rows_deep_in_a_large_table_are_their_own() -> None:
    many = see(*(listener(port, SERVER, cookie=port, inode=port) for port in range(1, 4001)))
    frame = frame_of(many, State(first_row=1999), Size(8, 100))
    assert [line[3].text for line in frame.lines[2:7]] == [f"0.0.0.0:{port}" for port in range(2000, 2005)]


def test_columns_beyond_the_screen_are_gone_through_without_cutting_one_on_the_left() -> None:
    wide = State(Look(wide=True))
    frames = [frame_of(see(FRONT), wide._replace(first_column=left), Size(6, 60)) for left in (0, 3, 99)]
    assert [text_of(frame.lines[2])[:22] for frame in frames] == [
        "NETNS  PROTO  STATE   ",
        "LOCAL       REMOTE    ",
        "TIMER  CGROUP-ID  CHAR",
    ]
    assert text_of(frames[2].lines[2]).endswith("FLAGS")
    assert {frame.shown.sideways for frame in frames} == {16}


def test_without_headers_there_is_one_row_more() -> None:
    output = OutputOptions(headers=False)
    frame = frame_of(see(FRONT), output=output)
    assert (text_of(frame.lines[1])[:4], frame.shown.page) == ("host", 8)


def test_the_help_stands_in_the_place_of_the_rows_with_all_that_was_not_seen() -> None:
    lacks = tuple(f"gap {number} " + "x" * 80 for number in range(5))
    lines = show(see(FRONT, lacks=lacks), State(helping=True), Size(40, 60)).splitlines()
    help_at = lines.index("Up Down PgUp PgDn Home End   scroll")
    assert lines[-1].startswith("rows 1-1 of 1 ")
    assert [line for line in lines[help_at:] if line.startswith("gap ")] == [f"gap {number}" for number in range(5)]


def test_what_was_not_seen_leaves_two_thirds_of_the_screen_to_the_rows() -> None:
    lacks = tuple(f"gap {number}" for number in range(9))
    lines = show(see(FRONT, lacks=lacks), size=Size(12, 100)).splitlines()
    assert lines[1:5] == ["gap 0", "gap 1", "... 7 lines more: h", lines[4]]
    assert lines[4].startswith("NETNS ")


def test_a_filter_is_typed_in_the_last_line_below_what_is_wrong_with_it() -> None:
    state = State(prompt=Prompt("sport = :漢8", 10, "expected a port from 0 to 65535 or the name of a service"))
    frame = frame_of(see(FRONT), state, Size(9, 40))
    assert [text_of(line) for line in frame.lines[-3:]] == [
        "expected a port from 0 to 65535 or the",
        "name of a service",
        "/sport = :漢8",
    ]
    assert (frame.cursor, frame.shown.page) == ((8, 12), 2)


def test_of_a_filter_that_is_wider_than_the_screen_the_cursor_is_always_there() -> None:
    text = "sport = :80 or container = 漢漢漢 or dport = :443"
    for cursor in range(len(text) + 1):
        frame = frame_of(see(FRONT), State(prompt=Prompt(text, cursor)), Size(5, 20))
        assert frame.cursor is not None
        before, line = text[:cursor], text_of(frame.lines[-1])
        assert line[:1] == "/" if cursor < 10 else before[-1] in line
        assert frame.cursor[1] < 20


def test_of_a_wide_character_no_half_is_shown() -> None:
    seen = see(listener(80, process(10, "漢漢漢漢")))
    frame = frame_of(seen, size=Size(6, 5), output=OutputOptions(columns=("command",)))
    assert [text_of(line) for line in frame.lines[2:4]] == ["COMMA", "漢漢"]


def list_states() -> Iterator[State]:
    prompt = Prompt("container = 漢漢漢", 12, "expected something else than that")
    for wide, first in product((False, True), (0, 40, 9999)):
        yield State(Look(wide=wide), first, first)
    yield State(helping=True)
    yield State(prompt=prompt)


@pytest.fixture(scope="module")
def crowd() -> Snapshot:
    return attribute(crowded())


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 7, 25])
@pytest.mark.parametrize("columns", [1, 2, 3, 9, 33, 80, 300])
def test_whatever_the_size_nothing_stands_beyond_the_screen_or_in_another_cell(
    crowd: Snapshot, lines: int, columns: int
) -> None:
    size = Size(lines, columns)
    seen = add_pass(None, crowd, crowd, LACKS * 4)
    for state in list_states():
        frame = frame_of(seen, state, size)
        assert len(frame.lines) == lines
        for line in frame.lines:
            ends = [(span.column, span.column + display_width(span.text)) for span in line]
            assert all(end <= columns for _, end in ends)
            assert all(end <= start for (_, end), (start, _) in pairwise(ends))
        assert frame.cursor is None or (frame.cursor[0] < lines and frame.cursor[1] < columns)


def test_the_formats_of_the_table_are_all_that_it_takes() -> None:
    output = OutputOptions(format=OutputFormat.WIDE, columns=("pid", "command"))
    assert text_of(frame_of(see(FRONT), output=output).lines[2]) == "10   nginx: w\\x1b[31m"
