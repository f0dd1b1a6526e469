"""README, CONTRIBUTING and docs/ are true: commands run, outputs shown are what they print, nothing is left out."""

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from nsagent.agent.history_rows import SCHEMA
from nsagent.config.load import load
from nsagent.config.schema import make_schema
from nsagent.errors import Reason
from nsagent.model.change import ChangeKind
from nsagent.model.facts import FoundBy, HeldBy
from nsagent.model.gap import Kind, Stage
from nsagent.model.net import Protocol, SocketState
from nsagent.model.snapshot import Attribution, Confidence, Flag, VerdictKind
from nsagent.report.changes_columns import CHANGE_COLUMNS
from nsagent.report.columns import SOCKET_COLUMNS
from nsagent.report.containers_table import CONTAINER_COLUMNS
from nsagent.report.layout import Column
from nsagent.report.netns_table import NETNS_COLUMNS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = (
    "scan",
    "netns",
    "containers",
    "inspect",
    "diff",
    "capture",
    "run",
    "history",
    "status",
    "doctor",
    "manifests",
    "report run",
    "report list",
    "config validate",
    "config schema",
    "config show",
    "config init",
)


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of every fenced block of that language."""
    return [
        (page.name, match[1])
        for page in PAGES
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    ]


def shell_lines() -> list[str]:
    return [line for _, text in blocks("sh") for line in text.splitlines() if line.strip()]


def run_line(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the docs; commands that say nothing else read the recorded host with Docker."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NSAGENT_FROM": "fixtures/captures/docker.json.gz",
    }
    return subprocess.run(
        shlex.split(line), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("line", [line for line in shell_lines() if not line.startswith("make ")])
def test_a_command_in_the_docs_runs_and_answers(line: str) -> None:
    done = run_line(line)
    assert done.returncode in ((0, 3) if "--strict" in line else (0,)), done.stderr
    assert done.stdout


@pytest.mark.parametrize("line", [line for line in shell_lines() if line.startswith("make ")])
def test_a_make_command_in_the_docs_is_a_target(line: str) -> None:
    assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("page", "text"), blocks("console"))
def test_an_output_in_the_docs_is_what_the_command_prints(page: str, text: str) -> None:
    prompt, _, shown = text.partition("\n")
    assert prompt.startswith("$ "), page
    assert run_line(prompt[2:]).stdout == shown


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_stands_in_the_docs(command: str) -> None:
    done = run_line(f"nsagent {command} --help")
    assert done.returncode == 0
    assert "--debug" in done.stdout
    assert any(f"nsagent {command}" in page.read_text() for page in PAGES)


def list_commands(command: str) -> list[str]:
    """The commands that the help of this one lists."""
    listed = run_line(f"{command} --help").stdout.partition("Commands:")[2]
    return re.findall(r"^  (\w+)", listed, re.MULTILINE)


def test_the_commands_are_those_that_help_lists() -> None:
    assert list_commands("nsagent") == list(dict.fromkeys(command.split()[0] for command in COMMANDS))
    for group in {command.split()[0] for command in COMMANDS if " " in command}:
        assert [f"{group} {each}" for each in list_commands(f"nsagent {group}")] == [
            command for command in COMMANDS if command.startswith(f"{group} ")
        ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_stands_in_the_docs(command: str) -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    options = set(re.findall(r"--[a-z-]+", run_line(f"nsagent {command} --help").stdout)) - {"--help"}
    assert [option for option in sorted(options) if f"`{option}" not in text] == []


def test_every_key_of_a_config_stands_in_the_docs() -> None:
    text = (ROOT / "docs" / "config.md").read_text()
    schema = make_schema()
    keys = {key for section in (schema, *schema["$defs"].values()) for key in section.get("properties", {})}
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_every_yaml_in_the_page_of_the_config_is_right() -> None:
    for _, text in (each for each in blocks("yaml") if each[0] == "config.md"):
        load(text.encode(), "config.md", {"POD_IP": "10.0.0.1", "PUSH_URL": "https://receiver.example/"})


def test_every_column_stands_in_the_docs() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    assert [column.name for column in SOCKET_COLUMNS if f"`{column.name}`" not in text] == []


@pytest.mark.parametrize("columns", [CONTAINER_COLUMNS, NETNS_COLUMNS], ids=["containers", "netns"])
def test_every_column_of_the_other_tables_stands_in_the_docs(columns: Sequence[Column[Any]]) -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    assert [column.name for column in columns if f"`{column.name}`" not in text] == []


def test_every_kind_and_column_of_changes_stands_in_the_docs() -> None:
    text = (ROOT / "docs" / "changes.md").read_text()
    names = [*ChangeKind, *(column.name for column in CHANGE_COLUMNS)]
    assert [str(name) for name in names if f"`{name}`" not in text] == []


def test_every_table_and_column_of_the_history_stands_in_the_docs() -> None:
    text = (ROOT / "docs" / "changes.md").read_text()
    with closing(sqlite3.connect(":memory:")) as database:
        for statement in SCHEMA:
            database.execute(statement)
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema")]
        columns = [row[1] for table in tables for row in database.execute(f"PRAGMA table_info({table})")]
    assert [name for name in (*tables, *columns) if f"`{name}`" not in text] == []


def list_keys(value: object) -> Iterator[str]:
    """Every key of a JSON value but those of labels, which are the users' own."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from list_keys(each) if key != "labels" else ()
    elif isinstance(value, list):
        for each in value:
            yield from list_keys(each)


def test_every_key_of_the_document_stands_in_the_docs() -> None:
    text = (ROOT / "docs" / "json.md").read_text()
    document = json.loads((ROOT / "tests" / "report" / "golden" / "document.json").read_text())
    assert [key for key in sorted({*list_keys(document)}) if f"`{key}`" not in text] == []


@pytest.mark.parametrize("names", [VerdictKind, Attribution, Confidence, Flag, FoundBy, HeldBy, Stage, Kind, Reason])
def test_every_name_that_a_row_or_a_gap_may_have_stands_in_the_docs(names: type[StrEnum]) -> None:
    text = (ROOT / "docs" / "json.md").read_text()
    assert [str(name) for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("kind", VerdictKind)
def test_every_verdict_is_explained(kind: VerdictKind) -> None:
    assert f"\n| `{kind}` | " in (ROOT / "docs" / "how-it-works.md").read_text()


@pytest.mark.parametrize("names", [Protocol, SocketState])
def test_every_value_of_a_filter_stands_in_the_docs(names: type[StrEnum]) -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    assert [str(name) for name in names if f"`{name}`" not in text] == []
