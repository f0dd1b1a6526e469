"""Which options fit together, and how rows stand in groups."""

import json
from collections.abc import Iterator

import pytest

from nsagent.errors import UsageError
from nsagent.model.choices import OutputFormat, View
from nsagent.model.snapshot import Snapshot
from nsagent.report.render import OutputOptions, check_options, render_answer

TABULAR = (OutputFormat.TABLE, OutputFormat.WIDE, OutputFormat.CSV, OutputFormat.MARKDOWN, OutputFormat.HTML)
NOT_OF_COUNTS = (OutputFormat.NAME, OutputFormat.PROM)
NOT_OF_CHANGES = (OutputFormat.PROM, OutputFormat.NAME)
RENDERED = frozenset(View) - {View.CHANGES, View.EVENTS}

GROUPED = """
STATE        LOCAL

proto tcp, container badcafe00000
listen       [::]:22

proto tcp, container web
listen       *:80
established  10.0.0.2:80

proto tcp, container -
time_wait    10.0.0.2:80
syn_recv     [2001:db8::1]:443

proto udp, container -
unconn       0.0.0.0%eth0:68
"""


def options_of(view: View, format_: OutputFormat) -> OutputOptions:
    return OutputOptions(format_, group_by=("proto",) if view is View.TOP else ())


def list_cases() -> Iterator[tuple[View, OutputFormat]]:
    for view in sorted(RENDERED):
        for format_ in OutputFormat:
            if not (view is View.TOP and format_ in NOT_OF_COUNTS):
                yield view, format_


@pytest.mark.parametrize(("view", "format_"), list(list_cases()))
def test_what_is_not_refused_is_rendered(snapshot: Snapshot, view: View, format_: OutputFormat) -> None:
    options = options_of(view, format_)
    check_options(view, options)
    assert "".join(render_answer(snapshot, view, options)).endswith("\n")


@pytest.mark.parametrize("format_", NOT_OF_COUNTS)
def test_a_format_that_cannot_count_is_refused_with_those_that_can(snapshot: Snapshot, format_: OutputFormat) -> None:
    message = f"{format_} has nothing to say of counts; table, wide, csv, markdown, html, json, jsonl, yaml have"
    with pytest.raises(UsageError, match=f"^--output: {message}$"):
        check_options(View.TOP, options_of(View.TOP, format_))
    with pytest.raises(UsageError, match=message):
        render_answer(snapshot, View.TOP, options_of(View.TOP, format_))


@pytest.mark.parametrize("format_", NOT_OF_CHANGES)
def test_a_format_that_changes_have_not_is_refused(format_: OutputFormat) -> None:
    with pytest.raises(UsageError) as caught:
        check_options(View.CHANGES, OutputOptions(format_), of_config=True)
    known = "table, wide, csv, markdown, html, json, jsonl, yaml"
    assert str(caught.value) == f"format: {format_} has nothing to say of changes; {known} have"


@pytest.mark.parametrize(
    ("view", "options", "message"),
    [
        (View.TOP, OutputOptions(), "group_by: expected the columns that top counts by"),
        (View.SOCKETS, OutputOptions(limit=3), "limit: only top has one, sockets has not"),
        (
            View.SOCKETS,
            OutputOptions(OutputFormat.JSON, ("pid",)),
            "columns: json has none; they are of table, wide, csv, markdown, html",
        ),
        (
            View.CHANGES,
            OutputOptions(OutputFormat.JSON, ("pid",)),
            "columns: json has none; they are of table, wide, csv, markdown, html",
        ),
        (View.CHANGES, OutputOptions(group_by=("pid",)), "group_by: changes stand in no groups"),
    ],
)
def test_what_does_not_fit_is_told_in_the_words_of_a_config(view: View, options: OutputOptions, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_options(view, options, of_config=True)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("view", "options", "beginning"),
    [
        (View.LISTENERS, OutputOptions(columns=("prot",)), "columns: no column 'prot'; near names: proto"),
        (View.NETNS, OutputOptions(sort_by=("-pid",)), "sort_by: no column 'pid'"),
        (View.CONTAINERS, OutputOptions(group_by=("nam",)), "group_by: no column 'nam'; near names: name"),
        (View.CHANGES, OutputOptions(columns=("nonsense",)), "columns: no column 'nonsense'"),
        (View.TOP, OutputOptions(group_by=("pid", "prot")), "group_by: no column 'prot'"),
        (View.TOP, OutputOptions(columns=("proto",), group_by=("pid",)), "columns: no column 'proto'"),
        (View.TOP, OutputOptions(sort_by=("-proto",), group_by=("pid",)), "sort_by: no column 'proto'"),
    ],
)
def test_a_column_that_there_is_not_is_told_with_the_field_of_a_config(
    view: View, options: OutputOptions, beginning: str
) -> None:
    with pytest.raises(UsageError) as caught:
        check_options(view, options, of_config=True)
    assert str(caught.value).startswith(beginning)
    with pytest.raises(UsageError) as caught:
        check_options(view, options)
    assert str(caught.value).startswith(beginning.partition(": ")[2])


def test_rows_of_a_group_stand_together_below_its_heading(snapshot: Snapshot) -> None:
    options = OutputOptions(columns=("state", "local"), group_by=("proto", "container"))
    assert "\n" + "".join(render_answer(snapshot, View.SOCKETS, options)) == GROUPED


def test_a_heading_is_cut_with_its_table_and_bold_in_colour(snapshot: Snapshot) -> None:
    options = OutputOptions(columns=("uid",), width=12, colour=True, group_by=("container",))
    lines = "".join(render_answer(snapshot, View.SOCKETS, options)).split("\n")
    assert lines[2] == "\x1b[1mcontai…00000\x1b[0m"


@pytest.mark.parametrize("format_", [OutputFormat.JSON, OutputFormat.CSV, OutputFormat.NAME])
def test_other_formats_have_the_order_of_groups_only(snapshot: Snapshot, format_: OutputFormat) -> None:
    sockets = snapshot.sockets
    options = OutputOptions(format_, group_by=("proto", "container"))
    ordered = snapshot._replace(sockets=tuple(sockets[index] for index in (4, 0, 1, 2, 5, 3)))
    assert "".join(render_answer(snapshot, View.SOCKETS, options)) == "".join(
        render_answer(ordered, View.SOCKETS, options._replace(group_by=()))
    )


def test_groups_come_in_the_order_of_their_first_rows_where_rows_are_sorted(snapshot: Snapshot) -> None:
    options = OutputOptions(OutputFormat.JSON, sort_by=("-inode",), group_by=("netns",))
    rows = json.loads("".join(render_answer(snapshot, View.SOCKETS, options)))["sockets"]
    assert [row["inode"] for row in rows] == [8001, 8000, None, 7740, 7732, None]


def test_a_named_column_is_mentioned_wherever_it_is_named() -> None:
    options = OutputOptions(columns=("a",), sort_by=("-b",), group_by=("c",))
    assert [options.mentions(name) for name in "abcd"] == [True, True, True, False]
