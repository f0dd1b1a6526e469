"""A dockerd of our own: its own netns, data, sockets and busybox image; nothing from a registry."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import docker
from docker.errors import DockerException
from requests import RequestException

from tests.live.capabilities import PATH
from tests.live.deadlines import until
from tests.live.images import make_busybox_layer
from tests.live.leftovers import (
    list_docker_cgroups,
    list_marked_processes,
    list_mounts,
    list_processes_in_cgroup,
    marked_environment,
    remove_cgroups,
)
from tests.live.netns_bed import NAMED_DIRECTORY, run_ip
from tests.live.stopping import stopped

IMAGE = "nsagent-live/busybox:1"
BRIDGE = "10.213.0.1/24"
START_SECONDS = 120.0
DAEMON_LOG_TAIL_BYTES = 4000


class Made(NamedTuple):
    """A running container: its id, name, first pid, and the inode of its netns."""

    id: str
    name: str
    pid: int
    netns_inode: int


class DockerBed:
    """One private dockerd; `start` it once, `close` ends it by its pid and removes all it made.

    `name` tells several beds of a session apart, `options` are further ones of dockerd(8). Only with
    `--live-restore` the containers outlive `kill` and `end`, and `restart` finds them again.
    """

    def __init__(self, token: str, *, name: str = "docker", options: Sequence[str] = ()) -> None:
        self._token = token
        self._netns = f"{token}-{name}"
        self._options = options
        self._directory = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._client: docker.DockerClient | None = None
        self._made: list[Made] = []

    @property
    def url(self) -> str:
        """What DOCKER_HOST would be."""
        return f"unix://{self._directory}/docker.sock"

    @property
    def runtime_option(self) -> tuple[str, str]:
        """The options that make nsagent ask this dockerd and nobody else."""
        return "--runtime", f"docker={self.url}"

    @property
    def client(self) -> docker.DockerClient:
        """The API of the running dockerd."""
        assert self._client is not None
        return self._client

    @property
    def daemon_pid(self) -> int:
        """The pid of dockerd."""
        assert self._process is not None
        return self._process.pid

    @property
    def netns_inode(self) -> int:
        """The netns of dockerd, which its containers on the host network share."""
        return os.stat(os.path.join(NAMED_DIRECTORY, self._netns)).st_ino

    def start(self) -> None:
        """Start dockerd and import the image; raises RuntimeError."""
        self._directory = tempfile.mkdtemp(prefix=f"{self._token}-")
        run_ip("netns", "add", self._netns)
        run_ip("-n", self._netns, "link", "set", "lo", "up")
        self._launch()
        repository, tag = IMAGE.split(":")
        self.client.api.import_image_from_data(make_busybox_layer(), repository=repository, tag=tag)

    def kill(self) -> None:
        """SIGKILL dockerd; containerd goes with it, the shims and what runs in containers stay."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        # Until PID 1 has reaped containerd, the next dockerd would take it for one that still runs.
        os.unlink(os.path.join(self._directory, "exec", "containerd", "containerd.pid"))

    def end(self) -> None:
        """Have dockerd end as a service manager does."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(START_SECONDS)

    def restart(self) -> None:
        """Start dockerd again, after `kill` or `end`, and return as soon as it answers."""
        if self._client is not None:
            self._client.close()
        self._launch()

    def run(self, name: str, network: str, command: Sequence[str], **options: Any) -> Made:
        """A started container; `network` is bridge, host, none or container:NAME, `options` are of the SDK's run()."""
        container = self.client.containers.run(
            IMAGE, list(command), name=name, network_mode=network, detach=True, init=False, **options
        )
        container.reload()
        pid = int(container.attrs["State"]["Pid"])
        made = Made(str(container.id), name, pid, os.stat(f"/proc/{pid}/ns/net").st_ino)
        self._made.append(made)
        return made

    def execute(self, made: Made, command: Sequence[str]) -> int:
        """Start a further process in a container, as `docker exec -d` does; its pid."""
        api = self.client.api
        started = api.exec_create(made.id, list(command))
        api.exec_start(started["Id"], detach=True)
        return int(until(lambda: api.exec_inspect(started["Id"])["Pid"], "the exec has a pid"))

    def address(self, made: Made) -> str:
        """The address of a container on the bridge."""
        networks = self.client.api.inspect_container(made.id)["NetworkSettings"]["Networks"]
        return str(networks["bridge"]["IPAddress"])

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """dockerd neither answers nor refuses while this lasts."""
        with stopped(self.daemon_pid):
            yield

    def remove_all(self) -> None:
        """Kill and remove every container made so far."""
        for made in self._made:
            with suppress(DockerException, RequestException):
                self.client.api.remove_container(made.id, force=True)

    def close(self) -> None:
        """End containers, dockerd and containerd, unmount and remove what they made.

        Raises TimeoutError if cgroups of the containers stay.
        """
        if self._client is not None:
            self.remove_all()
            self._client.close()
        self._end_daemon()
        for path in reversed(list_mounts()):
            if self._directory and path.startswith(self._directory):
                subprocess.run(["umount", "--lazy", path], check=False, timeout=20)
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
        if os.path.exists(os.path.join(NAMED_DIRECTORY, self._netns)):
            run_ip("netns", "delete", self._netns)
        until(self._remove_cgroups, "the cgroups of the containers are gone")

    @property
    def _log_path(self) -> str:
        return os.path.join(self._directory, "dockerd.log")

    def _launch(self) -> None:
        """Start dockerd and wait for its first answer; raises RuntimeError with the end of its log."""
        with open(self._log_path, "ab") as log:
            self._process = subprocess.Popen(
                self._daemon_command(),
                env={**marked_environment(self._token), "PATH": PATH},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(self._is_ready, "dockerd takes connections", seconds=START_SECONDS)
            self._client = docker.DockerClient(self.url, timeout=int(START_SECONDS))
        except (TimeoutError, ChildProcessError, DockerException) as error:
            raise RuntimeError(
                f"dockerd does not come up ({error}); the end of its log:\n{self._log_tail()}"
            ) from error

    def _daemon_command(self) -> list[str]:
        directory = self._directory
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "dockerd.pid"}
        options = [f"--{option}={directory}/{name}" for option, name in places.items()]
        netns = f"--net={os.path.join(NAMED_DIRECTORY, self._netns)}"
        # A dockerd that outlived killed tests would keep its containers for ever.
        enter = ["nsenter", netns, "setpriv", "--pdeathsig", "TERM"]
        return [*enter, "dockerd", f"--host={self.url}", f"--bip={BRIDGE}", *options, *self._options]

    def _is_ready(self) -> bool:
        """Whether it takes connections; raises ChildProcessError if it has ended."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise ChildProcessError(f"it ended with {self._process.returncode}")
        return takes_connections(self.url)

    def _log_tail(self) -> str:
        with open(self._log_path, "rb") as log:
            return log.read()[-DAEMON_LOG_TAIL_BYTES:].decode(errors="replace")

    def _end_daemon(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        remaining = [pid for made in self._made for pid in list_processes_in_cgroup(made.id)]
        end = time.monotonic() + 5
        while remaining or (remaining := self._list_own_processes()):
            for pid in remaining:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM if time.monotonic() < end else signal.SIGKILL)
            remaining = []
            time.sleep(0.02)

    def _remove_cgroups(self) -> bool:
        """Remove those of the containers that dockerd has left; whether none is there."""
        remove_cgroups(list_docker_cgroups(made.id for made in self._made))
        return not list_docker_cgroups(made.id for made in self._made)

    def _list_own_processes(self) -> list[int]:
        """containerd and its shims, which carry the directory in their arguments."""
        own: list[int] = []
        for pid in list_marked_processes(self._token):
            with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                if self._directory.encode() in cmdline.read():
                    own.append(pid)
        return own


def takes_connections(url: str) -> bool:
    """Whether a dockerd has its socket; it answers the first request when it is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(url.removeprefix("unix://")) == 0
