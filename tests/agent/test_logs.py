"""What the agent says on stderr: one line each, escaped, and the same thing once a minute."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from nsagent.agent.logs import logger, start_logging
now = [0.0]
start_logging(sys.argv[1], clock=lambda: now[0])
{body}
"""


def run(form: str, body: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body), form], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_a_line_says_how_bad_it_is() -> None:
    lines = run("line", "logger.info('started'); logger.error('config: %s', 'c.yaml:3:1: name: missing')")
    assert lines == ["nsagent: info: started", "nsagent: error: config: c.yaml:3:1: name: missing"]


def test_what_others_are_called_cannot_write_lines_of_its_own() -> None:
    assert run("line", r"logger.warning('report %s', 'a\nnsagent: info: b\x1b[2J')") == [
        r"nsagent: warning: report a\x0ansagent: info: b\x1b[2J"
    ]


def test_json_is_one_object_a_line() -> None:
    (line,) = run("json", r"logger.warning('pass: %s', 'EIO\n')")
    told = json.loads(line)
    assert told.pop("time").endswith("Z")
    assert told == {"level": "warning", "message": r"pass: EIO\x0a"}


@pytest.mark.parametrize("form", ["line", "json"])
def test_the_same_thing_is_said_once_a_minute_with_how_often_it_was_not(form: str) -> None:
    body = """
for second in range(125):
    now[0] = float(second)
    logger.warning("report %s: %s", "a", f"at {second}")
    if second in (3, 4):
        logger.warning("report %s: %s", "b", "failed")
"""
    lines = run(form, body)
    assert ["at 0" in line or "at 60" in line or "at 120" in line for line in lines] == [True, False, True, True]
    assert "59 more like this" in lines[2] if form == "line" else json.loads(lines[2])["held_back"] == 59


def test_what_is_just_news_is_always_said() -> None:
    assert len(run("line", "[logger.info('config loaded') for _ in range(3)]")) == 3


def test_very_many_different_things_take_no_memory_for_ever() -> None:
    body = """
from nsagent.agent.logs import Seldom
seldom = logger.handlers[0].filters[0]
logger.handlers[0].stream = open("/dev/null", "w")
for number in range(5000):
    logger.warning("report %s", f"r{number}")
assert len(seldom._said) <= 1024
"""
    assert run("line", body) == []
