"""The reports of the sample config, again and again, as the config of an agent that is measured."""

from typing import Any, Final

import yaml

from tests.bench.agent_run import PLACE
from tests.bench.sandbox import ROOT

SAMPLE: Final = ROOT / "manifests" / "config.yaml"
REPORT_EVERY: Final = "2s"
WATCHED_PORT: Final = "5432"


def make_reports(count: int) -> list[dict[str, Any]]:
    """That many: those of the sample in turns, all due together, each with a file of its own."""
    with SAMPLE.open(encoding="utf-8") as file:
        sample = yaml.safe_load(file)["reports"]
    return [_make_report(number, sample[number % len(sample)]) for number in range(count)]


def _make_report(number: int, sample: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in sample.items() if key not in ("every", "cron", "timezone", "jitter")}
    if "port" in kept["select"]:
        kept["select"] = {**kept["select"], "port": WATCHED_PORT}
    name = f"r{number}"
    output = {"type": "file", "path": str(PLACE / name)}
    return {**kept, "name": name, "every": REPORT_EVERY, "outputs": [output]}
