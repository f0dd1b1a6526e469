"""The agent's own pod on a node: made of a manifest, watched and ended as a kubelet does."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from nsagent.cli.agent_client import find_status
from tests.live.capabilities import PATH
from tests.live.deadlines import until
from tests.live.manifest import Given, Manifest, container_config, describe_pod, sandbox_security
from tests.live.node_bed import NodeBed
from tests.live.pods import ContainerSpec, MadeContainer, MadePod, PulledImage, pod_labels
from tests.live.volumes import make_volumes, write_config_map

NODE_NAME = "node-1"
STATE = "/var/lib/nsagent"
ASK_SECONDS = 30.0

ASK = """\
import http.client, sys
address, port, path = sys.argv[1:]
connection = http.client.HTTPConnection(address, int(port), timeout=10)
connection.request("GET", path)
answer = connection.getresponse()
sys.stdout.buffer.write(b"%d\\n" % answer.status + answer.read())
"""


class Answered(NamedTuple):
    """A status, 0 where nobody listens, and a body."""

    status: int
    body: str


class Ended(NamedTuple):
    """How a container ended, and how long after it was told to."""

    status: int
    seconds: float


class AgentPod:
    """One pod of the DaemonSet of a manifest; made and started at once, `close` removes it with its volumes."""

    def __init__(self, bed: NodeBed, manifest: Manifest, image: PulledImage, suffix: str = "x7k2p") -> None:
        self._bed = bed
        self.manifest = manifest
        self._attempts = iter(range(1000))
        spec = describe_pod(manifest, suffix)
        uid = bed.make_uid()
        volumes = make_volumes(bed, manifest, uid)
        self.pod: MadePod = bed.start_sandbox(spec, uid, sandbox_security(manifest))
        self._given = Given(NODE_NAME, spec, uid, self.pod.address, volumes, image)
        self.container = self._start()

    @property
    def port(self) -> int:
        """Where its metrics are, and its probes go."""
        (port,) = self.manifest.container["ports"]
        assert port["name"] == "metrics"
        return int(port["containerPort"])

    @property
    def state(self) -> Path:
        """What it writes, as the test sees it."""
        return Path(f"{self._bed.root}{STATE}")

    @property
    def said(self) -> list[str]:
        """The lines that it has said, of all its containers: the format of CRI has three words before each."""
        logs = Path(self._bed.log_path(self.pod, self.container.name)).parent
        lines = [line for log in sorted(logs.iterdir()) for line in log.read_text().splitlines()]
        return [line.split(" ", 3)[3] for line in lines]

    def ask(self, path: str) -> Answered:
        """A GET from the node, which every pod answers."""
        command = [sys.executable, "-I", "-S", "-c", ASK, self.pod.address, str(self.port), path]
        done = subprocess.run(
            [*self._bed.enter, *command],
            env={"PATH": PATH},
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            assert "ConnectionRefusedError" in done.stderr, done.stderr
            return Answered(0, "")
        status, _, body = done.stdout.partition("\n")
        return Answered(int(status), body)

    def probe(self, name: str) -> int:
        """What a kubelet is answered by one of the probes."""
        probe = self.manifest.container[f"{name}Probe"]["httpGet"]
        assert probe["port"] == "metrics"
        return self.ask(probe["path"]).status

    def await_started(self) -> None:
        """Wait until its startup probe passes; fails if it ends before."""

        def look() -> bool:
            assert self._bed.client.is_running(self.container.id), self.said
            return self.probe("startup") == 200

        until(look, "the agent has started")

    def read_samples(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Its metrics now: labels and value of each sample, by the names of metrics."""
        samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(self.ask("/metrics").body):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((sample.labels, sample.value))
        return samples

    def run(self, *arguments: str) -> str:
        """What nsagent says that is run in the container, as by kubectl exec."""
        done = self._bed.client.exec_sync(self.container.id, ["python3", "-I", "-m", "nsagent", *arguments])
        assert done.status == 0, done.stderr
        return done.stdout

    def tell_status(self) -> dict[str, Any]:
        """How it fares now, by its unix socket."""
        status = find_status(Path(f"{self._bed.root}/proc/{self.container.pid}/root/run/nsagent/agent.sock"))
        assert status is not None, self.said
        return status

    def await_status(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Its status once it is as wanted."""
        return until(lambda: status if wanted(status := self.tell_status()) else None, what) or {}

    def stop(self) -> Ended:
        """End it as a kubelet does, with the grace that the manifest gives."""
        grace = int(self.manifest.pod["terminationGracePeriodSeconds"])
        started = time.monotonic()
        status = self._bed.client.stop_container(self.container.id, grace)
        return Ended(status, time.monotonic() - started)

    def kill(self) -> None:
        """It is gone from one moment to the next."""
        self._bed.run("kill", "-KILL", str(self.container.pid))
        until(lambda: not self._bed.client.is_running(self.container.id), "the agent is gone")

    def restart(self) -> None:
        """Another container in the same pod, as a kubelet makes one after the one before has ended."""
        self.container = self._start()

    def write_config(self, files: Mapping[str, str]) -> None:
        """What a kubelet does once the ConfigMap has changed."""
        write_config_map(f"{self._bed.root}{self._given.volumes['config']}", files)

    def close(self) -> None:
        """Remove the pod, and what it has written on the node."""
        with suppress(Exception):
            self._bed.run("umount", self._given.volumes["run"])
        self._bed.remove_pod(self.pod)
        shutil.rmtree(self.state)

    def _start(self) -> MadeContainer:
        attempt = next(self._attempts)
        labels = pod_labels(self.pod.spec, self.pod.uid)
        config = container_config(self.manifest, self._given, labels, attempt)
        spec = ContainerSpec(self.manifest.container["name"], (), self.port)
        return self._bed.start_container(self.pod, spec, config, attempt)


@contextmanager
def running(bed: NodeBed, manifest: Manifest, image: PulledImage) -> Iterator[AgentPod]:
    """A pod that has started and not been asked yet."""
    agent = AgentPod(bed, manifest, image)
    try:
        yield agent
    finally:
        agent.close()
