"""One function for each format, which imports what writes it when it is called: most cost a scan of a small host."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from nsagent.errors import MissingExtra
from nsagent.model.choices import OutputFormat, View
from nsagent.report.layouts import Answer, count, lay_out

if TYPE_CHECKING:
    from nsagent.report.summary import Summary

_WITHOUT_SOCKETS: Final = (View.NETNS, View.CONTAINERS)
"""Views whose documents have no list of sockets."""


def write_table(answer: Answer) -> Iterator[str]:
    """`-o table`, and `-o wide`, in which nothing is cut."""
    from nsagent.report.text_table import render_text_table

    rows, columns, context, groups = lay_out(answer)
    options = answer.options
    return render_text_table(
        rows,
        columns,
        context,
        headers=options.headers,
        width=None if options.format is OutputFormat.WIDE else options.width,
        colour=options.colour,
        groups=groups,
        chosen=options.columns is not None,
        tell_left_out=options.tell_left_out,
    )


def write_csv(answer: Answer) -> Iterator[str]:
    """`-o csv`."""
    from nsagent.report.csv import csv_records

    rows, columns, context, _ = lay_out(answer)
    return csv_records(rows, columns, context, headers=answer.options.headers)


def write_markdown(answer: Answer) -> Iterator[str]:
    """`-o markdown`."""
    from nsagent.report.markdown import render_markdown

    rows, columns, context, groups = lay_out(answer)
    return render_markdown(rows, columns, context, _summarize(answer), groups)


def write_html(answer: Answer) -> Iterator[str]:
    """`-o html`."""
    from nsagent.report.html import render_html

    rows, columns, context, groups = lay_out(answer)
    return render_html(rows, columns, context, _summarize(answer), groups)


def _summarize(answer: Answer) -> "Summary":
    from nsagent.report.summary import summarize, tell_title

    return summarize(answer.snapshot, tell_title(answer.view, answer.options.group_by))


def write_json(answer: Answer) -> Iterator[str]:
    """`-o json`."""
    from nsagent.report.json import render_json

    return render_json(answer.snapshot, sockets=answer.view not in _WITHOUT_SOCKETS, whole=answer.whole)


def write_jsonl(answer: Answer) -> Iterator[str]:
    """`-o jsonl`."""
    from nsagent.report.jsonl import render_jsonl

    return render_jsonl(answer.snapshot, sockets=answer.view not in _WITHOUT_SOCKETS, whole=answer.whole)


def write_yaml(answer: Answer) -> Iterator[str]:
    """`-o yaml`."""
    from nsagent.report.yaml import render_yaml

    return render_yaml(answer.snapshot, sockets=answer.view not in _WITHOUT_SOCKETS, whole=answer.whole)


def write_prom(answer: Answer) -> Iterator[str]:
    """`-o prom`; raises MissingExtra."""
    check_prom()
    from nsagent.report.prom import render_prom

    return render_prom(answer.snapshot, whole=answer.whole, of_containers=answer.view is View.CONTAINERS)


def check_prom() -> None:
    """Raises MissingExtra where Prometheus's client is not installed."""
    try:
        import nsagent.report.prom  # noqa: F401
    except ModuleNotFoundError as err:
        raise MissingExtra("prom", "prometheus_client", "agent") from err


def write_socket_names(answer: Answer) -> Iterator[str]:
    """`-o name` of sockets."""
    from nsagent.report.name import render_socket_names

    return render_socket_names(answer.snapshot)


def write_netns_names(answer: Answer) -> Iterator[str]:
    """`-o name` of netns."""
    from nsagent.report.name import render_netns_names

    return render_netns_names(answer.snapshot)


def write_container_names(answer: Answer) -> Iterator[str]:
    """`-o name` of containers."""
    from nsagent.report.name import render_container_names

    return render_container_names(answer.snapshot)


def write_counts_json(answer: Answer) -> Iterator[str]:
    """`-o json` of counts."""
    from nsagent.report.counts import render_counts_json

    return render_counts_json(answer.snapshot, count(answer))


def write_counts_jsonl(answer: Answer) -> Iterator[str]:
    """`-o jsonl` of counts."""
    from nsagent.report.counts import render_counts_jsonl

    return render_counts_jsonl(answer.snapshot, count(answer))


def write_counts_yaml(answer: Answer) -> Iterator[str]:
    """`-o yaml` of counts."""
    from nsagent.report.counts import render_counts_yaml

    return render_counts_yaml(answer.snapshot, count(answer))
