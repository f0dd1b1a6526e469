"""What PromQL asks for, held against what nsagent says: names of series, and labels."""

from collections.abc import Iterator, Mapping
from typing import Final

import promql_parser
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import AggregateExpr, BinaryExpr, Expr, VectorSelector

from nsagent.agent.metrics import Metrics
from nsagent.report.prom import make_families
from tests.agent.boards import make_board

OF_PROMETHEUS: Final = frozenset(("instance", "job", "node"))
"""Labels of the target; `node` by the relabeling of manifests/chart, and of docs/install.md."""

UP: Final = "up"
"""The series that Prometheus makes of each target."""

_UNSEEN: Final = {"nsagent_gaps": {"stage", "reason"}, "nsagent_ownerless_sockets": {"verdict"}}
"""Metrics that have no series in the recorded pass, in which nothing was amiss."""


def list_series() -> dict[str, set[str]]:
    """The name of each series that an agent may have, with its labels: those of one that has been everywhere."""
    metrics = Metrics(make_families, clock=lambda: 0.0)
    text = metrics.scrape(make_board(on_pass=metrics.observe_pass)).text.decode()
    series: dict[str, set[str]] = {UP: set()}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
        if not family.samples:
            series[family.name] = _UNSEEN[family.name]
    return series


def find_strangers(query: str, series: Mapping[str, set[str]]) -> list[str]:
    """The series that there are not, and labels that none of the query has. Raises ValueError for what is no PromQL."""
    parts = [*_walk(query)]
    selectors = [each for each in parts if isinstance(each, VectorSelector)]
    strangers = [str(each.name) for each in selectors if each.name not in series]
    known = OF_PROMETHEUS.union(*(series.get(str(each.name), set()) for each in selectors))
    for selector in selectors:
        own = series.get(str(selector.name), set()) | OF_PROMETHEUS
        strangers += [f"{selector.name}.{each.name}" for each in selector.matchers.matchers if each.name not in own]
    return strangers + [label for each in parts for label in _list_labels(each) if label not in known]


def list_names(query: str) -> set[str]:
    """The series that a query asks for."""
    return {str(each.name) for each in _walk(query) if isinstance(each, VectorSelector)}


def _walk(query: str) -> Iterator[Expr]:
    found: list[Expr] = []
    promql_parser.walk(promql_parser.parse(query), found.append)
    yield from found


def _list_labels(expression: Expr) -> Iterator[str]:
    """Those by which an expression adds up or matches."""
    if isinstance(expression, AggregateExpr) and expression.modifier is not None:
        yield from expression.modifier.labels
    elif isinstance(expression, BinaryExpr) and expression.modifier is not None:
        if expression.modifier.matching is not None:
            yield from expression.modifier.matching.labels
        yield from expression.modifier.group_labels or ()
