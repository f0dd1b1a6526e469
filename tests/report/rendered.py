"""The tables of a snapshot by the one function that renders answers."""

from collections.abc import Iterator, Sequence
from functools import partial

from nsagent.model.choices import OutputFormat, View
from nsagent.model.snapshot import Snapshot
from nsagent.report.columns import SOCKETS
from nsagent.report.containers_table import CONTAINERS
from nsagent.report.layout import sort_snapshot
from nsagent.report.netns_table import NETNS
from nsagent.report.render import OutputOptions, render_answer


def _render(
    view: View,
    format_: OutputFormat,
    snapshot: Snapshot,
    *,
    columns: Sequence[str] | None = None,
    headers: bool = True,
    width: int | None = None,
    colour: bool = False,
    group_by: Sequence[str] = (),
) -> Iterator[str]:
    picked = None if columns is None else tuple(columns)
    options = OutputOptions(format_, picked, (), headers, colour, width, tuple(group_by))
    return render_answer(snapshot, view, options)


render_table = partial(_render, View.SOCKETS, OutputFormat.TABLE)
render_csv = partial(_render, View.SOCKETS, OutputFormat.CSV)
render_markdown = partial(_render, View.SOCKETS, OutputFormat.MARKDOWN)
render_html = partial(_render, View.SOCKETS, OutputFormat.HTML)
render_netns_table = partial(_render, View.NETNS, OutputFormat.TABLE)
render_netns_csv = partial(_render, View.NETNS, OutputFormat.CSV)
render_netns_markdown = partial(_render, View.NETNS, OutputFormat.MARKDOWN)
render_netns_html = partial(_render, View.NETNS, OutputFormat.HTML)
render_containers_table = partial(_render, View.CONTAINERS, OutputFormat.TABLE)
render_containers_csv = partial(_render, View.CONTAINERS, OutputFormat.CSV)
render_containers_markdown = partial(_render, View.CONTAINERS, OutputFormat.MARKDOWN)
render_containers_html = partial(_render, View.CONTAINERS, OutputFormat.HTML)


def sort_sockets(snapshot: Snapshot, names: Sequence[str]) -> Snapshot:
    return sort_snapshot(snapshot, SOCKETS, names)


def sort_netns(snapshot: Snapshot, names: Sequence[str]) -> Snapshot:
    return sort_snapshot(snapshot, NETNS, names)


def sort_containers(snapshot: Snapshot, names: Sequence[str]) -> Snapshot:
    return sort_snapshot(snapshot, CONTAINERS, names)
