"""The man pages that are committed are what the commands say, and groff has nothing to say about them."""

import contextlib
import io
import re
import subprocess
from pathlib import Path

import pytest

from nsagent.cli.app import run
from tests.live.capabilities import Capability, require
from tests.man.pages import DIRECTORY, EXIT_STATUS, list_pages

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(DIRECTORY.iterdir())


def read_help(command: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run([*command.split(), "--help"]) == 0
    return out.getvalue()


def format_page(page: Path, columns: int = 1000) -> tuple[str, str]:
    """(text, warnings) of groff, without bold and the like; the lines are so long that no word is parted."""
    require(Capability.GROFF)
    command = ["groff", "-man", "-Tascii", "-P-cbou", "-ww", f"-rLL={columns}n", "-rHY=0", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_every_page_is_what_the_commands_say() -> None:
    """`make man` makes them anew."""
    assert {page.name: page.read_text() for page in PAGES} == dict(list_pages())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_groff_takes_a_page_without_a_warning(page: Path) -> None:
    text, warnings = format_page(page)
    _, narrow = format_page(page, columns=78)
    assert (narrow, warnings) == ("", "")
    assert text.lstrip().startswith(f"{page.stem}(1)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_every_option_of_the_help(page: Path) -> None:
    command = page.stem.replace("-", " ").removeprefix("nsagent")
    helps = [read_help(command)]
    if command:
        helps += [read_help(f"{command} {each}") for each in list_commands(helps[0])]
    options = {option for text in helps for option in re.findall(r"^ +(-.*?)(?:  |$)", text, re.MULTILINE)}
    listed = re.findall(r"^ +(-.*?)(?:  |$)", format_page(page)[0], re.MULTILINE)
    assert {name for each in options for name in re.findall(r"--?[a-z-]+", each)} == {
        name for each in listed for name in re.findall(r"--?[a-z-]+", each)
    }


def list_commands(text: str) -> list[str]:
    """The commands that a help lists."""
    return re.findall(r"^  (\w+)", text.partition("\nCommands:\n")[2], re.MULTILINE)


def test_there_is_a_page_for_each_command() -> None:
    assert {page.stem for page in PAGES} == {"nsagent", *(f"nsagent-{each}" for each in list_commands(read_help("")))}


def test_the_exit_status_is_as_in_the_readme() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [(status, meaning.replace("`", "")) for status, meaning in rows] == list(EXIT_STATUS)
