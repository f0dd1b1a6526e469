"""The speed targets that a run of the benchmark can tell, and the ratios that are held against them. Pure.

A target is a ratio of medians of one run. None of them is asserted: a machine may be noisy.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

P1: Final[Mapping[str, float]] = {"node": 2.0, "large": 1.5, "flat": 2.5}
"""The longest that `nsagent scan` less `nsagent --version` may take, in times of the C bound, by state."""

P3_HELP: Final = 1.2
"""The longest that `nsagent --help` may take, in times of an empty typer program's --help."""

P3_IDLE_SCAN: Final = 2.0
"""The longest that `nsagent scan` may take on an idle host, in times of an empty typer program."""

P8_SECONDS: Final = 30.0
"""The longest that one `nsagent scan` of the state `million` may take."""

P8_PEAK_RSS_MIB: Final = 1024.0

P7: Final[Mapping[str, float]] = {"jsonl": 1.5, "table": 2.0, "markdown": 2.0, "html": 3.0}
"""The longest that rendering may take, in times of json.dumps of the same rows, by format."""

P7_SERIES_SECONDS: Final = 0.06
"""The longest that the text of 5,000 series of metrics may take."""


P4_SHARE_PERCENT: Final[Mapping[str, float]] = {"node": 4.0}
"""Of one core: the most that an agent may take that makes a pass every 10 s, by state."""

P4_RSS_MIB: Final[Mapping[str, float]] = {"node": 25.0, "large": 200.0}
"""The most memory that an agent may have beyond that of its imports, by state."""

P7_METRICS_MS: Final = 60.0
"""The longest that an answer to a scrape of 5,000 series may take."""

P10_FURTHER: Final = 1.1
P10_MORE_MS: Final = 150.0
"""The longest that a pass after the first may take where no engine answers, in times of one that asks for no names."""

P6_COMMANDS: Final[Mapping[str, float]] = {"connection": 0.8, "listener": 0.5}
"""The most that `nsagent who` may take on `node`, in times of `scan -o json`, by what it is asked for."""

P6_INSPECT: Final = 1.5
"""The most that `nsagent inspect` may take on `node`, in times of what reads that process and its netns alone."""

P6_ASKED_MS: Final = 5.0
"""What 99 of 100 requests at the agent's socket may take at most, on a connection that is open."""

P6_HIT: Final = 10.0
"""The longest that a resolver may take for what it knows, in times of a dict with the same keys."""

P6_SHARE_PERCENT: Final = 30.0
"""Of one core: the most that 10,000 lookups a second take on `node`, of which one in a hundred is not known."""

P11: Final[Mapping[str, float]] = {"node": 0.5}
"""The longest that a pass after the first may take where nothing changes, in times of the first, by state."""


_TOLD: Final[Mapping[str, tuple[str, str]]] = {
    "    ss -tunap in each netns / scan": ("ss", "scan"),
    "    scan --owners container / scan": ("scan-owners-container", "scan"),
}
"""Ratios of which README tells, each to the tools that it compares."""


class Verdict(NamedTuple):
    """A ratio (P4, P8 and the metrics of P7: a value) beside its target.

    Either may be None: not measured, or no target for this state.
    """

    what: str
    ratio: float | None
    target: float | None


def judge_scan(state: str, tools: Mapping[str, Mapping[str, Any]]) -> list[Verdict]:
    """P1, from the records of the tools `bound`, `scan` and `version`, P8 of the state `million`, what README tells."""
    scan, version, bound = (_wall(tools, name) for name in ("scan", "version", "bound"))
    ratio = None if scan is None or version is None or not bound else (scan - version) / bound
    verdicts = [
        Verdict("P1 (scan - version) / C bound", ratio, P1.get(state)),
        *(Verdict(what, _ratio(tools, *pair), None) for what, pair in _TOLD.items() if set(pair) <= set(tools)),
    ]
    if state == "million":
        peak = tools["scan"].get("peak_rss_bytes")
        verdicts += [
            Verdict("P8 scan, seconds", scan, P8_SECONDS),
            Verdict("P8 scan, peak RSS in MiB", None if peak is None else peak / (1 << 20), P8_PEAK_RSS_MIB),
        ]
    return verdicts


def judge_startup(tools: Mapping[str, Mapping[str, Any]]) -> list[Verdict]:
    """P3, from the records of the tools of an idle host."""
    return [
        Verdict("P3 nsagent --help / empty typer --help", _ratio(tools, "help", "typer-help"), P3_HELP),
        Verdict("P3 nsagent scan, idle / empty typer", _ratio(tools, "idle-scan", "typer"), P3_IDLE_SCAN),
    ]


def judge_lookup(figures: Mapping[str, Any]) -> list[Verdict]:
    """P6, and what is asked of the resolver, from the figures of tests.bench.lookup on `node`."""
    commands, resolver = figures["commands"], figures["resolver"]
    return [
        *(
            Verdict(f"P6 who, of a {what} / scan -o json, CPU", commands[what] / commands["scan"], target)
            for what, target in P6_COMMANDS.items()
        ),
        Verdict(
            "P6 inspect / what reads one process alone, CPU", commands["inspect"] / commands["one_process"], P6_INSPECT
        ),
        Verdict("P6 a request on an open connection, p99 in ms", figures["asked"]["p99"], P6_ASKED_MS),
        Verdict("resolver: a hit / a dict", resolver["hit_us"] / resolver["dict_us"], P6_HIT),
        Verdict("resolver: 10,000 a second, % of a core", resolver["share_of_cpu"] * 100, P6_SHARE_PERCENT),
    ]


def judge_agent(state: str, figures: Mapping[str, Any]) -> list[Verdict]:
    """P4, P10 and P11, from the figures of tests.bench.agent, and what reports and asking cost in terms of a pass."""
    passes, steady, reports, asked = (figures[name] for name in ("passes", "steady", "reports", "asked"))
    imports = steady["imports_rss_bytes"]
    beyond = {name: (steady[name] - imports) / (1 << 20) for name in ("rss_bytes", "asked_rss_bytes")}
    plain = reports["0"]
    return [
        Verdict("P11 further pass / first pass", passes["further"] / passes["first"], P11.get(state)),
        Verdict(
            "    further pass / a pass of a running agent that reads all anew", passes["further"] / passes["anew"], None
        ),
        Verdict("P10 further pass, no engine there / no names", passes["no_engine"] / passes["further"], P10_FURTHER),
        Verdict("P4  a pass every 10 s, % of one core", 100 * steady["share_of_cpu"], P4_SHARE_PERCENT.get(state)),
        Verdict("P4  RSS less imports, MiB", beyond["rss_bytes"], P4_RSS_MIB.get(state)),
        Verdict("    the same once it was asked for a capture", beyond["asked_rss_bytes"], None),
        *(
            Verdict(f"    a pass with {count} reports / a pass with none", seconds / plain, None)
            for count, seconds in reports.items()
            if count != "0"
        ),
        Verdict("    scan --agent / scan, CPU", asked["asked"]["cpu_seconds"] / asked["scan"]["cpu_seconds"], None),
        Verdict("    scan --agent / scan, wall", asked["asked"]["wall_seconds"] / asked["scan"]["wall_seconds"], None),
    ]


def judge_engine(seconds: Mapping[str, float]) -> list[Verdict]:
    """P10 of an engine with many containers, from the medians of engine.py."""
    more = 1000 * (seconds["scan_engine"] - seconds["scan_none"])
    return [
        Verdict("P10 scan that asks Docker, ms more than none", more, P10_MORE_MS),
        Verdict("    the same, of CPU", 1000 * (seconds["scan_engine_cpu"] - seconds["scan_none_cpu"]), None),
        Verdict("P10 further pass, Docker / no names", seconds["pass_engine"] / seconds["pass_none"], P10_FURTHER),
    ]


def judge_metrics(seconds: Mapping[str, float]) -> list[Verdict]:
    """P7 of the metrics, from the medians of agent_metrics.py."""
    written = seconds["first"] - seconds["counted"]
    return [
        Verdict("P7 metrics of 5,000 series, ms of CPU", 1000 * seconds["first"], P7_METRICS_MS),
        Verdict("   of which the text alone", 1000 * written, None),
    ]


def judge_rendering(seconds: Mapping[str, float]) -> list[Verdict]:
    """P7, from the medians of render.py; formats for people have the rows of the table."""
    like = {name: "json.dumps jsonl" if name == "jsonl" else "json.dumps table" for name in P7}
    ratios = [Verdict(f"P7 {name} / json.dumps", seconds[name] / seconds[like[name]], P7[name]) for name in P7]
    return [*ratios, Verdict("P7 5,000 series, seconds", seconds["5,000 series"], P7_SERIES_SECONDS)]


def _wall(tools: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    seconds: float | None = tools.get(name, {}).get("wall_seconds")
    return seconds


def _ratio(tools: Mapping[str, Mapping[str, Any]], first: str, second: str) -> float | None:
    above, below = _wall(tools, first), _wall(tools, second)
    return above / below if above is not None and below else None
