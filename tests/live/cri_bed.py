"""A containerd of our own, and pods as a kubelet makes them: own netns, mounts, data, socket and images.

The bed plays the kubelet: it names pods, puts them into cgroups and links their logs as one does.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import IO

from nsagent.errors import FormatError, RuntimeUnavailable
from tests.live import pods
from tests.live.capabilities import PATH
from tests.live.cri_client import CriClient
from tests.live.cri_configuration import PAUSE_IMAGE, Places, write_configuration
from tests.live.cri_init import BED_VARIABLE
from tests.live.deadlines import until
from tests.live.images import Image, make_archive
from tests.live.leftovers import MARK_VARIABLE, list_processes_in_cgroup, marked_environment, pod_mark
from tests.live.pods import ContainerSpec, MadeContainer, MadePod, PodSpec, PulledImage, Qos, serve
from tests.live.stopping import stopped

IMAGE = "docker.io/nsagent-live/busybox:1"
PAUSE_COMMAND = ("sleep", "2147483647")
START_SECONDS = 120.0
IMPORT_SECONDS = 240.0
"""For the agent's image, which is unpacked file by file."""
END_SECONDS = 60.0
POD_WORKERS = 4
DAEMON_LOG_TAIL_BYTES = 4000
KINDS = ("cri", "bundles", "logs")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class CriBed:
    """One private containerd; `start` it once, `close` ends it and every pod, by pid, and removes all it made."""

    namespaces: Sequence[str] = ("--mount", "--net")
    """Those of the node's own, as unshare and nsenter call them."""

    def __init__(self, token: str) -> None:
        self.image = PulledImage(IMAGE, "")
        self._token = token
        self._directory = ""
        self._init: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        self._daemon: subprocess.Popen[bytes] | None = None
        self._pods: dict[str, MadePod] = {}
        self._numbers = iter(range(1, 1_000_000))

    @property
    def client(self) -> CriClient:
        """The CRI of the running containerd."""
        return CriClient(self._socket_path)

    @property
    def daemon_pid(self) -> int:
        """The pid of containerd."""
        assert self._daemon is not None
        return self._daemon.pid

    @property
    def netns_inode(self) -> int:
        """The netns of containerd, which pods on the host network share."""
        return os.stat(f"/proc/{self._init_pid}/ns/net").st_ino

    @property
    def root(self) -> str:
        """What to put before a path of the node: empty where it is the same for the test."""
        return ""

    @property
    def places(self) -> Places:
        """Paths of the node."""
        directory = self._directory
        return Places(f"{directory}/root", f"{directory}/state", f"{directory}/containerd.sock", f"{directory}/log")

    @property
    def enter(self) -> list[str]:
        """What to put before a command to run it on the node: where the names of the pods' netns are."""
        return ["nsenter", f"--target={self._init_pid}", *self.namespaces, "--"]

    def runtime_option(self, *kinds: str) -> tuple[str, str]:
        """The options that make nsagent ask these sources of the bed, and nobody else; `cri`, `bundles`, `logs`."""
        places = {
            "cri": f"unix://{self.places.socket}",
            "bundles": f"{self.places.state}/io.containerd.runtime.v2.task",
            "logs": f"{self.places.log}/containers",
        }
        return "--runtime", ",".join(f"{kind}={places[kind]}" for kind in kinds) or "none"

    def start(self) -> None:
        """Start containerd and import the images; raises RuntimeError with the end of its log."""
        self._directory = tempfile.mkdtemp(prefix=f"{self._token}-")
        write_configuration(self._directory, self.places)
        self._start_init()
        self.start_daemon()
        self._import_images()

    def start_daemon(self) -> None:
        """Start containerd, also anew; it finds the pods again that it has left."""
        # Its pods live on without it: it is the init that ends them if tests are killed.
        daemon = ["setpriv", "--pdeathsig", "TERM", "containerd", f"--config={self._directory}/config.toml"]
        with open(self._log_path, "ab") as log:
            self._daemon = subprocess.Popen(
                [*self.enter, *daemon],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(self._answers, "containerd answers", seconds=START_SECONDS)
        except (TimeoutError, ChildProcessError) as error:
            raise RuntimeError(
                f"containerd does not come up ({error}); the end of its log:\n{self._log_tail()}"
            ) from error

    def kill_daemon(self) -> None:
        """containerd is gone from one moment to the next; pods and their shims live on."""
        assert self._daemon is not None
        os.kill(self.daemon_pid, signal.SIGKILL)
        self._daemon.wait()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """containerd neither answers nor refuses while this lasts."""
        with stopped(self.daemon_pid):
            yield

    @contextmanager
    def killed(self) -> Iterator[None]:
        """There is no containerd while this lasts."""
        self.kill_daemon()
        try:
            yield
        finally:
            self.start_daemon()

    def import_archive(self, archive: IO[bytes]) -> None:
        """Give containerd the images of a docker-archive."""
        ctr = ["ctr", f"--address={self._socket_path}", "--namespace=k8s.io"]
        subprocess.run(
            [*ctr, "images", "import", "--snapshotter=native", "-"],
            env=self._environment(),
            stdin=archive,
            capture_output=True,
            timeout=IMPORT_SECONDS,
            check=True,
        )

    def await_image(self, name: str) -> PulledImage:
        """An image that was given: CRI hears of new ones by an event."""
        return PulledImage(name, str(until(lambda: self.client.find_image(name), f"image {name} is there")))

    def run_pod(self, spec: PodSpec) -> MadePod:
        """A pod with all its containers started, and their logs linked."""
        made = self.start_sandbox(spec, self.make_uid(static=spec.static))
        containers = [self._run_container(made, one) for one in spec.containers]
        return self._keep(made._replace(containers=containers))

    def start_sandbox(self, spec: PodSpec, uid: str, security: bytes | None = None) -> MadePod:
        """A pod without containers yet; `security` is the LinuxSandboxSecurityContext, if it is not the usual one."""
        logs = self._log_directory(spec, uid)
        os.makedirs(logs)
        config = pods.sandbox_config(spec, uid, logs.removeprefix(self.root), security)
        sandbox_id = self.client.run_pod_sandbox(config)
        sandbox = self.client.pod_sandbox(sandbox_id)
        netns = f"{self.root}/proc/{sandbox.pid}/ns/net"
        inode = os.stat(netns).st_ino
        return self._keep(MadePod(spec, uid, sandbox_id, config, sandbox.pid, sandbox.address, netns, inode, ()))

    def start_container(self, pod: MadePod, container: ContainerSpec, config: bytes, attempt: int = 0) -> MadeContainer:
        """A container of a pod by its ContainerConfig, its log linked."""
        log = self.log_path(pod, container.name, attempt)
        os.makedirs(os.path.dirname(log), exist_ok=True)
        id_ = self.client.create_container(pod.sandbox_id, config, pod.sandbox_config)
        self.client.start_container(id_)
        made = MadeContainer(id_, container.name, self.client.container_pid(id_), container.port)
        os.symlink(log.removeprefix(self.root), self._log_link(pod.spec, made))
        return made

    def log_path(self, pod: MadePod, container_name: str, attempt: int = 0) -> str:
        """The log of a container, as the test sees it."""
        return os.path.join(self._log_directory(pod.spec, pod.uid), pods.log_name(container_name, attempt))

    def make_uid(self, *, static: bool = False) -> str:
        """The uid of a new pod, by which its cgroups are found again."""
        return pods.make_uid(pod_mark(self._token), next(self._numbers), static=static)

    def restart_container(self, made: MadePod, name: str) -> MadePod:
        """Kill a container and start it again, as a kubelet does: the pod with the new one, which has another id.

        The old one is not removed: as an exited one it is in the engine's lists, and its log is kept.
        """
        old = made.container(name)
        os.kill(old.pid, signal.SIGKILL)
        until(lambda: not self.client.is_running(old.id), f"{name} has ended")
        spec = next(one for one in made.spec.containers if one.name == name)
        new = self._run_container(made, spec, attempt=1)
        containers = [new if one is old else one for one in made.containers]
        return made._replace(containers=containers)

    def run_pods(self, specs: Sequence[PodSpec]) -> list[MadePod]:
        """Several pods, made side by side, in the order of their descriptions."""
        with ThreadPoolExecutor(POD_WORKERS) as workers:
            return list(workers.map(self.run_pod, specs))

    def remove_pod(self, made: MadePod) -> None:
        """End a pod and forget it, as a kubelet does with one that was deleted."""
        self.client.remove_pod_sandbox(made.sandbox_id)
        logs = self._log_directory(made.spec, made.uid)
        links = f"{self.root}{self.places.log}/containers"
        for link in (os.path.join(links, name) for name in os.listdir(links)):
            # Another pod may be removed by another thread meanwhile.
            with suppress(FileNotFoundError):
                if f"{self.root}{os.readlink(link)}".startswith(f"{logs}/"):
                    os.unlink(link)
        del self._pods[made.sandbox_id]

    def remove_pods(self) -> None:
        """Remove every pod made so far."""
        with ThreadPoolExecutor(POD_WORKERS) as workers:
            list(workers.map(self.remove_pod, list(self._pods.values())))

    def execute(self, container: MadeContainer, command: Sequence[str]) -> int:
        """Start a further process in a container, which outlives the exec that started it; its pid."""
        script = '"$@" </dev/null >/dev/null 2>&1 & echo $!'
        done = self.client.exec_sync(container.id, ["sh", "-c", script, "sh", *command])
        assert done.status == 0, done.stderr
        inner_pid = int(done.stdout)
        return next(pid for pid in list_processes_in_cgroup(container.id) if _innermost_pid(pid) == inner_pid)

    def run_demo(self) -> list[MadePod]:
        """A small node to look at: a web pod with a sidecar, an exporter on the host network, a static etcd."""
        return self.run_pods(
            [
                PodSpec(
                    "web-6d5f8c7b9-x2x7k",
                    (serve("nginx", 8080), serve("metrics", 9113)),
                    "shop",
                    labels=(("app", "web"), ("pod-template-hash", "6d5f8c7b9")),
                ),
                PodSpec(
                    "node-exporter-4kq2z",
                    (serve("exporter", 9100),),
                    "monitoring",
                    labels=(("app", "node-exporter"),),
                    qos=Qos.BURSTABLE,
                    host_network=True,
                ),
                PodSpec(
                    "etcd-node-1",
                    (serve("etcd", 2379),),
                    "kube-system",
                    labels=(("component", "etcd"), ("tier", "control-plane")),
                    qos=Qos.BURSTABLE,
                    host_network=True,
                    static=True,
                ),
            ]
        )

    def close(self) -> None:
        """End containerd, pods and shims, and remove their cgroups, mounts and files; the init does it."""
        if self._init is not None:
            assert self._init.stdin is not None
            self._init.stdin.close()
            self._init.wait(END_SECONDS)
        if self._daemon is not None:
            self._daemon.wait(END_SECONDS)
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def _socket_path(self) -> str:
        return f"{self.root}{self.places.socket}"

    @property
    def _log_path(self) -> str:
        return os.path.join(self._directory, "containerd.log")

    def _environment(self) -> dict[str, str]:
        return {**marked_environment(self._token), BED_VARIABLE: self._directory, "PATH": PATH}

    def _start_init(self) -> None:
        """Make the mounts and the netns, and the process that holds them."""
        proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._init = subprocess.Popen(
                [
                    *self._unshare(),
                    sys.executable,
                    "-m",
                    "tests.live.cri_init",
                    self._token,
                    self._directory,
                    str(proc),
                ],
                cwd=ROOT,
                env={**marked_environment(self._token), "PATH": PATH},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[proc],
                start_new_session=True,
            )
        finally:
            os.close(proc)
        assert self._init.stdout is not None
        with self._init.stdout as stdout:
            said = stdout.readline()
        if not said:
            raise RuntimeError("the init of the bed does not come up")
        self._init_pid = int(said)
        os.makedirs(f"{self.root}{self.places.log}/containers")

    def _unshare(self) -> list[str]:
        """What runs the init in the namespaces of the node."""
        return ["unshare", *self.namespaces, "--propagation", "private"]

    def _answers(self) -> bool:
        """Whether CRI answers; containerd makes its socket before."""
        assert self._daemon is not None
        if self._daemon.poll() is not None:
            raise ChildProcessError(f"it ended with {self._daemon.returncode}")
        try:
            return self.client.is_ready()
        except (OSError, RuntimeUnavailable, FormatError):
            return False

    def _import_images(self) -> None:
        """Give containerd the images, whose environment marks what runs in them."""
        environment = {MARK_VARIABLE: self._token, BED_VARIABLE: self._directory}
        images = [Image(IMAGE, ("sh",), environment), Image(PAUSE_IMAGE, PAUSE_COMMAND, environment)]
        with tempfile.TemporaryFile() as archive:
            archive.write(make_archive(images))
            archive.seek(0)
            self.import_archive(archive)
        self.await_image(PAUSE_IMAGE)
        self.image = self.await_image(IMAGE)

    def _run_container(self, pod: MadePod, container: ContainerSpec, attempt: int = 0) -> MadeContainer:
        config = pods.container_config(pod.spec, pod.uid, container, self.image, attempt)
        return self.start_container(pod, container, config, attempt)

    def _keep(self, made: MadePod) -> MadePod:
        self._pods[made.sandbox_id] = made
        return made

    def _log_directory(self, spec: PodSpec, uid: str) -> str:
        return f"{self.root}{self.places.log}/pods/{pods.log_directory_name(spec, uid)}"

    def _log_link(self, spec: PodSpec, container: MadeContainer) -> str:
        return f"{self.root}{self.places.log}/containers/{pods.log_link_name(spec, container)}"

    def _log_tail(self) -> str:
        with open(self._log_path, "rb") as log:
            return log.read()[-DAEMON_LOG_TAIL_BYTES:].decode(errors="replace")


def _innermost_pid(pid: int) -> int | None:
    """The pid of a process in its own PID namespace; None if it is gone."""
    with suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
        return next(int(line.split()[-1]) for line in status if line.startswith("NSpid:"))
    return None
