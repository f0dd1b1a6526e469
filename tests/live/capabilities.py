"""What a live test needs of its machine, and how much work it is asked to do.

A missing capability skips the test with its name; with NSAGENT_TEST_REQUIRE=all, as in CI, it
fails the test instead. NSAGENT_TEST_SCALE is `default` or `full`. NSAGENT_TEST_SEED is `random`, as in
`make fuzz`, or a number that a failure has named.
"""

import os
import random
import shutil
import time
from collections.abc import Callable, Mapping
from enum import StrEnum

import pytest

from nsagent.errors import EventsUnavailable
from nsagent.kernel.formats.release import is_at_least
from nsagent.kernel.proc_events import open_connector
from nsagent.kernel.procfs import ProcFs
from tests.manifests.tools import HELM, KUBECTL
from tests.monitoring.promtool import PROMTOOL

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
PATH = os.environ.get("PATH", os.defpath) + ":" + SBIN

CNI_DIRECTORIES = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
CNI_PLUGINS = ("bridge", "host-local", "loopback")


class Capability(StrEnum):
    """The names under which tests skip."""

    ROOT = "root"
    NETNS = "ip (iproute2)"
    SS = "ss (iproute2)"
    NSENTER = "nsenter (util-linux)"
    SETPRIV = "setpriv and unshare (util-linux)"
    IPV6 = "IPv6 in this kernel"
    DOCKERD = "dockerd (docker.io)"
    IPTABLES = "iptables"
    CONTAINERD = "containerd with runc"
    CNI_PLUGINS = "the CNI plugins bridge, host-local and loopback (containernetworking-plugins)"
    PODMAN = "podman with conmon"
    RUNC = "runc"
    CRUN = "crun"
    BUSYBOX = "a static busybox (busybox-static)"
    MMDEBSTRAP = "mmdebstrap"
    CGROUPS_V1 = "cgroup hierarchies of version 1"
    GCC = "gcc and the headers of libc (gcc, libc6-dev)"
    STRACE = "strace"
    FUSE = "FUSE in this kernel, and /dev/fuse"
    IO_URING = "io_uring in this kernel"
    VXLAN = "VXLAN in this kernel"
    IDLE_SOCKETS = "sockets that are bound and do nothing, in sock_diag (Linux 6.8)"
    FD_COUNTS = "the number of fds as the size of /proc/PID/fd (Linux 6.2)"
    MPTCP = "MPTCP in this kernel"
    MPTCP_COUNTS = "a count of MPTCP sockets (Linux 6.2)"
    ORPHAN_UIDS = "the uids of sockets that no fd can hold (Linux 6.17)"
    VSOCK = "AF_VSOCK in this kernel"
    ROOT_CGROUP_NAMESPACE = "the root cgroup namespace"
    HELM = "helm and kubectl, which run on amd64 (make build/kubernetes/helm)"
    PROMTOOL = "promtool (make build/prometheus/promtool)"
    SYSTEMD_ANALYZE = "systemd-analyze (systemd)"
    GROFF = "groff (groff-base)"
    JQ = "jq"
    PROCESS_EVENTS = "process events, which the kernel tells in the host's PID namespace"
    LAST_PID = "ns_last_pid in /proc/sys/kernel (CONFIG_CHECKPOINT_RESTORE)"
    READABLE_INTERPRETER = "an interpreter that other users may run"


def find_program(name: str) -> str | None:
    """The path of a program, searched in the sbin directories too."""
    return shutil.which(name, path=PATH)


def find_cni_directory() -> str | None:
    """The directory with the CNI plugins that the beds need."""
    return next((path for path in CNI_DIRECTORIES if all(shutil.which(name, path=path) for name in CNI_PLUGINS)), None)


def _has_process_events() -> bool:
    try:
        open_connector(ProcFs(), time.monotonic).close()
    except EventsUnavailable:
        return False
    return True


def _has(*programs: str) -> Callable[[], bool]:
    return lambda: all(find_program(name) for name in programs)


_CHECKS: Mapping[Capability, Callable[[], bool]] = {
    Capability.ROOT: lambda: os.geteuid() == 0,
    Capability.NETNS: _has("ip"),
    Capability.SS: _has("ss"),
    Capability.NSENTER: _has("nsenter"),
    Capability.SETPRIV: _has("setpriv", "unshare", "mount"),
    Capability.IPV6: lambda: os.path.exists("/proc/self/net/if_inet6"),
    Capability.DOCKERD: _has("dockerd", "containerd", "runc"),
    Capability.IPTABLES: _has("iptables"),
    Capability.CONTAINERD: _has("containerd", "containerd-shim-runc-v2", "ctr", "runc"),
    Capability.CNI_PLUGINS: lambda: find_cni_directory() is not None,
    Capability.PODMAN: _has("podman", "conmon"),
    Capability.RUNC: _has("runc"),
    Capability.CRUN: _has("crun"),
    Capability.BUSYBOX: _has("busybox"),
    Capability.MMDEBSTRAP: _has("mmdebstrap"),
    Capability.CGROUPS_V1: lambda: not os.path.exists("/sys/fs/cgroup/cgroup.controllers"),
    Capability.GCC: _has("gcc"),
    Capability.STRACE: _has("strace"),
    Capability.IDLE_SOCKETS: lambda: is_at_least(os.uname().release, 6, 8),
    Capability.FD_COUNTS: lambda: is_at_least(os.uname().release, 6, 2),
    Capability.MPTCP_COUNTS: lambda: is_at_least(os.uname().release, 6, 2),
    Capability.ORPHAN_UIDS: lambda: is_at_least(os.uname().release, 6, 17),
    Capability.HELM: lambda: os.uname().machine == "x86_64" and HELM.is_file() and KUBECTL.is_file(),
    Capability.PROMTOOL: PROMTOOL.is_file,
    Capability.SYSTEMD_ANALYZE: _has("systemd-analyze"),
    Capability.GROFF: _has("groff"),
    Capability.JQ: _has("jq"),
    Capability.PROCESS_EVENTS: _has_process_events,
    Capability.LAST_PID: lambda: os.path.exists("/proc/sys/kernel/ns_last_pid"),
    Capability.FUSE: lambda: os.path.exists("/dev/fuse"),
}


def require(*capabilities: Capability) -> None:
    """Skip, or fail where everything is required, unless this machine has them all."""
    for capability in capabilities:
        if not _CHECKS[capability]():
            lack(capability)


def lack(capability: Capability, detail: str = "") -> None:
    """This machine turned out not to have `capability`: skip, or fail where all are required."""
    reason = f"missing capability: {capability}" + (f" ({detail})" if detail else "")
    if os.environ.get("NSAGENT_TEST_REQUIRE") == "all":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def trials(*, default: int, full: int) -> int:
    """How many trials a test runs at the scale that the environment asks for."""
    scale = os.environ.get("NSAGENT_TEST_SCALE", "default")
    if scale not in ("default", "full"):
        pytest.fail(f"NSAGENT_TEST_SCALE is {scale!r}, not default or full", pytrace=False)
    return full if scale == "full" else default


def choose_seed(fixed: int) -> int:
    """A seed of random input: `fixed`, so that each run is alike, unless the environment asks for another."""
    given = os.environ.get("NSAGENT_TEST_SEED", "")
    if given == "random":
        return random.SystemRandom().getrandbits(32)
    return int(given or fixed)
