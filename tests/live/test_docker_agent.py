"""The agent in Docker, by the very line of docs/install.md; its image is empty, and Python is mounted into it."""

import argparse
import json
import os
import re
import shlex
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from docker.models.containers import Container

from tests.live.deadlines import until
from tests.live.docker_bed import DockerBed
from tests.live.images import make_busybox_layer
from tests.live.nsagent_cli import owners_in, run_scan
from tests.live.unprivileged import PROJECT

PAGE: Final = Path(PROJECT, "docs", "install.md")
PYTHON: Final = [sys.executable, "-I", "-m", "nsagent"]
PORT: Final = 8087


def read_line() -> argparse.Namespace:
    """`docker run` of the page: its options, image and command."""
    (line,) = re.findall(r"^docker run ((?:.*\\\n)*.*)$", PAGE.read_text(), re.MULTILINE)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for flag in ("detach", "read-only"):
        parser.add_argument(f"--{flag}", action="store_true", required=True)
    for option in ("name", "restart", "pid", "network", "tmpfs"):
        parser.add_argument(f"--{option}", required=True)
    for option in ("cap-drop", "cap-add", "security-opt", "env", "volume"):
        parser.add_argument(f"--{option}", action="append", required=True)
    parser.add_argument("image")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args(shlex.split(line.replace("\\\n", " ")))


def list_volumes(line: argparse.Namespace, bed: DockerBed, directory: Path) -> list[str]:
    """Those of the line, with what the test has in the place of the host's; and Python, read-only, where it is here."""
    own = {
        "/etc/nsagent": directory / "etc",
        "/var/lib/nsagent": directory / "state",
        "/run/docker.sock": bed.url.removeprefix("unix://"),
    }
    wanted = (volume.partition(":") for volume in line.volume)
    libraries = {"/usr", "/lib", "/lib64", sys.base_prefix, sys.prefix, sysconfig.get_path("purelib"), PROJECT}
    below = {place for place in libraries if any(place.startswith(f"{each}/") for each in libraries)}
    shared = [f"{place}:{place}:ro" for place in sorted(libraries - below) if os.path.exists(place)]
    return [*(f"{own[source]}:{rest}" for source, _, rest in wanted), *shared]


@pytest.fixture
def agent(docker_bed: DockerBed, tmp_path: Path) -> Iterator[Container]:
    line = read_line()
    for name in ("etc", "state"):
        (tmp_path / name).mkdir(mode=0o755)
    output = {"type": "file", "path": "/var/lib/nsagent/r.json"}
    report = {"name": "r", "every": "1s", "format": "json", "select": {"port": PORT}, "outputs": [output]}
    config = {"version": 1, "interval": "1s", "http": {"listen": "127.0.0.1:9469"}, "reports": [report]}
    (tmp_path / "etc" / "config.yaml").write_text(json.dumps(config))
    docker_bed.client.api.import_image_from_data(
        make_busybox_layer(), repository="nsagent", tag="0.2.0", changes=[f"ENTRYPOINT {json.dumps(PYTHON)}"]
    )
    path, _, options = line.tmpfs.partition(":")
    container = docker_bed.client.containers.run(
        line.image,
        line.command,
        name=line.name,
        detach=line.detach,
        restart_policy={"Name": line.restart},
        pid_mode=line.pid,
        network_mode=line.network,
        read_only=line.read_only,
        tmpfs={path: options},
        cap_drop=line.cap_drop,
        cap_add=line.cap_add,
        security_opt=line.security_opt,
        environment=line.env,
        volumes=list_volumes(line, docker_bed, tmp_path),
    )
    try:
        yield container
    finally:
        container.remove(force=True)


def ask(agent: Container, *arguments: str) -> Any:
    """What nsagent in the agent's container says, None unless it answers."""
    status, said = agent.exec_run([*PYTHON, *arguments, "-o", "json"], stderr=False)
    assert isinstance(said, bytes)
    return json.loads(said) if status == 0 else None


def test_the_line_of_the_page_runs_an_agent_that_sees_the_host(
    docker_bed: DockerBed, agent: Container, tmp_path: Path
) -> None:
    web = docker_bed.run("in-docker", "bridge", ["httpd", "-f", "-p", str(PORT)])

    def find_report() -> dict[str, Any] | None:
        path = tmp_path / "state" / "r.json"
        report: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"sockets": []}
        return report if report["sockets"] else None

    report = until(find_report, "a report of it")
    assert report is not None
    (row,) = report["sockets"]
    assert (row["netns"], list(owners_in(row)), row["container_id"]) == (web.netns_inode, [web.pid], web.id)
    assert [one["name"] for one in report["containers"] if one["id"] == web.id] == ["in-docker"]
    assert {one["engine"] for one in report["netns"]} == {"sock_diag"}
    root = run_scan("--runtime", "none")  # Which may be refused a process, too.
    assert report["coverage"]["processes"]["denied"] == root.coverage["processes"]["denied"]
    status = ask(agent, "status")
    assert (status["config"]["last_reload_ok"], status["pass_error"]) == (True, None)
    began = time.monotonic()
    agent.stop(timeout=30)
    took = time.monotonic() - began
    agent.reload()
    assert agent.attrs["State"]["ExitCode"] == 0
    assert took < 2.0 or os.getloadavg()[0] > os.cpu_count()  # type: ignore[operator]
