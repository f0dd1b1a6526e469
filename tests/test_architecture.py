"""The map for the next engineer is true: docs/architecture.md and CONTRIBUTING.md, against tree and layer test."""

import re
from pathlib import Path

import pytest

from tests.test_layers import MAY_IMPORT, PACKAGE

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
MAPS = {"architecture.md": PAGE, "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text()}


def read_table(heading: str) -> dict[str, str]:
    """The first column to the second of the first table below a heading; the names in the first are in backticks."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE))


def read_rooms(cell: str, cells: dict[str, str]) -> set[str]:
    """The rooms that a cell names; `what X may` stands for those of X."""
    rooms = set(re.findall(r"`([^`]+)`", re.sub(r"what `[^`]+` may", "", cell)))
    for other in re.findall(r"what `([^`]+)` may", cell):
        rooms |= read_rooms(cells[other], cells)
    return rooms


def test_who_may_import_whom_is_what_the_layer_test_holds() -> None:
    cells = read_table("Who may import whom")
    # "" is nsagent/__init__.py, of which a sentence below the table tells.
    expected = {room: rooms - {""} for room, rooms in MAY_IMPORT.items() if room}
    assert {room: read_rooms(cell, cells) for room, cell in cells.items()} == expected


def test_only_agent_and_cli_import_the_package_itself_which_offers_what_is_for_other_programs() -> None:
    offered = {"errors", "model", "events", "runtimes", "scan", "scan.take", "lookup"}
    assert ([room for room, rooms in MAY_IMPORT.items() if "" in rooms], MAY_IMPORT[""]) == (["agent", "cli"], offered)


def test_every_room_is_told_in_one_line() -> None:
    assert list(read_table("Rooms")) == list(read_table("Who may import whom"))


def test_every_package_and_module_of_the_top_level_is_a_room() -> None:
    top = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert top - {"__init__"} == {room.partition(".")[0] for room in read_table("Rooms")}


@pytest.mark.parametrize("page", MAPS)
def test_every_path_named_is_there(page: str) -> None:
    paths = re.findall(r"\b(?:nsagent|tests|docs|fixtures)/[\w./-]*\w/?|\.(?:ci|github)/[\w./-]+\w", MAPS[page])
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", MAPS)
def test_every_link_leads_somewhere(page: str) -> None:
    folder = ROOT / "docs" if page == "architecture.md" else ROOT
    links = re.findall(r"\]\(([^)]+)\)", MAPS[page])
    assert [link for link in links if not (folder / link).exists()] == []
