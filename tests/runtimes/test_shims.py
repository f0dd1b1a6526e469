"""Which containers have a network stack of their own, by what runs them."""

import os
from pathlib import Path

import pytest

from nsagent.errors import RuntimeUnavailable
from nsagent.model.container import Container, NameState
from nsagent.model.ids import ContainerId
from nsagent.runtimes.shims import ShimSource
from tests.cpu_time import cpu_seconds
from tests.runtimes.bundle_files import FIXTURES, ID, OTHER_ID, put


def list_of(directory: Path) -> dict[str, str | None]:
    return {one.id: one.sandboxed for one in ShimSource(str(directory)).list_containers()}


def test_a_sandboxed_container_is_told_by_its_shim_and_no_other_one_is(tmp_path: Path) -> None:
    put(tmp_path, "k8s.io", {}, shim_binary_path="/opt/kata/bin/containerd-shim-kata-v2")
    put(tmp_path, "k8s.io", {}, OTHER_ID, shim_binary_path="/usr/bin/containerd-shim-runc-v2", runtime="/usr/bin/runc")
    assert ShimSource(str(tmp_path)).list_containers() == (
        Container(ContainerId(ID), None, NameState.UNKNOWN, None, None, True, "bundles", sandboxed="kata"),
    )


def test_what_docker_starts_in_the_place_of_runc_counts(tmp_path: Path) -> None:
    shim = "/usr/bin/containerd-shim-runc-v2"
    put(tmp_path, "moby", {}, shim_binary_path=shim, runtime="/usr/local/bin/runsc")
    assert list_of(tmp_path) == {ID: "gvisor"}


def test_the_bundles_of_real_engines_have_none() -> None:
    assert list_of(FIXTURES / "containerd-1.6") == {}


@pytest.mark.parametrize("odd", ["fifo", "directory", "link", "missing", "long"])
def test_an_odd_file_costs_no_other_container(tmp_path: Path, odd: str) -> None:
    bundle = put(tmp_path, "k8s.io", {})
    file = bundle / "shim-binary-path"
    if odd == "fifo":
        os.mkfifo(file)
    elif odd == "directory":
        file.mkdir()
    elif odd == "link":
        file.symlink_to(put(tmp_path, "x", {}, "e" * 64, shim_binary_path="/containerd-shim-kata-v2"))
    elif odd == "long":
        file.write_text("/x" * 100_000 + "/containerd-shim-kata-v2")
    put(tmp_path, "k8s.io", {}, OTHER_ID, shim_binary_path="/containerd-shim-runsc-v1")
    found = list_of(tmp_path)
    assert (found.get(ID), found[OTHER_ID]) == (None, "gvisor")


def test_what_is_no_id_or_no_namespace_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "default", {}, "my-container", shim_binary_path="/containerd-shim-kata-v2")
    put(tmp_path, None, {}, OTHER_ID)
    (tmp_path / "file").write_text("")
    assert list_of(tmp_path) == {}


def test_a_directory_that_is_absent_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"No such file or directory \(ENOENT\)"):
        ShimSource(str(tmp_path / "none")).list_containers()


def test_a_hundred_take_a_few_milliseconds(tmp_path: Path) -> None:
    for number in range(120):
        put(tmp_path, "k8s.io", {}, f"{number:064x}", shim_binary_path="/usr/bin/containerd-shim-runc-v2")
    assert min(cpu_seconds(lambda: list_of(tmp_path)) for _ in range(5)) < 0.05
