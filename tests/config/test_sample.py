"""The config that one begins with is the example that ships, and both are right."""

import re
from pathlib import Path

from nsagent.agent.config_file import ConfigFile, Identity, load_config
from nsagent.config.model import FileOutput, StdoutOutput
from nsagent.config.sample import SAMPLE

EXAMPLE = Path(__file__).parent.parent.parent / "manifests" / "config.yaml"


def test_the_sample_is_the_example() -> None:
    assert EXAMPLE.read_text() == SAMPLE


def test_the_example_has_six_reports_that_write_where_the_agent_may() -> None:
    config = load_config(ConfigFile("sample", SAMPLE.encode(), Identity(0, 0, 0, 0, "")), {})
    assert [report.name for report in config.reports] == [
        "new-listeners",
        "connections-by-pod",
        "accept-queues",
        "close-wait-leaks",
        "without-owner",
        "who-talks-to-port",
    ]
    for output in (output for report in config.reports for output in report.outputs):
        assert isinstance(output, StdoutOutput) or (
            isinstance(output, FileOutput) and output.path.startswith("/var/lib/nsagent/")
        )


def test_what_is_commented_out_in_the_example_is_right_too() -> None:
    """A line that is one of YAML begins with `# http` or with `#   `, and belongs to the last report."""
    http = re.search(r"^# (http: .*)$", SAMPLE, re.MULTILINE)
    outputs = re.findall(r"^#(   .*)$", SAMPLE, re.MULTILINE)
    assert http is not None
    last = "      - {type: stdout}\n"
    text = SAMPLE.replace(last, last + "".join(f"   {line}\n" for line in outputs)) + http[1] + "\n"
    config = load_config(ConfigFile("sample", text.encode(), Identity(0, 0, 0, 0, "")), {})
    assert config.http is not None
    assert [output.type for output in config.reports[-1].outputs] == ["stdout", "textfile", "http"]
