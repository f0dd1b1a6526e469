"""`nsagent config`: what its commands print, and how they end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nsagent.config.sample import SAMPLE
from nsagent.config.schema import make_schema
from nsagent.errors import EXIT_FAILED, EXIT_USAGE
from tests.cli.conftest import Ran, Run


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("version: 1\nreports: [{name: a, every: 1m}]\n")
    path.chmod(0o600)
    return path


def test_a_right_config_is_told_to_be_so(run_cli: Run, config_file: Path) -> None:
    assert run_cli("config", "validate", config_file) == Ran(0, f"{config_file}: valid, 1 report\n", "")


def test_each_problem_is_a_line_that_begins_with_its_place(run_cli: Run, config_file: Path) -> None:
    config_file.write_text('version: 2\n"\\e[31m": 1\nreports: [{name: a, evry: 1m}]\n')
    ran = run_cli("config", "validate", config_file)
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    told = [line.split(": ")[:3] for line in ran.err.splitlines()]
    assert told == [
        [f"{config_file}:1:10", "version", "expected 1"],
        [f"{config_file}:2:1", r'"\u001b[31m"', told[1][2]],
        [f"{config_file}:3:11", "reports[0]", "expected either every or cron"],
        [f"{config_file}:3:21", "reports[0].evry", "unknown key; did you mean every?"],
    ]


def test_a_file_that_cannot_be_read_is_one_line(run_cli: Run, tmp_path: Path) -> None:
    path = tmp_path / "absent"
    for command in ("validate", "show"):
        ran = run_cli("config", command, path)
        assert ran == Ran(EXIT_USAGE, "", f"{path}: cannot be read: No such file or directory\n")


def test_the_file_is_the_argument_else_the_variable_else_the_usual_one(
    run_cli: Run, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cli("config", "show", "--help").out.replace("\n          ", "").count("/etc/nsagent/config.yaml") == 1
    monkeypatch.setenv("NSAGENT_CONFIG", str(config_file))
    assert run_cli("config", "validate").out == f"{config_file}: valid, 1 report\n"
    monkeypatch.setenv("NSAGENT_CONFIG", "/absent")
    assert run_cli("config", "validate", config_file).status == 0


def test_show_puts_variables_in_and_can_be_read_back(
    run_cli: Run, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file.write_text("version: 1\ninterval: ${NSAGENT_TEST_INTERVAL}\n")
    monkeypatch.setenv("NSAGENT_TEST_INTERVAL", "90s")
    shown = run_cli("config", "show", config_file).out
    assert "\ninterval: 90s\n" in shown
    config_file.write_text(shown)
    assert run_cli("config", "show", config_file) == Ran(0, shown, "")


def test_schema_prints_the_schema(run_cli: Run) -> None:
    ran = run_cli("config", "schema")
    assert (ran.status, json.loads(ran.out)) == (0, make_schema())


def test_init_prints_a_config_that_is_right(run_cli: Run, config_file: Path) -> None:
    ran = run_cli("config", "init")
    assert ran == Ran(0, SAMPLE, "")
    config_file.write_text(ran.out)
    assert run_cli("config", "validate", config_file).out == f"{config_file}: valid, 6 reports\n"


@pytest.mark.parametrize("module", ["pydantic", "cronsim"])
@pytest.mark.parametrize("command", ["validate", "show", "schema"])
def test_a_missing_extra_is_one_line_with_what_installs_it(command: str, module: str, config_file: Path) -> None:
    """In a process in which the module cannot be imported."""
    program = (
        "import sys; sys.modules[sys.argv[1]] = None; from nsagent.cli.app import run; sys.exit(run(sys.argv[2:]))"
    )
    arguments = ["config", command, *([] if command == "schema" else [str(config_file)])]
    done = subprocess.run(
        [sys.executable, "-c", program, module, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    told = f"nsagent: this command needs {module}, which is not installed: pip install 'nsagent[agent]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_FAILED, "", told)


def test_init_needs_no_extra() -> None:
    program = (
        "import sys; sys.modules['pydantic'] = None; from nsagent.cli.app import run; sys.exit(run(['config', 'init']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, SAMPLE, "")
