"""A podman of our own: its own PID, mount and network namespaces, its own storage and API socket; no registry.

In those namespaces nothing of the machine changes (/run, /var/lib and the mounts are its own), and
with its PID 1 all of it ends. Only its cgroups stand outside: they are removed by the names of
what was made. Containers are made by podman's remote client, as its users do.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from tests.live.capabilities import PATH, find_cni_directory
from tests.live.deadlines import until
from tests.live.docker_bed import Made, takes_connections
from tests.live.images import make_busybox_layer
from tests.live.leftovers import (
    MARK_VARIABLE,
    list_processes_in_cgroup,
    list_processes_with,
    marked_environment,
    remove_cgroups,
)
from tests.live.made_cgroups import V2, find_hierarchies

IMAGE = "localhost/nsagent-live:1"
CONTAINER_VARIABLE = "NSAGENT_LIVE_CONTAINER"
PARENT = "libpod_parent"
"""The cgroup that podman's cgroupfs driver makes for all that it runs."""

START_SECONDS = 60.0
CALL_SECONDS = 120.0
LOG_TAIL_BYTES = 4000
_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
lock_type = "file"
cni_plugin_dirs = ["{plugins}"]
[network]
default_subnet = "10.214.0.0/24"
"""
_STORAGE = """
[storage]
driver = "vfs"
runroot = "{directory}/run"
graphroot = "{directory}/store"
"""
# crun works with version 1 or 2 of cgroups only, and not with both at once as runc does. PID 1 stays
# with root: who becomes another user forgets the signal for the death of its parent (prctl(2)).
_START = """
set -e
[ "$1" = runc ] || ! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
mount -t tmpfs -o mode=0755 bed /run
mount -t tmpfs -o mode=0755 bed /var/lib
ip link set lo up
shift
[ "$1" = 0 ] || become="setpriv --reuid=$1 --regid=$1 --clear-groups --"
shift
${become:-} podman "$@" &
wait $!
"""


class PodmanBed:
    """One private `podman system service`, which runs containers by `runtime`: runc or crun.

    With a `uid` it is that user's, without root (podman-rootless): such a user has no further ids
    and no cgroups, and the only networks are host and none.
    """

    def __init__(self, token: str, runtime: str, *, uid: int = 0) -> None:
        self._token = token
        self._runtime = runtime
        self._uid = uid
        self._directory = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._made: list[Made] = []
        self._cgroup_names: list[str] = []

    @property
    def url(self) -> str:
        """What CONTAINER_HOST would be."""
        return f"unix://{self._directory}/podman.sock"

    @property
    def runtime_option(self) -> tuple[str, str]:
        """The options that make nsagent ask this podman and nobody else."""
        return "--runtime", f"podman={self.url}"

    @property
    def netns_inode(self) -> int:
        """The netns of podman, which its containers on the host network share."""
        assert self._process is not None
        return os.stat(f"/proc/{self._process.pid}/ns/net").st_ino

    def start(self) -> None:
        """Start podman and import the image; raises RuntimeError with the end of its log."""
        self._directory = tempfile.mkdtemp(prefix=f"{self._token}-")
        os.chown(self._directory, self._uid, self._uid)
        self._write("containers.conf", _CONFIGURATION.format(plugins=find_cni_directory()))
        self._write("storage.conf", _STORAGE.format(directory=self._directory))
        with open(self._log_path, "wb") as log:
            self._process = subprocess.Popen(
                self._service_command(),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(lambda: takes_connections(self.url), "podman takes connections", seconds=START_SECONDS)
        except TimeoutError as error:
            raise RuntimeError(f"podman does not come up; the end of its log:\n{self._log_tail()}") from error
        archive = self._path("busybox.tar")
        with open(archive, "wb") as file:
            file.write(make_busybox_layer())
        self._call("import", archive, IMAGE)

    def run(
        self,
        name: str,
        network: str,
        command: Sequence[str],
        *,
        pod: str | None = None,
        publish: str | None = None,
        cgroups: bool = True,
    ) -> Made:
        """A started container; `network` is bridge, host, none or container:NAME, and a pod's own in a pod.

        Without `cgroups` it stays in that of podman.
        """
        where = [*(["--pod", pod] if pod else ["--network", network]), *([] if cgroups else ["--cgroups=disabled"])]
        ports = ["--publish", publish] if publish else []
        marks = {MARK_VARIABLE: self._token, CONTAINER_VARIABLE: self._mark(name)}
        environment = [f"--env={variable}={value}" for variable, value in marks.items()]
        id_ = self._call("run", "--detach", "--name", name, *where, *ports, *environment, IMAGE, *command)
        self._cgroup_names.append(f"libpod-{id_}")
        pid, *_ = until(lambda: list(self._list_members(name)), f"{name} has a process")
        made = Made(id_, name, pid, os.stat(f"/proc/{pid}/ns/net").st_ino)
        self._made.append(made)
        return made

    def execute(self, name: str, command: Sequence[str]) -> None:
        """Start a further process in a container, as `podman exec -d` does."""
        self._call("exec", "--detach", name, *command)

    @contextmanager
    def being_stopped(self, made: Made, *, seconds: int) -> Iterator[None]:
        """While this lasts podman waits for the end of a container, which is killed after it."""
        stop = subprocess.Popen(
            self._remote_command("stop", "--time", str(seconds), made.name),
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: self._read_state(made.name) == "stopping", f"{made.name} is being stopped")
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(made.pid, signal.SIGKILL)
            stop.wait(CALL_SECONDS)

    def create(self, name: str) -> None:
        """A container that is not started."""
        self._call("create", "--name", name, IMAGE, "sleep", "100000")

    def make_pod(self, name: str, *, publish: str) -> str:
        """A started pod without containers; the id of its infra container, which does nothing but keep the netns."""
        infra = f"{name}-infra"
        infra_options = ["--infra-name", infra, "--infra-image", IMAGE, "--infra-command", "sleep 100000"]
        # Where there is version 2 alone, the cgroup that podman 4.3 makes for a pod forbids all devices.
        apart = ["--share-parent=false"] if [*find_hierarchies()] == [V2] else []
        pod_id = self._call("pod", "create", "--name", name, "--publish", publish, *apart, *infra_options)
        self._cgroup_names.append(pod_id)
        self._call("pod", "start", name)
        infra_id = self._call("container", "inspect", "--format", "{{.Id}}", infra)
        self._cgroup_names.append(f"libpod-{infra_id}")
        return infra_id

    def list_conmon_pids(self) -> list[int]:
        """The processes that watch over the containers: podman's conmon, one for each."""
        return [pid for pid, command in self._list_commands() if command[0].endswith(b"/conmon")]

    def close(self) -> None:
        """End podman, and with its PID namespace all that it started; remove what it made."""
        if self._process is not None:
            # unshare(1) ignores SIGTERM while it waits; PID 1 in there goes with it.
            self._process.kill()
            self._process.wait()
            until(lambda: not self._is_alive(), "the containers have ended", seconds=START_SECONDS)
            until(self._remove_cgroups, "their cgroups are gone", seconds=START_SECONDS)
        if self._directory:
            shutil.rmtree(self._directory)

    def _mark(self, name: str) -> str:
        return f"{self._token}-{self._runtime}-{self._uid}-{name}"

    def _list_members(self, name: str) -> Iterator[int]:
        """The processes of a container, told by their environment, which does not depend on cgroups."""
        return list_processes_with(CONTAINER_VARIABLE, self._mark(name))

    def _is_alive(self) -> bool:
        """Whether a container that was made still has a process."""
        return any(list_processes_in_cgroup(f"/{name}") for name in self._cgroup_names) or any(
            next(self._list_members(made.name), None) for made in self._made
        )

    def _service_command(self) -> list[str]:
        places = {"root": "store", "runroot": "run", "tmpdir": "tmp", "network-config-dir": "networks"}
        options = [f"--{option}={self._path(name)}" for option, name in places.items()]
        fixed = ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file"]
        namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        start = ["sh", "-c", _START, "sh", self._runtime, str(self._uid)]
        podman = [*options, *fixed, f"--runtime={self._runtime}", "system", "service", "--time=0", self.url]
        return ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, *start, *podman]

    def _settings(self) -> dict[str, str]:
        """What keeps podman from the machine's own configuration and storage."""
        return {
            "CONTAINERS_CONF": self._path("containers.conf"),
            "CONTAINERS_STORAGE_CONF": self._path("storage.conf"),
            "HOME": self._directory,
            "XDG_RUNTIME_DIR": self._directory,
            "TMPDIR": self._directory,
        }

    def _read_state(self, name: str) -> str:
        """What podman calls the state of a container."""
        return self._call("container", "inspect", "--format", "{{.State.Status}}", name)

    def _remote_command(self, *arguments: str) -> list[str]:
        return ["podman", "--remote", "--url", self.url, *arguments]

    def _environment(self) -> dict[str, str]:
        return {**marked_environment(self._token), "PATH": PATH, **self._settings()}

    def _call(self, *arguments: str) -> str:
        """The last line that a command of the remote client prints; raises RuntimeError with its complaint."""
        done = subprocess.run(
            self._remote_command(*arguments),
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"podman {' '.join(arguments)}: {done.stderr.strip()}\n{self._log_tail()}")
        return done.stdout.strip().rpartition("\n")[2]

    def _list_commands(self) -> Iterator[tuple[int, list[bytes]]]:
        """The processes in the PID namespace of this podman, and their arguments."""
        assert self._process is not None
        namespace = os.readlink(f"/proc/{self._process.pid}/ns/pid_for_children")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if os.readlink(f"/proc/{pid}/ns/pid") == namespace:
                    with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                        yield int(pid), cmdline.read().split(b"\0")

    def _remove_cgroups(self) -> bool:
        """Remove the cgroups of what was made, and unused ones around them; whether the first are gone."""
        tops = [os.path.join(hierarchy, PARENT) for hierarchy in find_hierarchies().values()]
        found = {path for top in tops for path, _, _ in os.walk(top)}
        own = {path for path in found if not set(self._cgroup_names).isdisjoint(path.split("/"))}
        around = {path for top in tops for path in (top, os.path.join(top, "conmon")) if path in found}
        remove_cgroups(own | around)
        return not any(map(os.path.exists, own))

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _write(self, name: str, text: str) -> None:
        with open(self._path(name), "w", encoding="utf-8") as file:
            file.write(text)

    @property
    def _log_path(self) -> str:
        return self._path("podman.log")

    def _log_tail(self) -> str:
        with open(self._log_path, "rb") as log:
            return log.read()[-LOG_TAIL_BYTES:].decode(errors="replace")
