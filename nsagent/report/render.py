"""The answer in the format asked for: which formats there are of which view, and what fits together."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from nsagent.errors import UsageError
from nsagent.model.choices import OutputFormat, View
from nsagent.model.snapshot import Snapshot
from nsagent.report import writers
from nsagent.report.layouts import Answer, arrange, list_columns
from nsagent.report.options import OutputOptions, bare_names

__all__ = ["OutputOptions", "check_options", "has_format", "render_answer"]

Write = Callable[[Answer], Iterator[str]]


class OptionNames(NamedTuple):
    """What users call the options of an answer."""

    format: str
    columns: str
    sort_by: str
    group_by: str
    limit: str


_OF_COMMANDS: Final = OptionNames("--output", "--columns", "--sort-by", "--count-by", "--limit")
_OF_CONFIGS: Final = OptionNames("format", "columns", "sort_by", "group_by", "limit")

_WITH_COLUMNS: Final[Mapping[OutputFormat, Write]] = {
    OutputFormat.TABLE: writers.write_table,
    OutputFormat.WIDE: writers.write_table,
    OutputFormat.CSV: writers.write_csv,
    OutputFormat.MARKDOWN: writers.write_markdown,
    OutputFormat.HTML: writers.write_html,
}

_OF_SOCKETS: Final[Mapping[OutputFormat, Write]] = {
    **_WITH_COLUMNS,
    OutputFormat.JSON: writers.write_json,
    OutputFormat.JSONL: writers.write_jsonl,
    OutputFormat.YAML: writers.write_yaml,
    OutputFormat.NAME: writers.write_socket_names,
    OutputFormat.PROM: writers.write_prom,
}

_WRITERS: Final[Mapping[View, Mapping[OutputFormat, Write]]] = {
    View.SOCKETS: _OF_SOCKETS,
    View.LISTENERS: _OF_SOCKETS,
    View.CONNECTIONS: _OF_SOCKETS,
    View.NETNS: {**_OF_SOCKETS, OutputFormat.NAME: writers.write_netns_names},
    View.CONTAINERS: {**_OF_SOCKETS, OutputFormat.NAME: writers.write_container_names},
    View.TOP: {
        **_WITH_COLUMNS,
        OutputFormat.JSON: writers.write_counts_json,
        OutputFormat.JSONL: writers.write_counts_jsonl,
        OutputFormat.YAML: writers.write_counts_yaml,
    },
}

_OF_CHANGES: Final = (
    *_WITH_COLUMNS,
    OutputFormat.JSON,
    OutputFormat.JSONL,
    OutputFormat.YAML,
)
"""What report.changes and report.events write."""


def check_options(view: View, options: OutputOptions, *, of_config: bool = False) -> None:
    """Raises UsageError for what does not fit together, and MissingExtra for a format that cannot be written here.

    `of_config`: options go by the names that they have in a config, and each message begins with one.
    """
    names = _OF_CONFIGS if of_config else _OF_COMMANDS
    if view is View.TOP and not options.group_by:
        raise UsageError(f"{names.group_by}: expected the columns that {view} counts by")
    if view is not View.TOP and options.limit is not None:
        raise UsageError(f"{names.limit}: only {View.TOP} has one, {view} has not")
    _check_format(view, options.format, names)
    _check_columns(view, options, names, of_config=of_config)
    if options.format is OutputFormat.PROM:
        writers.check_prom()


def render_answer(
    snapshot: Snapshot, view: View, options: OutputOptions, *, whole: Snapshot | None = None
) -> Iterator[str]:
    """The text of any view but `changes` and `events`, in chunks; `whole` is what the snapshot was selected from.

    The snapshot has the rows of the view and no others (query.select.select_view). Raises what check_options does.
    """
    _check_format(view, options.format, _OF_COMMANDS)
    return _WRITERS[view][options.format](arrange(Answer(snapshot, view, options, whole)))


def has_format(view: View, format_: OutputFormat) -> bool:
    """Whether there is such a format of this view."""
    return format_ in _WRITERS.get(view, _OF_CHANGES)


def _check_format(view: View, format_: OutputFormat, names: OptionNames) -> None:
    if not has_format(view, format_):
        formats = tuple(_WRITERS.get(view, _OF_CHANGES))
        what = "counts" if view is View.TOP else view
        raise UsageError(f"{names.format}: {format_} has nothing to say of {what}; {', '.join(formats)} have")


def _check_columns(view: View, options: OutputOptions, names: OptionNames, *, of_config: bool) -> None:
    formats = [each for each in _WITH_COLUMNS if each in _WRITERS.get(view, _OF_CHANGES)]
    if options.columns is not None and options.format not in formats:
        raise UsageError(f"{names.columns}: {options.format} has none; they are of {', '.join(formats)}")
    if view in (View.CHANGES, View.EVENTS) and options.group_by:
        raise UsageError(f"{names.group_by}: {view} stand in no groups")
    for option, columns in (
        (names.group_by, options.group_by),
        (names.columns, options.columns or ()),
        (names.sort_by, bare_names(options.sort_by)),
    ):
        if not columns:
            continue
        from nsagent.report.layout import pick_columns

        try:
            known = View.SOCKETS if view is View.TOP and columns is options.group_by else view
            pick_columns(list_columns(known, options.group_by), columns)
        except UsageError as err:
            raise UsageError(f"{option}: {err}" if of_config else str(err)) from err
