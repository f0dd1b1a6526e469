"""What a command answers, in the format asked for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from nsagent.model.choices import ColourWhen, OutputFormat
from nsagent.model.snapshot import Snapshot
from nsagent.query.filter import split_values

Render = Callable[..., Iterator[str]]


class About(Enum):
    """What the rows of the answer are."""

    SOCKETS = "sockets"
    NETNS = "netns"
    CONTAINERS = "containers"


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What the options of a command say about printing; `columns` and `sort_by` as typed."""

    format: OutputFormat = OutputFormat.TABLE
    columns: tuple[str, ...] | None = None
    sort_by: tuple[str, ...] = ()
    headers: bool = True
    colour: bool = False
    width: int | None = None


def make_output_options(
    format_: OutputFormat,
    columns: list[str] | None,
    sort_by: list[str] | None,
    *,
    no_headers: bool,
    colour: ColourWhen,
    environ: Mapping[str, str],
) -> OutputOptions:
    """The options as typed, with what the terminal allows."""
    from nsagent.cli.write import terminal_width, use_colour

    return OutputOptions(
        format=format_,
        columns=split_values(columns, "--columns") or None,
        sort_by=split_values(sort_by, "--sort-by"),
        headers=not no_headers,
        colour=use_colour(colour, environ),
        width=terminal_width(environ),
    )


def render_answer(
    snapshot: Snapshot, about: About, options: OutputOptions, *, whole: Snapshot | None = None
) -> Iterator[str]:
    """The text in chunks; `whole` is what the snapshot was selected from.

    Raises UsageError for a column that there is not.
    """
    if options.format is OutputFormat.JSON:
        from nsagent.report.json import render_json

        return render_json(_sort(snapshot, about, options), sockets=about is About.SOCKETS, whole=whole)
    if options.format is OutputFormat.JSONL:
        from nsagent.report.jsonl import render_jsonl

        return render_jsonl(_sort(snapshot, about, options), sockets=about is About.SOCKETS, whole=whole)
    if options.format is OutputFormat.NAME:
        return _render_names(_sort(snapshot, about, options), about)
    render_table, render_csv, usual, wide = _pick_tables(snapshot, about)
    columns = options.columns or (wide if options.format is OutputFormat.WIDE else usual)
    snapshot = _sort(snapshot, about, options)
    if options.format is OutputFormat.CSV:
        return render_csv(snapshot, columns=columns, headers=options.headers)
    return render_table(snapshot, columns=columns, headers=options.headers, width=options.width, colour=options.colour)


def _sort(snapshot: Snapshot, about: About, options: OutputOptions) -> Snapshot:
    if not options.sort_by:
        return snapshot
    if about is About.SOCKETS:
        from nsagent.report.columns import sort_sockets as sort
    elif about is About.NETNS:
        from nsagent.report.netns_table import sort_netns as sort
    else:
        from nsagent.report.containers_table import sort_containers as sort
    return sort(snapshot, options.sort_by)


def _render_names(snapshot: Snapshot, about: About) -> Iterator[str]:
    from nsagent.report import name

    render = {
        About.SOCKETS: name.render_socket_names,
        About.NETNS: name.render_netns_names,
        About.CONTAINERS: name.render_container_names,
    }[about]
    return render(snapshot)


def _pick_tables(snapshot: Snapshot, about: About) -> tuple[Render, Render, tuple[str, ...], tuple[str, ...]]:
    """How rows of this kind are laid out: as a table, as CSV, and their usual and wide columns."""
    if about is About.SOCKETS:
        from nsagent.report import columns, csv, table

        return table.render_table, csv.render_csv, columns.DEFAULT_COLUMNS, columns.wide_columns(snapshot)
    if about is About.NETNS:
        from nsagent.report import netns_table as netns

        return netns.render_netns_table, netns.render_netns_csv, netns.NETNS_DEFAULT, netns.NETNS_WIDE
    from nsagent.report import containers_table as containers

    return (
        containers.render_containers_table,
        containers.render_containers_csv,
        containers.CONTAINERS_DEFAULT,
        containers.CONTAINERS_WIDE,
    )
