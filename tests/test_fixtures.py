"""Every fixture says where it is from, and how it is made anew."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "fixtures"
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", (FIXTURES / "README.md").read_text(), re.MULTILINE))
SETS = sorted(path for path in FIXTURES.iterdir() if path.is_dir())


def test_every_set_of_fixtures_has_a_section_and_every_section_a_set() -> None:
    assert list(SECTIONS) == [path.name for path in SETS]


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.name)
def test_a_section_says_recorded_built_or_made(path: Path) -> None:
    assert re.search(r"\b(recorded|built|Recorded|Built|Made from)\b", SECTIONS[path.name])


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.name)
def test_every_directory_of_a_set_is_named(path: Path) -> None:
    own = path / "README.md"
    text = SECTIONS[path.name] + (own.read_text() if own.is_file() else "")
    named = set(re.findall(r"[\w.-]+", text))
    assert {each.name for each in path.iterdir() if each.is_dir()} - named == set()


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.name)
def test_a_readme_of_a_set_is_linked(path: Path) -> None:
    assert (f"]({path.name}/README.md)" in SECTIONS[path.name]) == (path / "README.md").is_file()


@pytest.mark.parametrize("module", re.findall(r"-m ([\w.]+)", "".join(SECTIONS.values())))
def test_a_script_that_records_is_there(module: str) -> None:
    assert 'if __name__ == "__main__":' in (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()


def test_every_recorded_dump_and_capture_is_named() -> None:
    files = [*FIXTURES.glob("netlink/*.bin"), *FIXTURES.glob("captures/*.json.gz"), *FIXTURES.glob("docker/*")]
    text = "".join(SECTIONS.values())
    assert [file.name for file in files if f"`{file.name.removesuffix('.json.gz')}`" not in text] == []
