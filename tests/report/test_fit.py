"""Tables on a terminal: no line wraps, what is needed most stays, and what has gone is told."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.model.choices import OutputFormat, View
from nsagent.model.container import Pod
from nsagent.model.net import Endpoint
from nsagent.model.snapshot import Snapshot
from nsagent.report.columns import DEFAULT_COLUMNS, SOCKET_COLUMNS
from nsagent.report.display import display_width
from nsagent.report.fit import fit
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
    return replace(
        snapshot,
        sockets=tuple(
            each._replace(row=each.row._replace(local=end, remote=end), pod=pod, container_id=None)
            for each in snapshot.sockets
        ),
    )


def lines_of(snapshot: Snapshot, view: View, options: OutputOptions) -> list[str]:
    return "".join(render_answer(snapshot, view, options)).splitlines()


def test_what_fits_is_left_as_it_is() -> None:
    assert fit(columns_of(0, 1, 2), [3, 3, 3], [False, True, False], 13) == ((0, 1, 2), (3, 3, 3), ())


def test_a_column_without_a_value_goes_first_and_nobody_need_be_told() -> None:
    assert fit(columns_of(0, 0, 1), [3, 3, 3], [False, True, False], 12) == ((0, 2), (3, 3), ())


def test_what_is_needed_least_goes_next() -> None:
    assert fit(columns_of(0, 1, 3, 2), [9, 9, 9, 9], [False] * 4, 31) == ((0, 1, 3), (9, 9, 9), ("c",))


def test_a_narrow_column_takes_the_room_that_a_wider_one_has_not() -> None:
    assert fit(columns_of(0, 1, 2), [9, 9, 3], [False] * 3, 14) == ((0, 2), (9, 3), ("b",))


def test_names_are_cut_before_a_column_goes() -> None:
    assert fit(columns_of(1, 2, free_text=True), [30, 20], [False] * 2, 32) == ((0, 1), (15, 15), ())


def test_what_must_stay_is_cut_where_there_is_no_room_for_it() -> None:
    assert fit(columns_of(0, 0), [30, 30], [False] * 2, 42) == ((0, 1), (20, 20), ())


def test_what_was_asked_for_stays_and_is_whole() -> None:
    assert fit(columns_of(0, 9), [30, 30], [True, False], 42, chosen=True) == ((0, 1), (30, 30), ())


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
    lines = lines_of(crowd(snapshot), view, OutputOptions(width=width, tell_left_out=left_out.extend))
    assert max(map(display_width, lines)) <= width
    assert bool(left_out) == (width < 100 or view is View.SOCKETS)


def test_addresses_states_and_pids_stay(snapshot: Snapshot) -> None:
    header, first, *_ = lines_of(crowd(snapshot), View.SOCKETS, OutputOptions(width=60))
    assert header.split()[:4] == ["STATE", "LOCAL", "REMOTE", "PID"]
    assert first.split()[1].startswith("[2001:db8")
    assert first.split()[1].endswith(":65535")


def test_wide_has_everything_whole_on_any_terminal(snapshot: Snapshot) -> None:
    assert lines_of(crowd(snapshot), View.SOCKETS, OutputOptions(OutputFormat.WIDE, width=80)) == lines_of(
        crowd(snapshot), View.SOCKETS, OutputOptions(OutputFormat.WIDE)
    )
