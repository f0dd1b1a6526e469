"""Which engines are asked."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nsagent.errors import UsageError
from nsagent.runtimes.discover import discover_sources, parse_runtime_option


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A host with Docker's and podman's sockets, /var/run being a link as everywhere."""
    with ExitStack() as stack:
        for path in ("run/docker.sock", "run/podman/podman.sock", "run/user/1000/podman/podman.sock"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(tmp_path / path))
        (tmp_path / "var").mkdir()
        (tmp_path / "var/run").symlink_to("../run")
        yield tmp_path


def subjects(root: Path, option: str | None = None, **environ: str) -> list[str]:
    """What is asked, with the root cut out."""
    return [source.subject.replace(str(root), "") for source in discover_sources(option, environ, str(root))]


DOCKER = "docker (unix:///var/run/docker.sock)"
PODMAN = "podman (unix:///run/podman/podman.sock)"


def test_the_usual_sockets_each_once(root: Path) -> None:
    assert subjects(root) == [DOCKER, PODMAN]


def test_the_user_s_own(root: Path) -> None:
    own = "podman (unix:///run/user/1000/podman/podman.sock)"
    assert subjects(root, XDG_RUNTIME_DIR="/run/user/1000") == [DOCKER, PODMAN, own]


def test_a_link_to_the_outside_does_not_hide_the_socket(root: Path) -> None:
    """Below a mounted root an absolute /var/run leads to the wrong /run."""
    (root / "var/run").unlink()
    (root / "var/run").symlink_to("/nonexistent")
    assert subjects(root) == ["docker (unix:///run/docker.sock)", PODMAN]


def test_what_is_no_socket_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/docker.sock").mkdir()
    assert subjects(tmp_path) == []


def test_the_environment_comes_first_and_is_asked_even_if_it_is_not_there(root: Path) -> None:
    found = subjects(root, DOCKER_HOST="unix:///nonexistent", CONTAINER_HOST="/run/elsewhere.sock")
    assert found == ["docker (unix:///nonexistent)", "podman (unix:///run/elsewhere.sock)", DOCKER, PODMAN]


def test_a_socket_that_the_environment_names_is_asked_once(root: Path) -> None:
    assert subjects(root, DOCKER_HOST=f"unix://{root}/run/docker.sock") == ["docker (unix:///run/docker.sock)", PODMAN]


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:2375", "ssh://host", "fd://", "nonsense"])
def test_a_variable_that_suits_docker_is_never_a_usage_error(tmp_path: Path, host: str) -> None:
    """What cannot be asked becomes a gap when it is asked."""
    assert subjects(tmp_path, DOCKER_HOST=host) == [f"docker ({host})"]


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert subjects(tmp_path, DOCKER_HOST="", CONTAINER_HOST="", XDG_RUNTIME_DIR="") == []


def test_with_the_option_nothing_else_is_asked(root: Path) -> None:
    assert subjects(root, "podman=unix:///x.sock", DOCKER_HOST="unix:///y") == ["podman (unix:///x.sock)"]
    assert subjects(root, "none", DOCKER_HOST="unix:///y") == []


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("none", ()),
        ("docker", (("docker", "unix:///var/run/docker.sock"),)),
        ("docker=/run/d.sock", (("docker", "unix:///run/d.sock"),)),
        ("docker=unix:///a=b, podman=tcp://h:1", (("docker", "unix:///a=b"), ("podman", "tcp://h:1"))),
    ],
)
def test_the_option(text: str, pairs: tuple[tuple[str, str], ...]) -> None:
    assert parse_runtime_option(text) == pairs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "cri=unix:///run/containerd/containerd.sock",
            "cri is not supported by this version; expected docker or podman",
        ),
        (
            "rkt=unix:///x",
            "unknown kind 'rkt'; expected docker or podman, as in docker=unix:///run/docker.sock, or none",
        ),
        ("", "unknown kind ''"),
        ("docker=unix:///x,", "unknown kind ''"),
        ("none,docker", "unknown kind 'none'"),
        ("docker=ssh://host", "'ssh://host' cannot be asked; expected unix:///PATH or tcp://HOST:PORT"),
        ("docker=unix://", "'unix://' cannot be asked"),
        ("docker=host", "'host' cannot be asked"),
    ],
)
def test_an_option_that_is_none_says_what_is(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_runtime_option(text)
    assert message in str(raised.value)


def test_neither_looking_nor_a_missing_engine_imports_docker(tmp_path: Path) -> None:
    """It takes 95 ms, which a host without Docker must not pay."""
    program = f"""
import sys, time
from nsagent.runtimes.discover import discover_sources
from nsagent.runtimes.engines import Engines
sources = discover_sources(None, {{"DOCKER_HOST": "unix:///nonexistent"}}, {str(tmp_path)!r})
engines = Engines(sources, clock=time.monotonic)
engines.start()
print(engines.collect()[1][0].reason)
print([name for name in ("docker", "requests", "urllib3", "http.client") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "No such file or directory (ENOENT)\n[]\n"
