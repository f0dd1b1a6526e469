"""manifests/alerts.yaml: real Prometheus takes the rules, they speak where they are to, and of what there is."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from nsagent.model.gap import Stage
from tests.live.capabilities import Capability, require
from tests.monitoring.promtool import ROOT, run_promtool
from tests.monitoring.queries import find_strangers, list_series

ALERTS: Final = ROOT / "manifests" / "alerts.yaml"
PAGE: Final = ROOT / "docs" / "install.md"
TESTS: Final = Path(__file__).with_name("alerts-test.yaml")


def read_spec() -> dict[str, Any]:
    """What Prometheus itself takes of the manifest."""
    manifest = yaml.safe_load(ALERTS.read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    spec: dict[str, Any] = manifest["spec"]
    return spec


def list_rules() -> list[dict[str, Any]]:
    return [rule for group in read_spec()["groups"] for rule in group["rules"]]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The rules, as promtool takes them, in a file of their own."""
    require(Capability.PROMTOOL)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(read_spec()))
    return tmp_path


def test_prometheus_takes_the_rules(directory: Path) -> None:
    done = run_promtool("check", "rules", "rules.yaml", directory=directory)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert f"{len(list_rules())} rules found" in done.stdout


def test_each_rule_speaks_where_it_is_to_and_nowhere_else(directory: Path) -> None:
    rules = {rule["alert"]: rule for rule in list_rules()}
    document = yaml.safe_load(TESTS.read_text())
    well, amiss = document["tests"]
    times = [f"{minutes}m" for minutes in range(15, 120, 15)]
    well["alert_rule_test"] = [
        {"eval_time": time, "alertname": name, "exp_alerts": []} for name in rules for time in times
    ]
    for expected in amiss["alert_rule_test"]:
        for alert in expected["exp_alerts"]:
            alert["exp_annotations"]["description"] = rules[expected["alertname"]]["annotations"]["description"]
    (directory / "tests.yaml").write_text(yaml.safe_dump(document))
    done = run_promtool("test", "rules", "tests.yaml", directory=directory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [expected["alertname"] for expected in amiss["alert_rule_test"]] == list(rules)


def test_prometheus_takes_the_scrapes_of_the_page(directory: Path) -> None:
    """But for how Kubernetes' pods are found: Debian's promtool is built without that."""
    (text,) = re.findall(r"^```yaml\n(scrape_configs:.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    config = yaml.safe_load(text) | {"rule_files": ["rules.yaml"]}
    for job in config["scrape_configs"]:
        job.pop("kubernetes_sd_configs", None)
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
    done = run_promtool("check", "config", "prometheus.yaml", directory=directory)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert [job["honor_labels"] for job in config["scrape_configs"]] == [True, True]


@pytest.mark.parametrize("rule", list_rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert find_strangers(rule["expr"], list_series()) == []
    assert rule["labels"]["severity"] in ("info", "warning")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert "$labels.instance" in rule["annotations"]["summary"]


def test_the_stages_that_a_rule_names_are_those_of_gaps() -> None:
    (rule,) = (rule for rule in list_rules() if rule["alert"] == "NsagentGapsGrow")
    named = re.findall(r"`(\w+)`", rule["annotations"]["description"])
    assert (len(named), set(named) - set(Stage)) == (3, set())


def test_a_series_a_matcher_and_a_label_that_there_are_not_are_found() -> None:
    query = 'sum by (instance, foo) (rate(nsagent_gaps{stage="a", bar="1"}[5m])) > 0 unless on (baz) nsagent_gap'
    assert sorted(find_strangers(query, list_series())) == ["baz", "foo", "nsagent_gap", "nsagent_gaps.bar"]
