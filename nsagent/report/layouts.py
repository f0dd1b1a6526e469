"""Which rows and columns an answer has, for formats that have columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nsagent.model.choices import OutputFormat, View
from nsagent.model.snapshot import Snapshot
from nsagent.report.options import OutputOptions

if TYPE_CHECKING:
    from nsagent.report.context import Context
    from nsagent.report.counts import Counts
    from nsagent.report.layout import Column, Group, Layout


class Answer(NamedTuple):
    """What is to be printed, and how."""

    snapshot: Snapshot
    view: View
    options: OutputOptions
    whole: Snapshot | None
    """What the snapshot was selected from, None for itself."""
    groups: "Sequence[Group]" = ()
    """Those of the rows, where they are grouped."""


class Table(NamedTuple):
    """Rows in their order with what is shown of each; `groups` add up to all of them, or there is none."""

    rows: Sequence[Any]
    columns: "Sequence[Column[Any]]"
    context: "Context"
    groups: "Sequence[Group]"


def list_columns(view: View, counted_by: Sequence[str] = ()) -> "Sequence[Column[Any]]":
    """Every column of a view; raises UsageError for a name in `counted_by` that is none of sockets."""
    if view is View.TOP:
        from nsagent.report.counts import count_columns

        return count_columns(counted_by)
    if view is View.CHANGES:
        from nsagent.report.changes_columns import CHANGE_COLUMNS

        return CHANGE_COLUMNS
    if view is View.EVENTS:
        from nsagent.report.events_columns import EVENT_COLUMNS

        return EVENT_COLUMNS
    return _LAYOUTS[view]().columns


def arrange(answer: Answer) -> Answer:
    """The rows in the order asked for, and those of a group together."""
    snapshot, view, options, *_ = answer
    names = options.sort_by or options.group_by
    if not names or view is View.TOP:
        return answer
    from nsagent.report.layout import group_rows, pick_columns, sort_snapshot

    layout = _LAYOUTS[view]()
    snapshot = sort_snapshot(snapshot, layout, names)
    if not options.group_by:
        return answer._replace(snapshot=snapshot)
    columns = pick_columns(layout.columns, options.group_by)
    rows, groups = group_rows(layout.rows(snapshot), columns, layout.context(snapshot))
    return answer._replace(snapshot=layout.with_rows(snapshot, rows), groups=groups)


def lay_out(answer: Answer) -> Table:
    """The table of an answer whose rows are in order; raises UsageError for a name that is no column."""
    from nsagent.report.layout import pick_columns

    snapshot, view, options, *_ = answer
    if view is View.TOP:
        counts, columns = count(answer), list_columns(view, options.group_by)
        picked = columns if options.columns is None else pick_columns(columns, options.columns)
        return Table(counts.rows, picked, counts.context, ())
    layout = _LAYOUTS[view]()
    usual = layout.wide if options.format is OutputFormat.WIDE else layout.usual
    picked = pick_columns(layout.columns, usual(snapshot) if options.columns is None else options.columns)
    return Table(layout.rows(snapshot), picked, layout.context(snapshot), answer.groups)


def count(answer: Answer) -> "Counts":
    """The counts of view `top`; raises UsageError for a name that is no column."""
    from nsagent.report.counts import count_sockets

    options = answer.options
    return count_sockets(answer.snapshot, options.group_by, options.sort_by, options.limit)


def _load_sockets() -> "Layout[Any]":
    from nsagent.report.columns import SOCKETS

    return SOCKETS


def _load_netns() -> "Layout[Any]":
    from nsagent.report.netns_table import NETNS

    return NETNS


def _load_containers() -> "Layout[Any]":
    from nsagent.report.containers_table import CONTAINERS

    return CONTAINERS


_LAYOUTS: Final[Mapping[View, "Callable[[], Layout[Any]]"]] = {
    View.SOCKETS: _load_sockets,
    View.LISTENERS: _load_sockets,
    View.CONNECTIONS: _load_sockets,
    View.NETNS: _load_netns,
    View.CONTAINERS: _load_containers,
}
"""The views whose rows stand in a snapshot as they are."""
