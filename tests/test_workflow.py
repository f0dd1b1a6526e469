"""What runs elsewhere is what runs here: the hosted CI, the hooks before a commit, the Pythons that are promised."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import LONGEST

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = [
    match[1]
    for classifier in PROJECT["classifiers"]
    if (match := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier))
]
JOBS: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
RUNS = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
MAKEFILE = (ROOT / "Makefile").read_text()


def words_of(command: str) -> list[str]:
    """The words of a command, without `sudo`, `env` and the variables they set."""
    words = shlex.split(command)
    while words[0] in ("sudo", "env") or "=" in words[0]:
        words = words[1:]
    return words


def list_recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile, with the virtual environment by its name."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return [line.strip().replace("$(VENV)", ".venv") for line in found[1].splitlines()] if found else []


def test_the_oldest_python_promised_is_the_one_required() -> None:
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


def test_every_python_promised_is_tested_and_no_other() -> None:
    assert JOBS["test"]["strategy"]["matrix"]["python"] == PYTHONS


def test_the_linters_run_on_the_oldest_python() -> None:
    versions = [step["with"]["python-version"] for step in JOBS["lint"]["steps"] if "with" in step]
    assert (versions, "make lint" in RUNS) == (PYTHONS[:1], True)


def test_a_virtual_environment_is_made_with_every_python_promised() -> None:
    tried = re.findall(r"\bpython(3\.\d+)", (ROOT / ".ci" / "make-venv").read_text())
    assert sorted(set(tried)) == PYTHONS


@pytest.mark.parametrize("command", RUNS)
def test_what_the_workflow_calls_is_there(command: str) -> None:
    program, *arguments = words_of(command)
    if program in ("sh", "bash"):
        script, *targets = arguments
        assert (ROOT / script).is_file()
        arguments = targets
    else:
        assert program in ("make", "apt-get")
    if program != "apt-get":
        assert [target for target in arguments if not list_recipe(target)] == []


def test_the_workflow_lets_no_test_skip() -> None:
    (whole,) = [words for words in map(words_of, RUNS) if ".ci/run" in words]
    assert whole == ["bash", ".ci/run", "pytest"]
    assert 'exec env NSAGENT_TEST_REQUIRE=all make "${1:-test}"' in (ROOT / ".ci" / "run").read_text()


def test_the_machine_with_a_stock_kernel_is_the_workflows_alone() -> None:
    assert [job for job, made in JOBS.items() if {"run": "make test-vm"}.items() <= made["steps"][-1].items()] == [
        "stock-kernel"
    ]
    assert "test-vm" not in " ".join([*list_recipe("test"), *list_recipe("pytest")])


def test_make_test_is_lint_and_the_tests_that_the_workflow_runs() -> None:
    assert list_recipe("test") == ["$(MAKE) --jobs 2 --output-sync lint collected", "$(MAKE) pytest"]


def test_the_hooks_before_a_commit_are_the_commands_of_make_lint() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    assert [hook["entry"] for hook in local["hooks"]] == list_recipe("lint")
    assert {(hook["language"], hook["pass_filenames"]) for hook in local["hooks"]} == {("system", False)}


def test_the_modules_that_begin_first_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
