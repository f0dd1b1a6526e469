"""manifests/dashboard.json: what its generator says, and every query asks for what there is."""

import json
from typing import Any, Final

import pytest

from tests.monitoring.dashboard import OF_PLACE, PLACE, VARIABLES, make_dashboard, render_dashboard
from tests.monitoring.queries import UP, find_strangers, list_names, list_series

OF_GRAFANA: Final = {"$__rate_interval": "5m"}
"""Variables of Grafana's own that stand where PromQL takes no text of ours."""

PANELS: Final = [panel for panel in make_dashboard()["panels"] if panel["type"] != "row"]
UNSHOWN: Final = {
    UP,
    "nsagent_process_events_engine",
    *("nsagent_scans_total", "nsagent_scan_duration_seconds_bucket", "nsagent_scan_cpu_seconds"),
    *("nsagent_report_runs_total", "nsagent_report_skips_total", "nsagent_report_quarantined"),
    *("nsagent_output_written_total", "process_max_fds", "process_open_fds", "process_start_time_seconds"),
    "process_virtual_memory_bytes",
}
"""Series that no panel shows."""


def list_queries(panel: dict[str, Any]) -> list[str]:
    queries = [target["expr"] for target in panel["targets"]]
    for variable, value in OF_GRAFANA.items():
        queries = [query.replace(variable, value) for query in queries]
    return queries


def test_the_file_is_what_the_generator_makes() -> None:
    """`make dashboard` writes it anew."""
    assert PLACE.read_text(encoding="utf-8") == render_dashboard()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_asks_for_what_there_is(panel: dict[str, Any]) -> None:
    series = list_series()
    assert [find_strangers(query, series) for query in list_queries(panel)] == [[] for _ in panel["targets"]]


def test_a_variable_is_a_label_of_its_series() -> None:
    assert [find_strangers(f"sum by ({name}) ({query})", list_series()) for name, query, _ in VARIABLES] == [[], [], []]


def test_what_is_chosen_by_namespace_and_pod_has_both() -> None:
    series = list_series()
    chosen = [
        name for panel in PANELS for query in list_queries(panel) for name in series if f"{name}{{{OF_PLACE}" in query
    ]
    assert chosen
    assert [name for name in chosen if not {"namespace", "pod"} <= series[name]] == []


def test_every_series_is_shown_or_known_to_be_left_out() -> None:
    shown = {name for panel in PANELS for query in list_queries(panel) for name in list_names(query)}
    assert set(list_series()) - shown == UNSHOWN


def test_panels_have_places_and_numbers_of_their_own() -> None:
    panels = json.loads(PLACE.read_text(encoding="utf-8"))["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert (len(taken), max(x for x, _ in taken)) == (len(set(taken)), 23)
