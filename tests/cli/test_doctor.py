"""`nsagent doctor`, over a real host root with real sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsagent.errors import EXIT_INTERRUPTED, EXIT_USAGE
from tests.cli.conftest import NODE, Run
from tests.cli.test_app import environment


@pytest.fixture
def host_root(tmp_path: Path) -> Path:
    """A host with a directory of log links and the socket of an engine that was killed."""
    links = tmp_path / "var/log/containers"
    links.mkdir(parents=True)
    (links / f"web-1_shop_app-{'a' * 64}.log").symlink_to(f"/var/log/pods/shop_web-1_{'b' * 32}/app/0.log")
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "run/docker.sock"))
    return tmp_path


def check_host(run_cli: Run, *arguments: str | Path) -> list[dict[str, object]]:
    """The checks of the document, without those of this process, which come first."""
    ran = run_cli("doctor", "-o", "json", "--proc-root", NODE, *arguments)
    assert (ran.status, ran.err) == (0, "")
    document = json.loads(ran.out)
    assert (document["schema"], document["host"]) == ("nsagent/doctor/v1", os.uname().nodename)
    checks = document["checks"]
    assert [check["kind"] for check in checks[:3]] == ["rights", "engine", "lsm"]
    return list(checks[3:])


def test_every_source_has_a_line_and_what_fails_is_no_failure(run_cli: Run, host_root: Path) -> None:
    checks = check_host(run_cli, "--host-root", host_root)
    told = {(check["kind"], check["state"]): check for check in checks}
    assert set(told) == {
        ("cgroup", "used"),
        ("cri", "absent"),
        ("docker", "failed"),
        ("podman", "absent"),
        ("bundles", "absent"),
        ("logs", "used"),
    }
    assert told["docker", "failed"]["fix"] == "start the engine: nobody listens at its socket"
    assert told["cgroup", "used"]["containers"] == told["logs", "used"]["containers"] == 1


def test_the_table_has_a_line_for_each_check_that_is_not_merely_absent(run_cli: Run, host_root: Path) -> None:
    arguments = ("doctor", "--proc-root", NODE, "--host-root", host_root)
    present = [each["kind"] for each in check_host(run_cli, "--host-root", host_root) if each["state"] != "absent"]
    header, *lines = run_cli(*arguments).out.splitlines()
    assert header.split() == ["STATE", "KIND", "WHAT"]
    begins = [line.split()[1] for line in lines if not line.startswith((" ", "absent"))]
    assert begins == ["rights", "engine", "lsm", *present]
    assert lines[-1].startswith("absent ")
    assert run_cli(*arguments, "--no-headers").out.startswith("used  ")
    assert "\x1b[31mfailed" in run_cli(*arguments, "--color", "always").out


def test_with_the_option_only_that_is_looked_at(run_cli: Run, host_root: Path) -> None:
    (only,) = check_host(run_cli, "--runtime", "none")
    assert only["kind"] == "cgroup"
    _, logs = check_host(run_cli, "--runtime", "logs", "--host-root", host_root)
    assert (logs["subject"], logs["state"]) == (f"{host_root}/var/log/containers", "used")


def test_a_capture_is_not_looked_at(run_cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells of another host, or of another time."""
    monkeypatch.setenv("NSAGENT_FROM", "/nowhere")
    assert check_host(run_cli, "--runtime", "none")[0]["subject"] == str(NODE)


@pytest.mark.parametrize("format_", ["wide", "yaml", "csv"])
def test_a_format_that_it_does_not_have_is_the_table_from_the_variable_and_an_error_as_an_option(
    run_cli: Run, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    arguments = ("doctor", "--runtime", "none", "--proc-root", NODE)
    monkeypatch.setenv("NSAGENT_OUTPUT", format_)
    ran = run_cli(*arguments)
    assert (ran.status, ran.out.split()[0]) == (0, "STATE")
    ran = run_cli(*arguments, "-o", format_)
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert ran.err == f"nsagent: --output: expected one of table, json, got '{format_}'\n"


def test_the_variable_chooses_a_format_that_it_has(run_cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAGENT_OUTPUT", "json")
    assert json.loads(run_cli("doctor", "--runtime", "none", "--proc-root", NODE).out)["schema"] == "nsagent/doctor/v1"


def test_an_option_that_is_none_is_a_usage_error(run_cli: Run) -> None:
    ran = run_cli("doctor", "--runtime", "rkt")
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert ran.err.startswith("nsagent: --runtime 'rkt': unknown kind 'rkt'")


def test_an_engine_that_hangs_does_not_hang_doctor(run_cli: Run, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "engine.sock"))
        listener.listen()
        began = time.monotonic()
        _, hung, logs = check_host(run_cli, "--runtime", f"docker={tmp_path}/engine.sock,logs={tmp_path}")
    assert 1.9 < time.monotonic() - began < 6
    assert (hung["state"], hung["detail"]) == ("failed", "no answer within 2 s")
    assert logs["state"] == "used"


def test_a_signal_ends_it_at_once(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "engine.sock"))
        listener.listen()
        listener.settimeout(20)
        command = [sys.executable, "-m", "nsagent", "doctor", "--runtime", f"docker={tmp_path}/engine.sock"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
            connection, _ = listener.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (EXIT_INTERRUPTED, b"", b"nsagent: interrupted\n")


def test_a_config_that_is_named_is_checked_with_what_it_needs(run_cli: Run, host_root: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("version: 1\nsocket: null\nreports:\n  - {name: a, evry: 1m, outputs: [{type: stdout}]}\n")
    arguments = ("--host-root", host_root, "--config", config)
    *_, broken = (check for check in check_host(run_cli, *arguments) if check["kind"] == "config")
    assert (broken["state"], broken["fix"]) == ("failed", f"nsagent config validate {config}")
    assert str(broken["detail"]).startswith("4:15: reports[0].evry: ")
    config.write_text(config.read_text().replace("evry", "every"))
    (sound,) = (check for check in check_host(run_cli, *arguments) if check["kind"] == "config")
    assert (sound["state"], sound["detail"]) == ("used", "1 reports")
