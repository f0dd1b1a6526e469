"""The Grafana dashboard of nsagent: panels and what they ask. `make dashboard` writes it to manifests/dashboard.json.

Source: grafana.com/docs, "Dashboard JSON model", of schema version 39, which Grafana 10 and later take.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

PLACE: Final = Path(__file__).parents[2] / "manifests" / "dashboard.json"
WIDTH, HEIGHT = 24, 8
"""Units of the grid that a row of panels has, and that a panel is high."""

SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
OF_AGENT: Final = 'instance=~"$instance"'
OF_PLACE: Final = f'{OF_AGENT}, namespace=~"$namespace", pod=~"$pod"'


class Panel(NamedTuple):
    """One picture."""

    title: str
    queries: Sequence[tuple[str, str]]
    """What it asks, each with what a line is called by its labels."""
    unit: str = "short"
    """In Grafana's words."""
    kind: str = "timeseries"
    told: str = ""
    """What somebody who looks at it may want to know besides."""


def of_agent(series: str) -> str:
    """A series of the agents that were chosen."""
    return f"{series}{{{OF_AGENT}}}"


def of_place(series: str, more: str = "") -> str:
    """A series of the namespaces and pods that were chosen, too."""
    return f"{series}{{{OF_PLACE}{more}}}"


def sum_by(labels: str, vector: str) -> str:
    return f"sum by ({labels}) ({vector})"


def rate(series: str) -> str:
    return f"rate({of_agent(series)}[$__rate_interval])"


def increase(series: str) -> str:
    return f"increase({of_agent(series)}[$__rate_interval])"


BY_CONTAINER: Final = "{{namespace}}/{{pod}} {{container}}"
LISTENER: Final = "namespace, pod, container, protocol, address, port"
FULL: Final = f"{of_place('nsagent_accept_queue')} / ({of_place('nsagent_accept_queue_limit')} > 0)"
CLOSE_WAIT: Final = sum_by("namespace, pod, container", of_place("nsagent_sockets", ', state="close_wait"'))
AGE: Final = f"time() - {of_agent('nsagent_scan_last_success_timestamp_seconds')}"
REPORT_AGE: Final = f"time() - {of_agent('nsagent_report_last_success_timestamp_seconds')}"
DURATION: Final = f"{rate('nsagent_scan_duration_seconds_sum')} / {rate('nsagent_scan_duration_seconds_count')}"

AGENTS: Final = (
    Panel("Agents that answer", [("sum(nsagent_build_info)", "")], kind="stat"),
    Panel("Age of the last pass", [(AGE, "{{instance}}")], "s"),
    Panel("Passes that saw everything", [(f"avg({of_agent('nsagent_scan_complete')})", "")], "percentunit", "stat"),
    Panel("Config not loaded", [("sum(nsagent_config_last_reload_successful == bool 0)", "")], kind="stat"),
)
SOCKETS: Final = (
    Panel(
        "By protocol and state", [(sum_by("protocol, state", of_place("nsagent_sockets")), "{{protocol}} {{state}}")]
    ),
    Panel(
        "Connections by direction and peer",
        [(sum_by("direction, peer_kind", of_place("nsagent_connections")), "{{direction}} {{peer_kind}}")],
    ),
    Panel(
        "Pods with the most",
        [(f"topk(10, {sum_by('namespace, pod', of_place('nsagent_sockets'))})", "{{namespace}}/{{pod}}")],
        told="What is outside of pods has neither.",
    ),
    Panel(
        "CLOSE_WAIT by container",
        [(f"topk(10, {CLOSE_WAIT})", BY_CONTAINER)],
        told="The peer has closed, the program has not: a line that only rises is a leak.",
    ),
)
QUEUES: Final = (
    Panel(
        "Accept queues: how full",
        [(f"topk(10, {FULL})", BY_CONTAINER)],
        "percentunit",
        told="All listeners of a container together. What comes to a full one is dropped by the kernel.",
    ),
    Panel("Bytes in queues", [(sum_by("queue", of_place("nsagent_socket_queue_bytes")), "{{queue}}")], "bytes"),
    Panel("Held by no process", [(sum_by("verdict", of_agent("nsagent_ownerless_sockets")), "{{verdict}}")]),
    Panel("Listeners", [(sum_by(LISTENER, of_place("nsagent_listeners_info")), "")], kind="table"),
)
SEEN: Final = (
    Panel("What could not be read", [(sum_by("stage, reason", of_agent("nsagent_gaps")), "{{stage}} {{reason}}")]),
    Panel("Processes", [(sum_by("access", of_agent("nsagent_processes")), "{{access}}")]),
    Panel("Network namespaces", [(of_agent("nsagent_netns"), "{{instance}}")]),
    Panel("Runtimes that tell names", [(f"min by (runtime) ({of_agent('nsagent_runtime_up')})", "{{runtime}}")]),
)
EVENTS: Final = (
    Panel(
        "Processes",
        [
            (sum_by("event", rate("nsagent_process_events_total")), "{{event}}"),
            (f"sum({rate('nsagent_short_lived_processes_total')})", "between two passes"),
        ],
    ),
    Panel(
        "Sockets",
        [
            (sum_by("event", rate("nsagent_socket_events_total")), "{{event}}"),
            (f"sum({rate('nsagent_short_lived_sockets_total')})", "in no pass"),
        ],
        told="What is in no pass shows only where a report of events is made.",
    ),
    Panel("Events lost", [(sum_by("of", increase("nsagent_events_lost_total")), "{{of}}")]),
)
REPORTS: Final = (
    Panel("Age of each", [(REPORT_AGE, "{{instance}} {{report}}")], "s"),
    Panel(
        "Failures",
        [
            (sum_by("report", increase("nsagent_report_failures_total")), "{{report}} not made"),
            (sum_by("report, output", increase("nsagent_output_failures_total")), "{{report}} not taken by {{output}}"),
        ],
    ),
    Panel("Waiting on disk", [(sum_by("report", of_agent("nsagent_output_spooled")), "{{report}}")]),
    Panel(
        "Lost",
        [
            (sum_by("report, output", increase("nsagent_output_dropped_total")), "{{report}} {{output}}"),
            (f"sum({increase('nsagent_series_dropped_total')})", "series of metrics"),
        ],
    ),
)
TAKEN: Final = (
    Panel("Duration of passes, and of their stages", [(DURATION, "{{instance}} {{stage}}")], "s"),
    Panel("CPU", [(rate("process_cpu_seconds_total"), "{{instance}}")], "percentunit", told="Of one CPU."),
    Panel("Memory", [(of_agent("process_resident_memory_bytes"), "{{instance}}")], "bytes"),
    Panel(
        "Passes that failed or were skipped",
        [
            (increase("nsagent_scans_failed_total"), "{{instance}} failed"),
            (increase("nsagent_scans_skipped_total"), "{{instance}} skipped"),
        ],
    ),
)
ROWS: Final[Sequence[tuple[str, Sequence[Panel]]]] = (
    ("Agents", AGENTS),
    ("Sockets", SOCKETS),
    ("Queues", QUEUES),
    ("What is seen", SEEN),
    ("Events", EVENTS),
    ("Reports", REPORTS),
    ("What it takes", TAKEN),
)

VARIABLES: Final = (
    ("instance", "nsagent_build_info", "Agent"),
    ("namespace", f"nsagent_sockets{{{OF_AGENT}}}", "Namespace"),
    ("pod", f'nsagent_sockets{{{OF_AGENT}, namespace=~"$namespace"}}', "Pod"),
)
"""Each variable is a label of a series, and has a name."""


def make_dashboard() -> dict[str, Any]:
    """The document that Grafana imports."""
    return {
        "uid": "nsagent",
        "title": "nsagent: sockets by node, pod and container",
        "tags": ["nsagent", "network"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [*_list_variables()]},
        "panels": [*_list_panels()],
    }


def _list_variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    for name, series, label in VARIABLES:
        yield {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": f"label_values({series}, {name})", "refId": name},
            "refresh": 2,  # When the time range changes.
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        }


def _list_panels() -> Iterator[dict[str, Any]]:
    number = 1
    for row, (title, panels) in enumerate(ROWS):
        top = row * (HEIGHT + 1)
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": _at(0, top, 1)}
        for column, panel in enumerate(panels):
            yield _make_panel(panel, number + 1 + column, _at(column * WIDTH // len(panels), top + 1, len(panels)))
        number += 1 + len(panels)


def _at(left: int, top: int, of: int) -> dict[str, int]:
    """The place of a panel that shares its row with so many; a row alone is one unit high."""
    return {"x": left, "y": top, "w": WIDTH // of, "h": HEIGHT if of > 1 else 1}


def _make_panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    is_now = panel.kind != "timeseries"
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": SOURCE,
            "expr": query,
            "legendFormat": legend,
            "instant": is_now,
            "range": not is_now,
            "format": "table" if panel.kind == "table" else "time_series",
        }
        for index, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.told,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def render_dashboard() -> str:
    """The text of manifests/dashboard.json."""
    return f"{json.dumps(make_dashboard(), indent=1)}\n"


if __name__ == "__main__":
    PLACE.write_text(render_dashboard(), encoding="utf-8")
