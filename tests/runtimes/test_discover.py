"""Which sources of names are asked, and when."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsagent.model.ids import ContainerId
from nsagent.runtimes.discover import discover_runtimes
from nsagent.runtimes.runtimes import Runtimes
from tests.runtimes.test_places import make_socket

ID = ContainerId("a" * 64)
TASKS = "run/containerd/io.containerd.runtime.v2.task"


def test_what_is_found_is_asked_in_order_where_it_names_too_little_and_shims_always(tmp_path: Path) -> None:
    """Neither Docker's nor the bundle's record has a name; the link to the log has."""
    bundle = tmp_path / "run/containerd/io.containerd.runtime.v2.task/moby" / ID
    bundle.mkdir(parents=True)
    (bundle / "config.json").write_text("{}")
    logs = tmp_path / "var/log/containers"
    logs.mkdir(parents=True)
    (logs / f"web_shop_app-{ID}.log").symlink_to("/var/log/pods/x")
    make_socket(tmp_path, "run/docker.sock")
    runtimes = discover_runtimes(None, {}, str(tmp_path), clock=time.monotonic)
    for wanted, asked_for in (
        (frozenset[ContainerId](), ["shims", "docker"]),
        (frozenset({ID}), ["shims", "docker", "bundles", "logs"]),
    ):
        runtimes.start()
        answers = runtimes.collect(lambda wanted=wanted: wanted)  # type: ignore[misc]
        assert [subject.partition(" ")[0] for subject in answers.sources] == asked_for


@pytest.mark.parametrize(
    ("labels_wanted", "with_docker", "at_once"),
    [
        (False, False, ["bundles"]),
        (True, False, ["bundles", "cri"]),
        (False, True, ["shims", "docker"]),
        (True, True, ["shims", "docker"]),
    ],
)
def test_bundles_come_before_cri_which_is_asked_at_once_only_for_labels(
    tmp_path: Path, labels_wanted: bool, with_docker: bool, at_once: list[str]
) -> None:
    """Where bundles are read at once the shims beside them need not be; Docker may tell all labels itself."""
    (tmp_path / "run/containerd/io.containerd.runtime.v2.task").mkdir(parents=True)
    (tmp_path / "var/log/containers").mkdir(parents=True)
    make_socket(tmp_path, "run/containerd/containerd.sock")
    if with_docker:
        make_socket(tmp_path, "run/docker.sock")
    runtimes = discover_runtimes(None, {}, str(tmp_path), clock=time.monotonic, labels_wanted=labels_wanted)
    for wanted, then in ((frozenset[ContainerId](), []), (frozenset({ID}), ["bundles", "logs", "cri"])):
        runtimes.start()
        sources = runtimes.collect(lambda wanted=wanted: wanted).sources  # type: ignore[misc]
        asked_for = [subject.partition(" ")[0] for subject in sources]
        assert asked_for == at_once + [kind for kind in then if kind not in at_once]


def test_what_is_named_is_asked_at_once_whatever_it_is(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    runtimes = discover_runtimes(f"docker=/nowhere,logs={logs}", {}, clock=time.monotonic)
    runtimes.start()
    answers = runtimes.collect()
    assert answers.sources == ("docker (unix:///nowhere)", f"logs ({logs})")


def list_asked(runtimes: Runtimes) -> list[str]:
    """Who is asked for the name of a container that nobody knows."""
    runtimes.start()
    return [subject.partition(" ")[0] for subject in runtimes.collect(lambda: frozenset({ID})).sources]


def make_bundle(root: Path, directory: str) -> None:
    (root / directory).mkdir(parents=True)


@pytest.mark.parametrize("option", [None, "bundles,logs"])
def test_what_comes_to_be_there_later_is_asked_from_then_on(tmp_path: Path, option: str | None) -> None:
    """An agent may be started before an engine at each boot; podman makes its directory with the first container."""
    runtimes = discover_runtimes(option, {}, str(tmp_path), clock=time.monotonic, follow=True)
    at_first = [] if option is None else ["bundles", "logs"]
    assert [list_asked(runtimes) for _ in range(2)] == [at_first] * 2
    make_bundle(tmp_path, "run/containers/storage/overlay-containers")
    assert [list_asked(runtimes) for _ in range(2)] == [["bundles", *at_first[1:]]] * 2
    make_bundle(tmp_path, TASKS)
    assert list_asked(runtimes) == ["bundles", "bundles", *at_first[1:]]
    runtimes.close()


def test_who_is_gone_is_still_asked_unless_another_one_of_his_kind_has_come(tmp_path: Path) -> None:
    docker, crio = (make_socket(tmp_path, path) for path in ("run/docker.sock", "run/crio/crio.sock"))
    runtimes = discover_runtimes(None, {}, str(tmp_path), clock=time.monotonic)
    assert list_asked(runtimes) == ["docker", "cri"]
    for socket in (docker, crio):
        socket.unlink()
    assert list_asked(runtimes) == ["docker", "cri"]
    make_socket(tmp_path, "run/containerd/containerd.sock")
    runtimes.start()
    answers = runtimes.collect(lambda: frozenset({ID}))
    assert [each.replace(str(tmp_path), "") for each in answers.sources] == [
        "docker (unix:///run/docker.sock)",
        "cri (unix:///run/containerd/containerd.sock)",
    ]
    make_socket(tmp_path, "run/crio/crio.sock")
    assert list_asked(runtimes) == ["docker", "cri", "cri"]


def test_what_leads_in_a_circle_by_now_is_asked_as_before(tmp_path: Path) -> None:
    make_socket(tmp_path, "run/docker.sock")
    runtimes = discover_runtimes("docker", {}, str(tmp_path), clock=time.monotonic)
    assert list_asked(runtimes) == ["docker"]
    (tmp_path / "run/docker.sock").unlink()
    (tmp_path / "run/docker.sock").symlink_to("docker.sock")
    assert list_asked(runtimes) == ["docker"]


def test_neither_looking_nor_a_missing_engine_imports_a_client(tmp_path: Path) -> None:
    """Each takes ten milliseconds or more, which a host without that engine must not pay."""
    program = f"""
import sys, time
from nsagent.runtimes.discover import discover_runtimes
environ = {{"DOCKER_HOST": "unix:///nonexistent", "CONTAINER_RUNTIME_ENDPOINT": "/nowhere"}}
runtimes = discover_runtimes(None, environ, {str(tmp_path)!r}, clock=time.monotonic)
runtimes.start()
print([gap.detail for gap in runtimes.collect()[1]])
heavy = ("docker", "requests", "urllib3", "http.client", "grpc", "google.protobuf", "json")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"{['No such file or directory (ENOENT)'] * 2}\n[]\n"
