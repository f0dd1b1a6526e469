"""The DaemonSet's own pod on a node of pods, with the real image: every listener by name, whatever befalls it."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

import nsagent
from nsagent.kernel.formats.capability_names import NAMES
from tests.kernel.children import start_child
from tests.live.agent_image import BuiltImage
from tests.live.agent_pod import NODE_NAME, AgentPod, running
from tests.live.capabilities import PATH, trials
from tests.live.coverage import is_whole
from tests.live.cri_node import Listener, Node, describe_specs, list_listeners, make_node
from tests.live.deadlines import until
from tests.live.manifest import Manifest, read_manifest
from tests.live.node_bed import NodeBed
from tests.live.nsagent_cli import NSAGENT, Scan, owners_in, run_nsagent, verdict_kind
from tests.live.pods import PodSpec, PulledImage, serve
from tests.live.rows import read_ss_rows

pytestmark = pytest.mark.timeout(600)

PODS = trials(default=12, full=60)
END_SECONDS = 2.0
LATE_PORT, STRANGERS_PORT = 31000, 31010
STRANGER = 65534
CONFIG = "config.yaml"
KEPT_PORT = 31011
BASE, OBSERVER, EVENTS = "install.yaml", "profiles/observer.yaml", "profiles/events.yaml"
KEEP = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
home = os.open("/proc/self/ns/net", os.O_RDONLY)
assert libc.unshare({1 << 30}) == 0
kept = socket.create_server(("0.0.0.0", {KEPT_PORT}))
assert libc.setns(home, {1 << 30}) == 0
os.close(home)
ready(); wait()
"""
"""A process that listens in a netns that nothing but this socket keeps."""
WAYS: dict[str, Callable[[NodeBed], AbstractContextManager[None]]] = {
    "stopped": NodeBed.stopped,
    "killed": NodeBed.killed,
}


def report(name: str, format_: str, **more: str) -> dict[str, Any]:
    output = {"type": "file", "path": f"/var/lib/nsagent/{name}.{format_}", **more}
    return {"name": name, "every": "1s", "view": "listeners", "format": format_, "outputs": [output]}


def write_config(manifest: Manifest, *reports: dict[str, Any]) -> str:
    """The config that is shipped, with passes as fast as a test is, and these reports besides."""
    (files,) = manifest.config_maps.values()
    config = yaml.safe_load(files[CONFIG])
    quick = {"interval": "1s", "limits": {"memory": config["limits"]["memory"]}}
    return json.dumps({**config, **quick, "reports": [*config["reports"], *reports]})  # JSON is YAML.


def read_quick_manifest(name: str) -> Manifest:
    manifest = read_manifest(name)
    reports = report("now", "json"), report("all", "jsonl", max_size="64MiB")
    return manifest.with_config(CONFIG, write_config(manifest, *reports))


@pytest.fixture(scope="module")
def node(node_bed: NodeBed) -> Iterator[Node]:
    try:
        yield make_node(node_bed, describe_specs(PODS))
    finally:
        node_bed.remove_pods()


@pytest.fixture(scope="module")
def stranger(node: Node, node_bed: NodeBed) -> Iterator[int]:
    """A process of a plain user of the node that listens: its pid there."""
    become = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", "--"]
    listen = ["sh", "-c", f"echo $$; exec busybox nc -l -p {STRANGERS_PORT}"]
    command = [*node_bed.enter, *become, *listen]
    with subprocess.Popen(command, env={"PATH": PATH}, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        netns = f"{node_bed.root}/proc/{pid}/ns/net"
        until(lambda: any(row.local[1] == STRANGERS_PORT for row in read_ss_rows(netns)), "the stranger listens")
        yield pid
        node_bed.run("kill", str(pid))


@pytest.fixture(scope="module")
def image(node_bed: NodeBed, agent_image: BuiltImage) -> PulledImage:
    return node_bed.await_image(agent_image.pulled_name)


@pytest.fixture(scope="module", params=[BASE, OBSERVER])
def agent(
    request: pytest.FixtureRequest, node: Node, stranger: int, node_bed: NodeBed, image: PulledImage
) -> Iterator[AgentPod]:
    del node, stranger  # They are there before it.
    with running(node_bed, read_quick_manifest(request.param), image) as made:
        made.await_started()
        yield made


class Series(NamedTuple):
    """Of nsagent_listeners_info, the labels."""

    namespace: str
    pod: str
    container: str
    address: str
    port: str
    protocol: str


def own_series(agent: AgentPod) -> Series:
    spec = agent.pod.spec
    return Series(spec.kube_namespace, spec.name, "nsagent", agent.pod.address, str(agent.port), "tcp")


def read_series(agent: AgentPod) -> list[Series]:
    """The listeners of containers by its metrics."""
    samples = agent.read_samples()["nsagent_listeners_info"]
    return sorted(Series(**labels) for labels, _ in samples if labels["container"])


def expected_series(agent: AgentPod, node: Node) -> list[Series]:
    listeners = [
        Series(pod.spec.kube_namespace, pod.spec.name, container.name, "::", str(container.port), "tcp")
        for pod in node.pods
        for container in pod.containers
    ]
    return sorted([*listeners, own_series(agent)])


def read_now(agent: AgentPod) -> Scan:
    """The last report of all listeners."""
    path = agent.state / "now.json"
    until(path.exists, "a report is there")
    return Scan(json.loads(path.read_text()))


def listeners_in(scan: Scan, node: Node) -> dict[int, Listener]:
    """Those of containers, and not of the node's own daemons."""
    found = list_listeners(scan, node.netns_inodes)
    return {port: one for port, one in found.items() if one.container_id is not None}


def gap_codes(scan: Scan) -> list[str]:
    """Why something was not read, but for the PID namespace of the bed, in which no kernel thread is seen."""
    return [gap["code"] for gap in scan.coverage["gaps"] if gap["code"] != "pid_namespace"]


def count_passes(agent: AgentPod) -> float:
    ((_, value),) = agent.read_samples()["nsagent_scans_total"]
    return value


def await_another_pass(agent: AgentPod) -> None:
    """Wait for one that begins from now on: the one under way does not count."""
    before = count_passes(agent)
    until(lambda: count_passes(agent) >= before + 2, "another pass has been made")


def read_process_status(node_bed: NodeBed, pid: int) -> dict[str, str]:
    lines = Path(f"{node_bed.root}/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def test_without_host_pid_it_says_so_and_is_not_ready(node: Node, node_bed: NodeBed, image: PulledImage) -> None:
    del node
    with running(node_bed, read_quick_manifest(BASE).without_host_pid(), image) as agent:
        until(lambda: agent.probe("liveness") == 200, "it is served")
        await_another_pass(agent)
        answered = agent.ask("/readyz")
        assert (answered.status, "hostPID: true" in answered.body) == (503, True)
        assert [line for line in agent.said if line.startswith("nsagent: error: not ready: ")]
        assert {row["container_id"] for row in read_now(agent).sockets} == {agent.container.id}


class Seen(NamedTuple):
    """What an agent sees without one of its capabilities."""

    engines: set[str]
    """By which the netns of the pods are read."""
    named: bool
    """Whether every listener of every pod has its process, container and pod."""
    stranger: str | None
    """The verdict of the row of a plain user's process, None where its owner is seen."""
    gaps: set[str]
    advice: str


@pytest.mark.parametrize(
    ("capability", "seen"),
    [
        ("SYS_ADMIN", Seen({"proc"}, True, None, set(), "")),
        ("SYS_PTRACE", Seen({"proc"}, False, "hidden", {"EACCES", "not_told"}, "add CAP_SYS_PTRACE")),
        ("DAC_READ_SEARCH", Seen({"sock_diag"}, True, "hidden", {"EACCES"}, "add CAP_DAC_READ_SEARCH")),
    ],
)
def test_without_a_capability_it_sees_what_is_promised(
    node: Node, stranger: int, node_bed: NodeBed, image: PulledImage, capability: str, seen: Seen
) -> None:
    """The ports of all rows are there in any case: only whose they are, and what netlink tells, takes capabilities."""
    with running(node_bed, read_quick_manifest(BASE).without_capability(capability), image) as agent:
        agent.await_started()
        await_another_pass(agent)
        scan = read_now(agent)
        said = "\n".join(agent.said)
    row = find_strangers_row(scan)
    own = agent.pod.netns_inode
    found = Seen(
        engines={netns["engine"] for netns in scan.netns if netns["inode"] != own},
        named=listeners_in(scan, node) == node.listeners,
        stranger=verdict_kind(row),
        gaps=set(gap_codes(scan)),
        advice=seen.advice if seen.advice in said else said,
    )
    assert found == seen
    assert stranger in owners_in(row) or seen.stranger == "hidden"
    assert {row["local"]["port"] for row in scan.sockets} >= node.listeners.keys()


@pytest.mark.parametrize("profile", [BASE, EVENTS])
def test_a_netns_that_only_a_socket_keeps_is_seen_with_the_rights_for_events(
    node: Node, node_bed: NodeBed, image: PulledImage, profile: str
) -> None:
    """With the others its socket is counted as one that could not be looked up."""
    with start_child(KEEP, *node_bed.enter), running(node_bed, read_quick_manifest(profile), image) as agent:
        agent.await_started()
        await_another_pass(agent)
        scan = read_now(agent)
        assert read_process_status(node_bed, agent.container.pid)["CapBnd"] == rights_mask(agent)
        assert listeners_in(scan, node) == node.listeners
    found = [(len(row["owners"]), row["attribution"]) for row in scan.sockets if row["local"]["port"] == KEPT_PORT]
    expected = ([(1, "fd")], []) if profile == EVENTS else ([], ["EPERM"])
    assert (found, gap_codes(scan)) == expected


def test_the_pod_has_the_rights_of_its_manifest_and_no_others(agent: AgentPod, node_bed: NodeBed) -> None:
    mask = rights_mask(agent)
    status = read_process_status(node_bed, agent.container.pid)
    kept = {name: status[name] for name in ("Uid", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")}
    assert kept == {
        "Uid": "0\t0\t0\t0",
        "CapPrm": mask,
        "CapEff": mask,
        "CapBnd": mask,
        "CapAmb": "0" * 16,
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }


def rights_mask(agent: AgentPod) -> str:
    """The capabilities of the manifest as /proc/PID/status writes them."""
    names = agent.manifest.container["securityContext"]["capabilities"]["add"]
    return f"{sum(1 << NAMES.index(name.lower()) for name in names):016x}"


def test_its_metrics_name_every_listener_of_every_pod(agent: AgentPod, node: Node) -> None:
    await_another_pass(agent)
    assert read_series(agent) == expected_series(agent, node)


def test_its_reports_name_every_listener_of_every_pod(agent: AgentPod, node: Node) -> None:
    await_another_pass(agent)
    assert listeners_in(read_now(agent), node) == node.listeners


@pytest.mark.parametrize("agent", [BASE], indirect=True)
def test_with_its_capabilities_all_is_seen(agent: AgentPod, stranger: int) -> None:
    await_another_pass(agent)
    scan = read_now(agent)
    assert (is_whole(scan.coverage), gap_codes(scan)) == (True, [])
    assert {netns["engine"] for netns in scan.netns} == {"sock_diag"}
    assert owners_in(find_strangers_row(scan)) == {stranger: [3]}


@pytest.mark.parametrize("agent", [OBSERVER], indirect=True)
def test_what_only_netlink_has_is_null_to_an_observer(agent: AgentPod, stranger: int) -> None:
    await_another_pass(agent)
    scan = read_now(agent)
    foreign = [row for row in scan.sockets if row["netns"] != agent.pod.netns_inode]
    assert {netns["engine"] for netns in scan.netns if netns["inode"] != agent.pod.netns_inode} == {"proc"}
    assert {(row["cookie"], row["cgroup_id"], row["accept_queue"]["limit"]) for row in foreign} == {(None,) * 3}
    assert owners_in(find_strangers_row(scan)) == {stranger: [3]}
    # The numbers of its processes are of another PID namespace, where threads cannot be compared.
    assert gap_codes(scan) == ["not_told"]


def find_strangers_row(scan: Scan) -> Any:
    (row,) = (row for row in scan.sockets if row["local"]["port"] == STRANGERS_PORT)
    return row


def test_who_comes_by_kubectl_exec_is_told_how_it_fares(agent: AgentPod) -> None:
    assert agent.run("status").startswith(f"agent     {nsagent.__version__} on {NODE_NAME}, ")


@pytest.mark.parametrize("way", WAYS)
def test_without_containerd_it_is_alive_ready_and_knows_every_name(agent: AgentPod, node: Node, way: str) -> None:
    with WAYS[way](node.bed):  # type: ignore[arg-type]
        await_another_pass(agent)
        assert (agent.probe("liveness"), agent.probe("readiness")) == (200, 200)
        assert read_series(agent) == expected_series(agent, node)


def test_a_changed_config_map_is_loaded_and_a_wrong_one_is_not(agent: AgentPod) -> None:
    shipped = agent.manifest.config_maps["nsagent"]
    changed = write_config(read_manifest(BASE), report("other", "json"))
    agent.write_config({CONFIG: changed})
    agent.await_status(lambda status: status["reports"][-1]["name"] == "other", "the change is loaded")
    until(lambda: (agent.state / "other.json").exists(), "the new report is made")
    agent.write_config({CONFIG: changed.replace("listeners", "listenres")})
    status = agent.await_status(lambda status: not status["config"]["last_reload_ok"], "the wrong one is refused")
    assert status["reports"][-1]["name"] == "other"
    assert "did you mean" in status["config"]["error"]
    agent.write_config(shipped)
    agent.await_status(lambda status: status["reports"][-1]["name"] == "all", "the first one is loaded again")


def test_what_is_written_outlives_sigkill_and_a_restart(agent: AgentPod, node: Node, node_bed: NodeBed) -> None:
    late = node_bed.run_pod(PodSpec("late", [serve("app", LATE_PORT)], "shop"))
    try:
        await_in_history(agent, node_bed, LATE_PORT)
        history, reports = read_history(node_bed), (agent.state / "all.jsonl").read_bytes()
        agent.kill()
    finally:
        node_bed.remove_pod(late)
    agent.restart()
    agent.await_started()
    await_another_pass(agent)
    assert read_history(node_bed)[: len(history)] == history
    after = (agent.state / "all.jsonl").read_bytes()
    assert after.startswith(reports)
    assert len(after) > len(reports)
    assert all(json.loads(line) for line in after.splitlines())
    assert read_series(agent) == expected_series(agent, node)


def await_in_history(agent: AgentPod, node_bed: NodeBed, port: int) -> None:
    try:
        until(lambda: any(str(port) in line for line in read_history(node_bed)), f"the history knows of port {port}")
    except TimeoutError as err:
        err.add_note(f"the agent has said {agent.said}, and fares like this: {agent.tell_status()}")
        raise


def read_history(node_bed: NodeBed) -> list[str]:
    """The changes that the node's file remembers, the oldest first."""
    ran = run_nsagent("history", "--since", "1h", "-o", "jsonl", command=[*node_bed.enter, *NSAGENT])
    assert ran.status == 0, ran.stderr
    lines = ran.stdout.decode().splitlines()
    return [line for line in lines if json.loads(line)["type"] == "change"]


def test_sigterm_ends_it_in_time_with_its_reports_whole(agent: AgentPod) -> None:
    ended = agent.stop()
    assert (ended.status, ended.seconds < END_SECONDS, agent.said[-1]) == (0, True, "nsagent: info: ended")
    assert not [line for line in agent.said if "Traceback" in line]
    json.loads((agent.state / "now.json").read_text())
    assert all(json.loads(line) for line in (agent.state / "all.jsonl").read_text().splitlines())
    agent.restart()
    agent.await_started()
