"""The answer in the format asked for. Each format is imported where it is printed: most cost a scan of a small host."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nsagent.errors import UsageError
from nsagent.model.choices import OutputFormat, View
from nsagent.model.snapshot import Snapshot

if TYPE_CHECKING:
    from nsagent.report.layout import Column

_TABULAR: Final = (OutputFormat.TABLE, OutputFormat.WIDE, OutputFormat.CSV)


class OutputOptions(NamedTuple):
    """How an answer is printed."""

    format: OutputFormat = OutputFormat.TABLE
    columns: tuple[str, ...] | None = None
    """Names of columns in their order, None for the usual ones of view and format."""
    sort_by: tuple[str, ...] = ()
    """Names of columns, the foremost first; `-NAME` descends."""
    headers: bool = True
    """Whether tables and CSV have a header line."""
    colour: bool = False
    """Whether tables have SGR sequences."""
    width: int | None = None
    """The character cells that a table is fitted into, None to shorten nothing."""

    def mentions(self, column: str) -> bool:
        """Whether a column is printed or sorted by, because it is named."""
        return column in (*(self.columns or ()), *_bare_names(self.sort_by))


def check_options(view: View, options: OutputOptions) -> None:
    """Raises UsageError for a column that the view does not have, and for columns of a format that has none."""
    if view is View.CHANGES:
        from nsagent.report.changes import check_changes_options

        return check_changes_options(options)
    if options.columns is not None and options.format not in _TABULAR:
        raise UsageError(f"--columns: {options.format} has none; they are of {', '.join(_TABULAR)}")
    names = [*(options.columns or ()), *_bare_names(options.sort_by)]
    if names:
        from nsagent.report.layout import pick_columns

        pick_columns(_load(view).columns, names)
    return None


def render_answer(
    snapshot: Snapshot, view: View, options: OutputOptions, *, whole: Snapshot | None = None
) -> Iterator[str]:
    """The text in chunks; `whole` is what the snapshot was selected from. Raises UsageError as check_options does."""
    if options.sort_by:
        snapshot = _load(view).sort(snapshot, options.sort_by)
    if options.format in _TABULAR:
        return _render_table(snapshot, view, options)
    if options.format is OutputFormat.NAME:
        from nsagent.report import name

        socket_names, netns_names = name.render_socket_names, name.render_netns_names
        names = {View.SOCKETS: socket_names, View.NETNS: netns_names, View.CONTAINERS: name.render_container_names}
        return names[view](snapshot)
    return _pick_document(options.format)(snapshot, sockets=view is View.SOCKETS, whole=whole)


def _bare_names(sort_by: Sequence[str]) -> list[str]:
    return [name.removeprefix("-") for name in sort_by]


class _Rows(NamedTuple):
    """How the rows of a view are laid out."""

    columns: "Sequence[Column[Any]]"
    usual: tuple[str, ...]
    wide: Callable[[Snapshot], tuple[str, ...]]
    table: Callable[..., Iterator[str]]
    csv: Callable[..., Iterator[str]]
    sort: Callable[[Snapshot, Sequence[str]], Snapshot]


def _load(view: View) -> _Rows:
    return {View.SOCKETS: _socket_rows, View.NETNS: _netns_rows, View.CONTAINERS: _container_rows}[view]()


def _socket_rows() -> _Rows:
    from nsagent.report.columns import DEFAULT_COLUMNS, SOCKET_COLUMNS, sort_sockets, wide_columns
    from nsagent.report.csv import render_csv
    from nsagent.report.table import render_table

    return _Rows(SOCKET_COLUMNS, DEFAULT_COLUMNS, wide_columns, render_table, render_csv, sort_sockets)


def _netns_rows() -> _Rows:
    from nsagent.report import netns_table as netns

    return _Rows(
        netns.NETNS_COLUMNS,
        netns.NETNS_DEFAULT,
        lambda _: netns.NETNS_WIDE,
        netns.render_netns_table,
        netns.render_netns_csv,
        netns.sort_netns,
    )


def _container_rows() -> _Rows:
    from nsagent.report import containers_table as containers

    return _Rows(
        containers.CONTAINER_COLUMNS,
        containers.CONTAINERS_DEFAULT,
        lambda _: containers.CONTAINERS_WIDE,
        containers.render_containers_table,
        containers.render_containers_csv,
        containers.sort_containers,
    )


def _render_table(snapshot: Snapshot, view: View, options: OutputOptions) -> Iterator[str]:
    rows = _load(view)
    columns = options.columns or (rows.wide(snapshot) if options.format is OutputFormat.WIDE else rows.usual)
    if options.format is OutputFormat.CSV:
        return rows.csv(snapshot, columns=columns, headers=options.headers)
    return rows.table(snapshot, columns=columns, headers=options.headers, width=options.width, colour=options.colour)


def _pick_document(format_: OutputFormat) -> Callable[..., Iterator[str]]:
    if format_ is OutputFormat.JSON:
        from nsagent.report.json import render_json

        return render_json
    if format_ is OutputFormat.JSONL:
        from nsagent.report.jsonl import render_jsonl

        return render_jsonl
    from nsagent.report.yaml import render_yaml

    return render_yaml
