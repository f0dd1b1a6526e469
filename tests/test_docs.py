"""README, CONTRIBUTING and docs/ are true: commands end as told, outputs are those shown, nothing is left out."""

import functools
import json
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from nsagent.agent.history import History
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
from nsagent.scan.attribute import attribute
from nsagent.scan.capture_file import read_capture
from tests.agent.histories import record_all
from tests.docs import CAPTURES, DOCS, PAGES, ROOT, Command, blocks, console, run, shell_commands

COMMANDS = (
    "scan",
    "who",
    "port",
    "pid",
    "netns",
    "containers",
    "inspect",
    "diff",
    "watch",
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

HelpOf = Callable[[str], subprocess.CompletedProcess[str]]


def name(value: Command | str) -> str:
    """What a case is called: the first words of its command."""
    return value.line[:60] if isinstance(value, Command) else ""


@pytest.fixture(scope="module")
def help_of() -> HelpOf:
    """Asks each command for its help once."""
    return functools.cache(lambda command: run(f"nsagent {command} --help"))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an agent remembers that was asleep from 02:59 to 09:00, on the host of docs/recipes.md."""
    path = tmp_path_factory.mktemp("history") / "history.db"
    times = {"earlier": "2026-11-29T02:59:00.000Z", "troubled": "2026-11-29T09:00:00.000Z"}
    with closing(History.open(path, 1e9, 1 << 20)) as kept:
        snapshots = [attribute(read_capture(CAPTURES / f"{name}.json.gz")) for name in times]
        record_all(kept, [taken._replace(taken_at=at) for taken, at in zip(snapshots, times.values(), strict=True)])
    return path


@pytest.mark.parametrize("command", [each for each in shell_commands() if not each.line.startswith("make ")], ids=name)
def test_a_command_in_the_docs_answers_and_ends_with_the_status_told(command: Command, history: Path) -> None:
    done = run(command.line, page=command.page, NSAGENT_HISTORY=str(history))
    assert done.returncode == command.status, done.stderr
    assert done.stdout


@pytest.mark.parametrize("command", [each for each in shell_commands() if each.line.startswith("make ")], ids=name)
def test_a_make_command_in_the_docs_is_a_target(command: Command) -> None:
    assert re.search(rf"^{command.line.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("command", "shown"), console(), ids=name)
def test_an_output_in_the_docs_is_what_the_command_prints(command: Command, shown: str, history: Path) -> None:
    done = run(command.line, page=command.page, NSAGENT_HISTORY=str(history))
    assert (done.stdout, done.returncode) == (shown, command.status), done.stderr


def test_the_first_outputs_fit_a_terminal_of_80_columns() -> None:
    lines = [line for page, text in blocks("console") if page == "README.md" for line in text.splitlines()]
    assert [line for line in lines if len(line) > 80] == []


def list_untried() -> list[tuple[str, str]]:
    """(page, arguments) of each nsagent that stands in a block that cannot be run here."""
    return [
        (page, line)
        for page, text in blocks("text")
        for line in re.findall(r"^(?:\$ )?nsagent ([a-z].*)$", text, re.MULTILINE)
    ]


@pytest.mark.parametrize(("page", "line"), list_untried())
def test_a_command_that_is_not_run_has_options_that_there_are(page: str, line: str, help_of: HelpOf) -> None:
    words = line.partition("|")[0].partition(">")[0].split()
    name = next(name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS)
    known = re.findall(r"(?<![\w-])-[\w-]+", help_of(name).stdout)
    assert [word for word in words if word.startswith("-") and word not in known] == [], page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    links = [link.partition("#") for link in re.findall(r"\]\(([^):]+)\)", page.read_text())]
    assert [path for path, _, _ in links if path and not (page.parent / path).exists()] == []
    for path, _, anchor in (link for link in links if link[2]):
        headings = re.findall(r"^#+ (.+)$", ((page.parent / path) if path else page).read_text(), re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_the_index_has_one_line_for_each_page() -> None:
    linked = re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text())
    assert sorted(linked) == sorted(page.name for page in DOCS.glob("*.md") if page.name != "README.md")


def test_the_problems_of_a_config_are_told_as_the_page_shows(tmp_path: Path) -> None:
    [shown] = [text for page, text in blocks("text") if page == "config.md" and text.startswith("$ cat config.yaml\n")]
    config, command, told = re.split(r"^\$ (nsagent .*)\n", shown, flags=re.MULTILINE)
    file = tmp_path / "config.yaml"
    file.write_text(config.partition("\n")[2])
    file.chmod(0o600)
    done = run(f"cd {tmp_path} && {command}")
    assert (done.returncode, done.stdout + done.stderr) == (2, told)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_stands_in_the_docs(command: str, help_of: HelpOf) -> None:
    done = help_of(command)
    assert done.returncode == 0
    assert "--debug" in done.stdout
    assert any(f"nsagent {command}" in page.read_text() for page in PAGES)


def list_commands(command: str) -> list[str]:
    """The commands that the help of this one lists."""
    listed = run(f"{command} --help").stdout.partition("Commands:")[2]
    return re.findall(r"^  (\w+)", listed, re.MULTILINE)


def test_the_commands_are_those_that_help_lists() -> None:
    assert list_commands("nsagent") == list(dict.fromkeys(command.split()[0] for command in COMMANDS))
    for group in {command.split()[0] for command in COMMANDS if " " in command}:
        assert [f"{group} {each}" for each in list_commands(f"nsagent {group}")] == [
            command for command in COMMANDS if command.startswith(f"{group} ")
        ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_stands_in_the_docs(command: str, help_of: HelpOf) -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    options = set(re.findall(r"--[a-z-]+", help_of(command).stdout)) - {"--help"}
    assert [option for option in sorted(options) if f"`{option}" not in text] == []


def test_every_key_of_a_config_stands_in_the_docs() -> None:
    text = (DOCS / "config.md").read_text()
    schema = make_schema()
    keys = {key for section in (schema, *schema["$defs"].values()) for key in section.get("properties", {})}
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_every_yaml_in_the_page_of_the_config_is_right() -> None:
    for _, text in (each for each in blocks("yaml") if each[0] == "config.md"):
        load(text.encode(), "config.md", {"POD_IP": "10.0.0.1", "PUSH_URL": "https://receiver.example/"})


def test_every_column_stands_in_the_docs() -> None:
    text = (DOCS / "commands.md").read_text()
    assert [column.name for column in SOCKET_COLUMNS if f"`{column.name}`" not in text] == []


@pytest.mark.parametrize("columns", [CONTAINER_COLUMNS, NETNS_COLUMNS], ids=["containers", "netns"])
def test_every_column_of_the_other_tables_stands_in_the_docs(columns: Sequence[Column[Any]]) -> None:
    text = (DOCS / "commands.md").read_text()
    assert [column.name for column in columns if f"`{column.name}`" not in text] == []


def test_every_kind_and_column_of_changes_stands_in_the_docs() -> None:
    text = (DOCS / "changes.md").read_text()
    names = [*ChangeKind, *(column.name for column in CHANGE_COLUMNS)]
    assert [str(name) for name in names if f"`{name}`" not in text] == []


def test_every_table_and_column_of_the_history_stands_in_the_docs() -> None:
    text = (DOCS / "changes.md").read_text()
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
    text = (DOCS / "json.md").read_text()
    document = json.loads((ROOT / "tests" / "report" / "golden" / "document.json").read_text())
    assert [key for key in sorted({*list_keys(document)}) if f"`{key}`" not in text] == []


@pytest.mark.parametrize("names", [VerdictKind, Attribution, Confidence, Flag, FoundBy, HeldBy, Stage, Kind, Reason])
def test_every_name_that_a_row_or_a_gap_may_have_stands_in_the_docs(names: type[StrEnum]) -> None:
    text = (DOCS / "json.md").read_text()
    assert [str(name) for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("kind", VerdictKind)
def test_every_verdict_is_explained(kind: VerdictKind) -> None:
    assert f"\n| `{kind}` | " in (DOCS / "how-it-works.md").read_text()


@pytest.mark.parametrize("names", [Protocol, SocketState])
def test_every_value_of_a_filter_stands_in_the_docs(names: type[StrEnum]) -> None:
    text = (DOCS / "commands.md").read_text()
    assert [str(name) for name in names if f"`{name}`" not in text] == []
