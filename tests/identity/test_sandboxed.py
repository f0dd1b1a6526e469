"""gVisor and Kata by the names that their handlers and shims go by."""

import pytest

from nsagent.identity.sandboxed import name_sandbox


@pytest.mark.parametrize(
    "handler",
    ["runsc", "gvisor", "gVisor", "runsc-kvm", "io.containerd.runsc.v1", "containerd-shim-runsc-v1", "/usr/bin/runsc"],
)
def test_names_that_mean_gvisor(handler: str) -> None:
    assert name_sandbox(handler) == "gvisor"


@pytest.mark.parametrize(
    "handler",
    [
        "kata",
        "kata-qemu",
        "kata-fc",
        "kata-clh",
        "kata-qemu-snp",
        "kata-mshv-vm-isolation",
        "katacontainers",
        "kata-containers",
        "io.containerd.kata.v2",
        "io.containerd.kata-qemu.v2",
        "containerd-shim-kata-v2",
        "/opt/kata/bin/containerd-shim-kata-qemu-v2",
    ],
)
def test_names_that_mean_kata(handler: str) -> None:
    assert name_sandbox(handler) == "kata"


@pytest.mark.parametrize(
    "handler",
    [
        "",
        "runc",
        "crun",
        "youki",
        "nvidia",
        "io.containerd.runc.v2",
        "containerd-shim-runc-v2",
        "spin",
        "wasmtime",
        "katana",
        "runscript",
        "/opt/kata/bin/runc",
        "/",
        "\0\udcff",
    ],
)
def test_names_that_mean_a_shared_kernel(handler: str) -> None:
    assert name_sandbox(handler) is None
