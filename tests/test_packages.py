"""What is built of this tree: an archive of sources from which the tests can be run, and of that a wheel that runs."""

import subprocess
import sys
import sysconfig
import tarfile
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

import nsagent

ROOT = Path(__file__).parent.parent
NAME = f"nsagent-{nsagent.__version__}"
DIRECTORIES = (".ci", ".github", "docs", "fixtures", "manifests", "nsagent", "tests")
FILES = {
    ".dockerignore",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "pyproject.toml",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the archive, and the wheel that was built from what it holds."""
    directory = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that the archive holds."""
    directory = tmp_path_factory.mktemp("unpacked")
    subprocess.run(["tar", "-xzf", str(built / f"{NAME}.tar.gz"), "-C", str(directory)], check=True)
    return directory / NAME


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel alone; libraries are those of the tests, and nsagent is not among them."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place, symlinks=True)
    wheel = built / f"{NAME}-py3-none-any.whl"
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place


def run_installed(place: Path, *arguments: str) -> str:
    command = [str(place / "bin" / "nsagent"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=place).stdout


def list_files(root: Path, directory: str) -> Iterator[str]:
    """The files and links of a directory of a tree, but for what Python compiles."""
    for path in (root / directory).rglob("*"):
        if (path.is_symlink() or path.is_file()) and "__pycache__" not in path.parts:
            yield str(path.relative_to(root))


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_the_archive_holds_all_that_the_tests_need(unpacked: Path, directory: str) -> None:
    assert sorted(list_files(unpacked, directory)) == sorted(list_files(ROOT, directory))


def test_the_archive_holds_what_is_beside_them_and_nothing_that_make_made(unpacked: Path) -> None:
    names = {path.name for path in unpacked.iterdir()}
    assert sorted(FILES - names) == []
    assert names & {".git", ".venv", "build", "dist"} == set()


def test_no_link_of_the_archive_is_absolute(built: Path) -> None:
    """As what unpacks by Python's filter `data`, pip for one, refuses all of it then."""
    with tarfile.open(built / f"{NAME}.tar.gz") as archive:
        links = [member for member in archive if member.issym()]
    assert links
    assert [member.name for member in links if member.linkname.startswith("/")] == []


def test_the_wheel_runs_where_nothing_else_of_nsagent_is(installed: Path) -> None:
    assert run_installed(installed, "--version") == f"nsagent {nsagent.__version__}\n"
    where = "import nsagent; print(nsagent.__file__)"
    python = [str(installed / "bin" / "python"), "-I", "-c", where]
    assert subprocess.check_output(python, text=True).startswith(f"{installed}/lib/")


def test_the_wheel_brings_what_its_commands_print(installed: Path) -> None:
    capture = ROOT / "fixtures" / "captures" / "docker.json.gz"
    golden = ROOT / "fixtures" / "golden" / "docker" / "scan.table"
    assert run_installed(installed, "scan", "--from", str(capture)) == golden.read_text()
    assert run_installed(installed, "manifests", "base") == (ROOT / "manifests" / "profiles" / "base.yaml").read_text()


def test_the_wheel_brings_the_man_pages(installed: Path) -> None:
    pages = {path.name: path.read_text() for path in (installed / "share" / "man" / "man1").iterdir()}
    assert pages == {path.name: path.read_text() for path in (ROOT / "docs" / "man").iterdir()}
