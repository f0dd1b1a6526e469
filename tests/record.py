"""Record the captures under fixtures/captures anew: `unshare --net --pid --fork --mount-proc python -m tests.record`.

Names of scenes record these alone. Run it as root, in namespaces of its own as shown, so that
nothing of the machine gets into the files. Then `make golden`, and look at what has changed.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tests.live.cri_bed import CriBed
from tests.live.docker_bed import DockerBed
from tests.live.netns_bed import NetnsBed, run_ip
from tests.live.pods import ContainerSpec, PodSpec

CAPTURES = Path(__file__).parent.parent / "fixtures" / "captures"
TOKEN = "demo"
BUSY_NETNS = 12

B = TypeVar("B", DockerBed, CriBed)


def record(name: str, *arguments: str, enter: Sequence[str] = ()) -> None:
    """One capture of everything in this PID namespace."""
    file = CAPTURES / f"{name}.json.gz"
    environment = {**os.environ, "NSAGENT_HOST": "node-1"}
    command = [*enter, sys.executable, "-m", "nsagent", "capture", str(file), *arguments]
    subprocess.run(command, env=environment, check=True, timeout=60)
    file.chmod(0o644)
    print(f"{file.name}: {file.stat().st_size} bytes")


def record_plain(bed: NetnsBed) -> None:
    """One netns: a web server with clients and one of them waiting, a resolver, a half-closed connection."""
    server, client = bed.actor(), bed.actor()
    server.ask("rename", comm="httpd")
    client.ask("rename", comm="curl")
    web = server.listen(address="0.0.0.0", port=80)
    dual = server.listen(family="ipv6", address="::", port=8080, v6only=False)
    for listener in (web, dual):
        client.connect("127.0.0.1", listener.port)
        server.accept(listener)
    client.connect("127.0.0.1", 80)
    early = client.connect("127.0.0.1", 80)
    client.drop(early)
    server.udp(address="127.0.0.53", port=53)
    client.udp(family="ipv6", address="::1", port=5353)
    record("plain", "--runtime", "none")


def record_equal_addresses(bed: NetnsBed) -> None:
    """Two netns with the same addresses on both ends of a connection; nothing but the netns tells them apart."""
    for name in ("blue", "green"):
        netns, actor = bed.stage()
        run_ip("-n", str(netns.name), "address", "add", "10.0.0.1/24", "dev", "lo")
        actor.ask("rename", comm=name)
        listener = actor.listen(address="10.0.0.1", port=5432)
        actor.connect("10.0.0.1", 5432)
        actor.accept(listener)
    record("equal-addresses", "--runtime", "none")


def record_busy(bed: NetnsBed) -> None:
    """A node with a dozen netns, each with a server, its worker, and their clients."""
    for number in range(BUSY_NETNS):
        _, server = bed.stage()
        server.ask("rename", comm=f"service-{number}")
        listener = server.listen(address="0.0.0.0", port=8000 + number)
        for _ in range(5):
            server.connect("127.0.0.1", listener.port)
            server.accept(listener)
        server.udp(address="0.0.0.0", port=9000 + number)
        server.fork()
        server.connect("127.0.0.1", listener.port)
    record("busy", "--runtime", "none")


def record_docker(bed: DockerBed) -> None:
    """Containers on every kind of network, and a process that `docker exec` started."""
    web = bed.run("web", "bridge", ["httpd", "-f", "-p", "80"], labels={"com.docker.compose.service": "web"})
    bed.run("sidecar", "container:web", ["httpd", "-f", "-p", "9090"])
    bed.run("client", "bridge", ["sh", "-c", f"sleep 1000 | nc {bed.address(web)} 9090"])
    bed.run("exporter", "host", ["httpd", "-f", "-p", "9100"])
    bed.run("batch", "none", ["httpd", "-f", "-p", "7000"])
    bed.execute(web, ["httpd", "-f", "-p", "2222"])
    subprocess.run(["sleep", "1"], check=True)
    record("docker", *bed.runtime_option, enter=["nsenter", f"--net=/run/netns/{TOKEN}-docker"])


def record_pods(bed: CriBed) -> None:
    """A small Kubernetes node, with a client in a pod of another Kubernetes namespace."""
    web = bed.run_demo()[0]
    command = ("sh", "-c", f"sleep 1000 | nc {web.address} 8080")
    bed.run_pod(PodSpec("load-8c5d", [ContainerSpec("nc", command)], "test", labels=(("app", "load"),)))
    subprocess.run(["sleep", "1"], check=True)
    record("pods", *bed.runtime_option("cri", "bundles", "logs"), enter=bed.enter)


def record_troubled(bed: CriBed) -> None:
    """What operators look for, and the same node before: a leak, a full accept queue, a new listener, left-overs."""
    stuck = "httpd -f -p 8080 & sleep 15; kill -STOP $!; wait"
    leaky = ("nc", "-ll", "-p", "9000", "-e", "sleep", "9999")
    web, api, slow = bed.run_pods(
        [
            PodSpec("web-6d5f8c7b9-x2x7k", (ContainerSpec("nginx", ("httpd", "-f", "-p", "443")),), "shop"),
            PodSpec("api-5c9d7-q8w2r", (ContainerSpec("api", leaky),), "shop"),
            PodSpec("slow-7f6b5-m4n3v", (ContainerSpec("slow", ("sh", "-c", stuck)),), "shop"),
        ]
    )
    watcher = ContainerSpec("agent", ("httpd", "-f", "-p", "127.0.0.1:9100"))
    bed.run_pod(PodSpec("node-agent-4kq2z", (watcher,), "ops", host_network=True))
    used = f"sleep 20 | nc {web.address} 443 & sleep 15"
    leak = f"for each in 1 2 3; do nc {api.address} 9000 </dev/null & sleep 1; kill $!; done"
    fill = f"for each in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 9999 | nc {slow.address} 8080 & done"
    ask = f"wget -q -O /dev/null http://{web.address}:443/; sleep 9999 | nc {web.address} 443"
    script = f"{used}; {leak}; {fill}; httpd -p 4444; {ask}"
    bed.run_pod(PodSpec("load-8c5d", (ContainerSpec("client", ("sh", "-c", script)),), "test"))
    for seconds, name in (("5", "earlier"), ("25", "troubled")):
        subprocess.run(["sleep", seconds], check=True)
        record(name, *bed.runtime_option("cri", "bundles", "logs"), enter=bed.enter)


def on_bed(scene: Callable[[NetnsBed], None]) -> None:
    bed = NetnsBed(TOKEN)
    try:
        scene(bed)
    finally:
        bed.close()


def on_engine(bed: B, scene: Callable[[B], None]) -> None:
    try:
        bed.start()
        scene(bed)
    finally:
        bed.close()


def main() -> None:
    """Record the scenes that the arguments name, or every one."""
    CAPTURES.mkdir(parents=True, exist_ok=True)
    run_ip("link", "set", "lo", "up")
    scenes = {
        "docker": lambda: on_engine(DockerBed(TOKEN), record_docker),
        "pods": lambda: on_engine(CriBed(TOKEN), record_pods),
        "troubled": lambda: on_engine(CriBed(TOKEN), record_troubled),
        "equal-addresses": lambda: on_bed(record_equal_addresses),
        "busy": lambda: on_bed(record_busy),
        "plain": lambda: on_bed(record_plain),
    }
    for name in sys.argv[1:] or scenes:
        scenes[name]()


if __name__ == "__main__":
    main()
