"""A name that means a container which does not run."""

import socket
from pathlib import Path

import pytest

from nsagent.errors import EXIT_NOT_FOUND
from tests.cli.conftest import Run
from tests.runtimes.cri_server import answering, container, lists
from tests.runtimes.engine_server import read_request, rows, saying, serve

ID = "d" * 64
FORGED = "c0ffee" + "0" * 58
"""That of a cgroup of the node in which processes are."""
EXITED = {"Id": ID, "Names": ["/batch"], "State": "exited"}
TOLD = "; a container of that name does not run: exited (docker)\n"


@pytest.mark.parametrize("name", ["batch", ID, ID[:12]])
@pytest.mark.parametrize("command", [("scan", "--netns"), ("scan", "-c"), ("containers", "-c"), ("netns",)])
def test_its_state_is_told(on_node: Run, tmp_path: Path, command: tuple[str, ...], name: str) -> None:
    def behave(connection: socket.socket) -> None:
        asked = read_request(connection).split(b" ")[1]
        connection.sendall(rows(EXITED) if asked.endswith(b"?all=true") else rows())

    with serve(tmp_path, behave) as url:
        ran = on_node(*command, name, "--runtime", f"docker={url}")
    assert (ran.status, ran.out) == (EXIT_NOT_FOUND, "")
    assert ran.err.endswith(TOLD)


@pytest.mark.parametrize("command", [("scan",), ("inspect",), ("watch", "--duration", "0s")])
def test_a_cgroup_with_the_id_of_a_container_that_has_ended_is_not_it(
    on_node: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Whoever may make cgroups calls them as he likes."""

    def behave(connection: socket.socket) -> None:
        asked = read_request(connection).split(b" ")[1]
        is_all = b"all=true" in asked or b"all=1" in asked
        connection.sendall(rows({**EXITED, "Id": FORGED}) if is_all else rows())

    with serve(tmp_path, behave) as url:
        ran = on_node(*command, "-c", FORGED, "--runtime", f"docker={url}")
    assert (ran.status, ran.out) == (EXIT_NOT_FOUND, "")
    assert "a cgroup that bears its id is not it" in ran.err


def test_cri_tells_it_too(on_node: Run, tmp_path: Path) -> None:
    with serve(tmp_path, answering(lists([container(ID, name="batch", state=2)]))) as url:
        ran = on_node("scan", "-c", "batch", "--runtime", f"cri={url}")
    assert ran.err.endswith("; a container of that name does not run: exited (cri)\n")


@pytest.mark.parametrize(
    "listed",
    [
        [],
        [EXITED, {**EXITED, "Id": "e" * 64}],
        [{**EXITED, "State": "running"}],
        [{**EXITED, "State": "paused"}],
        [{**EXITED, "State": "stopping"}],
    ],
)
def test_nothing_is_told_of_what_is_not_known_or_runs(on_node: Run, tmp_path: Path, listed: list[object]) -> None:
    with serve(tmp_path, saying(rows(*listed))) as url:
        ran = on_node("scan", "--netns", "batch", "--runtime", f"docker={url}")
    assert ran.status == EXIT_NOT_FOUND
    assert "does not run" not in ran.err


def test_of_a_capture_nobody_is_asked(run_cli: Run, node_capture: Path) -> None:
    ran = run_cli("scan", "-c", "batch", "--from", node_capture)
    assert (ran.status, "does not run" in ran.err) == (EXIT_NOT_FOUND, False)
