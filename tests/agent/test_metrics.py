"""/metrics as Prometheus reads it: by its own parser and its rules for names, whatever labels say; made once a pass."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from nsagent.agent.board import Board
from nsagent.agent.metrics import MOST_SERIES, Metrics
from nsagent.model.ids import ContainerId
from nsagent.model.snapshot import Snapshot
from nsagent.report.prom import make_families
from nsagent.scan.attribute import attribute
from tests.agent.boards import make_board, make_pass_status, make_status, recorded_facts
from tests.agent.test_board import Clock
from tests.kernel.rows import FIXTURES

HOSTILE = {
    'a"} x 1\n': 'a"} x 1\\x0a',
    "\\": "\\",
    "\\n": "\\n",
    '"': '"',
    "\n# HELP x": "\\x0a# HELP x",
    "{}": "{}",
    "\u202e": "\\xe2\\x80\\xae",
    "\udcff": "\\xff",
    "ü": "ü",
    "}1 2\r\n": "}1 2\\x0d\\x0a",
}
"""Names of containers, and the labels that they are."""

NAMES = MOST_SERIES + 1000
"""Of containers at once: more than there are series."""


def parse(text: bytes) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def sample(families: dict[str, Metric], family: str, **labels: str) -> float:
    (value,) = [each.value for each in families[family].samples if each.labels == labels]
    return value


def scrape(board: Board, metrics: Metrics | None = None) -> dict[str, Metric]:
    return parse((metrics or Metrics(make_families, clock=Clock())).scrape(board).text)


def publish_names(board: Board, names: Sequence[str]) -> None:
    """A pass with as many containers as names, each with one socket."""
    last = board.last_pass
    assert last is not None
    container, socket = last.snapshot.containers[0], last.snapshot.sockets[0]
    containers = [container._replace(id=ContainerId(f"{at:064x}"), name=name) for at, name in enumerate(names)]
    sockets = tuple(socket._replace(container_id=each.id, pod=None) for each in containers)
    snapshot = last.snapshot._replace(containers=tuple(containers), sockets=sockets)
    board.publish_pass(snapshot, last.facts, make_pass_status(last.status.number + 1))


def test_the_agent_tells_how_it_fares() -> None:
    clock = Clock(5.0)
    metrics = Metrics(make_families, clock=clock)
    board = make_board(clock, on_pass=metrics.observe_pass)
    families = scrape(board, metrics)
    assert sample(families, "nsagent_build_info", version="1.2.3") == 1
    assert [sample(families, f"nsagent_scans{each}") for each in ("", "_failed", "_skipped")] == [9, 1, 2]
    assert sample(families, "nsagent_config_last_reload_successful") == 1
    assert sample(families, "nsagent_runtime_up", runtime="docker") == 1
    assert sample(families, "nsagent_runtime_up", runtime="cri") == 0
    assert sample(families, "nsagent_report_last_success_timestamp_seconds", report="listeners") == 1767323040.0
    assert len(families["nsagent_report_last_success_timestamp_seconds"].samples) == 1
    assert sample(families, "nsagent_report_failures", report="never") == 3
    assert sample(families, "nsagent_report_skips", report="listeners") == 1
    assert sample(families, "nsagent_report_quarantined", report="never") == 1
    of_http = {"report": "listeners", "output": "http"}
    of_outputs = ("output_written", "output_failures", "output_dropped", "output_spooled")
    assert [sample(families, f"nsagent_{each}", **of_http) for each in of_outputs] == [3, 4, 1, 2]
    assert sample(families, "process_resident_memory_bytes") > 1 << 20
    assert sample(families, "process_open_fds") > 0
    assert sample(families, "nsagent_scan_complete") == 1


def test_the_durations_of_passes_are_counted_by_buckets() -> None:
    metrics = Metrics(make_families, clock=Clock())
    board = Board(30.0, clock=Clock(), on_pass=metrics.observe_pass)
    facts = recorded_facts()
    stages = {"walk": 0.125, "names": 0.25}
    for took in (0.05, 0.3, 4000.0):
        board.publish_pass(attribute(facts), facts, make_pass_status(duration_seconds=took, stages=stages))
    family = scrape(board, metrics)["nsagent_scan_duration_seconds"]
    whole = [each for each in family.samples if each.labels["stage"] == "all"]
    counts = {each.labels["le"]: each.value for each in whole if each.name.endswith("_bucket")}
    assert family.type == "histogram"
    assert (counts["0.05"], counts["0.25"], counts["0.5"], counts["300.0"], counts["+Inf"]) == (1, 1, 2, 2, 3)
    assert [each.value for each in whole if each.name.endswith("_sum")] == [4000.35]
    sums = {each.labels["stage"]: each.value for each in family.samples if each.name.endswith("_sum")}
    assert sums == {"all": 4000.35, "walk": 0.375, "names": 0.75}


def test_every_name_is_one_by_the_rules_of_prometheus_and_stands_once() -> None:
    """prometheus.io/docs/practices/naming: a prefix, base units, _total on counters alone."""
    text = Metrics(make_families, clock=Clock()).scrape(make_board()).text.decode()
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    for family in families:
        assert re.fullmatch(r"(nsagent|process)_[a-z0-9_]*[a-z0-9]", family.name)
        assert family.documentation.endswith(".")
        assert not re.search(r"_(ms|milliseconds|kb|mib|minutes|total)$", family.name)
        assert not family.samples or (family.type == "counter") is all(
            each.name.endswith("_total") for each in family.samples
        )
        series = [(each.name, *sorted(each.labels.items())) for each in family.samples]
        assert len(series) == len(set(series))


def test_every_metric_of_the_agent_stands_in_the_docs() -> None:
    page = (FIXTURES.parent / "docs" / "agent-http.md").read_text()
    text = Metrics(lambda *_: ([], 0), clock=Clock()).scrape(make_board()).text.decode()
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(names) > 20
    assert [name for name in names if not re.search(rf"`{name}[`{{]", page)] == []


def test_no_path_and_no_url_is_told_where_nobody_asks_for_a_token() -> None:
    text = Metrics(make_families, clock=Clock()).scrape(make_board()).text
    assert b"/var/lib" not in text
    assert b"://" not in text


def test_two_outputs_of_one_type_are_one_series() -> None:
    reports = make_status().reports
    twice = replace(reports[0], outputs=(reports[0].outputs[1],) * 2)
    board = make_board()
    board.publish_status(make_status(reports=(twice,)))
    assert sample(scrape(board), "nsagent_output_written", report="listeners", output="http") == 6


def test_runtimes_of_one_kind_are_up_if_all_are_and_no_path_is_told() -> None:
    board = make_board()
    runtimes = {"docker (unix:///run/docker.sock)": False, "docker (unix:///run/user/0/docker.sock)": True}
    board.publish_status(make_status(runtimes=(*runtimes.items(), ("kubelet logs (/var/log/pods)", True))))
    assert [each.labels | {"up": each.value} for each in scrape(board)["nsagent_runtime_up"].samples] == [
        {"runtime": "docker", "up": 0},
        {"runtime": "kubelet logs", "up": 1},
    ]


@pytest.mark.parametrize(("name", "label"), HOSTILE.items())
def test_a_hostile_label_is_one_label_and_no_more(name: str, label: str) -> None:
    board = make_board()
    publish_names(board, [name])
    (only,) = scrape(board)["nsagent_sockets"].samples
    assert (only.labels["container"], only.value) == (label, 1)


def test_very_many_names_are_so_many_series_and_the_rest_counted() -> None:
    """Of all metrics one is written, which takes its time for each series."""

    def make_one(snapshot: Snapshot, most_series: int) -> tuple[list[Metric], int]:
        families, dropped = make_families(snapshot, most_series)
        return [each for each in families if each.name == "nsagent_sockets"], dropped

    board = make_board()
    publish_names(board, [f"web-{number}" for number in range(NAMES)])
    series, dropped = read_sockets(Metrics(make_one, clock=Clock()).scrape(board).text)
    assert len(series) == MOST_SERIES + 1
    assert [value for labels, value in series if 'container="other"' in labels] == [NAMES - MOST_SERIES]
    assert dropped >= NAMES - MOST_SERIES


def test_what_is_beyond_the_limit_is_counted_with_each_pass() -> None:
    board = make_board()
    metrics = Metrics(make_families, clock=Clock(), most_series=10)
    publish_names(board, [f"web-{number}" for number in range(30)])
    series, dropped = read_sockets(metrics.scrape(board).text)
    assert (len(series), dropped >= 20) == (11, True)
    publish_names(board, [f"web-{number}" for number in range(30)])
    assert read_sockets(metrics.scrape(board).text) == (series, 2 * dropped)


def read_sockets(text: bytes) -> tuple[list[tuple[str, float]], float]:
    """The labels and values of nsagent_sockets, and nsagent_series_dropped_total, faster than the parser has them."""
    series = re.findall(rb"^nsagent_sockets\{(.*)\} (\S+)$", text, re.MULTILINE)
    (dropped,) = re.findall(rb"^nsagent_series_dropped_total (\S+)$", text, re.MULTILINE)
    return [(labels.decode(), float(value)) for labels, value in series], float(dropped)


def test_the_metrics_of_a_pass_are_made_once_and_the_text_once_a_second() -> None:
    made: list[Snapshot] = []

    def make(snapshot: Snapshot, most_series: int) -> tuple[list[Metric], int]:
        made.append(snapshot)
        return make_families(snapshot, most_series)

    clock = Clock()
    metrics = Metrics(make, clock=clock)
    board = make_board(clock)
    first = metrics.scrape(board).text
    clock.now = 0.9
    assert metrics.scrape(board).text is first
    clock.now = 1.1
    assert metrics.scrape(board).text is not first
    board.publish_status(make_status(passes=10))
    assert b"nsagent_scans_total 10.0" in metrics.scrape(board).text
    assert len(made) == 1
    assert board.last_pass is not None
    board.publish_pass(board.last_pass.snapshot, board.last_pass.facts, make_pass_status(2))
    metrics.scrape(board)
    assert len(made) == 2
