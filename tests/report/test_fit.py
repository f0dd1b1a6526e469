"""Tables on a terminal: no line wraps, what is needed most stays, and what has gone is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.model.choices import OutputFormat, View
from nsagent.model.container import Pod
from nsagent.model.ids import Pid
from nsagent.model.net import Endpoint
from nsagent.model.snapshot import Snapshot
from nsagent.report.columns import DEFAULT_COLUMNS, SOCKET_COLUMNS
from nsagent.report.display import display_width
from nsagent.report.fit import Shape, fit
from nsagent.report.layout import Column, text_column
from nsagent.report.options import OutputOptions
from nsagent.report.render import render_answer

LONGEST = "2001:db8:1111:2222:3333:4444:5555:6666"


def columns_of(*spares: int, free_text: bool = False) -> list[Column[str]]:
    """Columns called `a`, `b` and so on."""
    return [
        text_column(chr(ord("a") + place), lambda row, _: row, free_text=free_text, spare=spare)
        for place, spare in enumerate(spares)
    ]


def crowd(snapshot: Snapshot) -> Snapshot:
    """The sample with long names, and ends of IPv6 in full."""
    end = Endpoint(LONGEST, 65535, None)
    pod = Pod(None, "checkout-7d9c54b8f6-x2x9q", "shop-production")
    return snapshot._replace(
        sockets=tuple(
            each._replace(row=each.row._replace(local=end, remote=end), pod=pod, container_id=None)
            for each in snapshot.sockets
        ),
    )


def lines_of(snapshot: Snapshot, view: View, options: OutputOptions) -> list[str]:
    return "".join(render_answer(snapshot, view, options)).splitlines()


def test_what_fits_is_left_as_it_is() -> None:
    assert fit(columns_of(0, 1, 2), [3, 3, 3], [False, True, False], 13) == Shape((0, 1, 2), (3, 3, 3), (), ())


def test_a_column_without_a_value_goes_first_and_nobody_need_be_told() -> None:
    assert fit(columns_of(0, 0, 1), [3, 3, 3], [False, True, False], 12) == Shape((0, 2), (3, 3), (), ())


def test_what_is_needed_least_goes_next() -> None:
    assert fit(columns_of(0, 1, 3, 2), [9, 9, 9, 9], [False] * 4, 31) == Shape((0, 1, 3), (9, 9, 9), ("c",), ())


def test_a_narrow_column_takes_the_room_that_a_wider_one_has_not() -> None:
    assert fit(columns_of(0, 1, 2), [9, 9, 3], [False] * 3, 14) == Shape((0, 2), (9, 3), ("b",), ())


def test_names_are_cut_before_a_column_goes() -> None:
    assert fit(columns_of(1, 2, free_text=True), [30, 20], [False] * 2, 32) == Shape((0, 1), (15, 15), (), ())


def test_what_must_stay_is_cut_where_there_is_no_room_for_it_and_this_is_told() -> None:
    assert fit(columns_of(0, 0, 0), [30, 5, 30], [False] * 3, 49) == Shape((0, 1, 2), (20, 5, 20), (), ("a", "c"))


def test_what_was_asked_for_stays_and_is_whole() -> None:
    assert fit(columns_of(0, 9), [30, 30], [True, False], 42, chosen=True) == Shape((0, 1), (30, 30), (), ())


@given(
    widths=st.lists(st.integers(1, 200), min_size=len(DEFAULT_COLUMNS), max_size=len(DEFAULT_COLUMNS)),
    width=st.integers(60, 240),
)
def test_no_line_of_sockets_is_too_long_for_a_terminal(widths: list[int], width: int) -> None:
    columns = [column for name in DEFAULT_COLUMNS for column in SOCKET_COLUMNS if column.name == name]
    shape = fit(columns, widths, [False] * len(widths), width)
    assert sum(shape.widths) + 2 * (len(shape.widths) - 1) <= width
    assert len(shape.kept) + len(shape.left_out) == len(columns)


@pytest.mark.parametrize("view", [View.SOCKETS, View.NETNS, View.CONTAINERS])
@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_row_wraps_whatever_there_is_to_show(snapshot: Snapshot, view: View, width: int) -> None:
    left_out: list[str] = []
    options = OutputOptions(width=width, tell_left_out=lambda gone, _: left_out.extend(gone))
    lines = lines_of(crowd(snapshot), view, options)
    assert max(map(display_width, lines)) <= width
    assert bool(left_out) == (width < 100 or view is View.SOCKETS)


def test_addresses_states_and_pids_stay_and_it_is_told_which_are_cut(snapshot: Snapshot) -> None:
    told: list[object] = []
    options = OutputOptions(width=60, tell_left_out=lambda *names: told.extend(names))
    header, first, *_ = lines_of(crowd(snapshot), View.SOCKETS, options)
    assert told == [("pod", "proto", "command", "netns"), ("local", "remote")]
    assert header.split()[:4] == ["STATE", "LOCAL", "REMOTE", "PID"]
    assert first.split()[1].startswith("[2001:db8")
    assert first.split()[1].endswith(":65535")


def test_of_many_owners_one_is_named_whole_where_there_is_no_room_for_more(snapshot: Snapshot) -> None:
    first, *_ = snapshot.sockets
    owners = tuple(
        owner._replace(process=owner.process._replace(pid=Pid(4_000_000 + number)))
        for number, owner in enumerate(first.owners * 200)
    )
    many = snapshot._replace(sockets=(first._replace(owners=owners),))
    columns = ("local", "pid", "command")
    roomy, narrow = (
        lines_of(many, View.SOCKETS, OutputOptions(columns=columns, width=width, headers=False)) for width in (80, 40)
    )
    assert roomy == ["*:80  4000000,4000001,4000002 +397  nginx,nginx: wörker,nginx +397"]
    assert narrow == ["*:80  4000000 +399  nginx +399"]


def test_wide_has_everything_whole_on_any_terminal(snapshot: Snapshot) -> None:
    assert lines_of(crowd(snapshot), View.SOCKETS, OutputOptions(OutputFormat.WIDE, width=80)) == lines_of(
        crowd(snapshot), View.SOCKETS, OutputOptions(OutputFormat.WIDE)
    )
