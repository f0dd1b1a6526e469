"""`python -m tests.bench.render`: how long rendering 100,000 sockets takes beside json.dumps of the same rows.

Prints the medians as JSON, in seconds. Nothing is written: what is measured is the making of the text.
A row of jsonl holds its container, so `json.dumps jsonl` is of such rows; `json.dumps table` is of
the rows of `-o json`, which hold an id only.
"""

import json
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from prometheus_client import Metric

from nsagent.model.choices import EngineName
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.facts import FoundBy, ProcessCounts
from nsagent.model.ids import ContainerId, Fd, Pid, PodUid, SocketCookie, SocketInode
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState
from nsagent.model.process import Process
from nsagent.model.snapshot import (
    Attribution,
    ChargedTo,
    Confidence,
    Coverage,
    Netns,
    NetnsCounts,
    OwnedSocket,
    Owner,
    Snapshot,
    Verdict,
    VerdictKind,
)
from nsagent.report.json import render_json
from nsagent.report.jsonl import render_jsonl
from nsagent.report.prom import make_families, write_families
from tests.bench.measure import median
from tests.report.rendered import render_html, render_markdown, render_table

NETNS: Final = 200
PROCESSES: Final = 2000
SOCKETS: Final = 100_000
SERIES: Final = 5000
ROUNDS: Final = 7
_FIRST_NETNS: Final = 4026532000


def main() -> None:
    """Measure, in turns."""
    snapshot = make_snapshot()
    lines = map(json.loads, "".join(render_jsonl(snapshot)).splitlines())
    families = make_series(snapshot)
    renderers: dict[str, Callable[[], object]] = {
        "json.dumps jsonl": partial(json.dumps, [line for line in lines if line["type"] == "socket"]),
        "jsonl": lambda: deque(render_jsonl(snapshot), maxlen=0),
        "json.dumps table": partial(json.dumps, json.loads("".join(render_json(snapshot)))["sockets"]),
        "table": lambda: deque(render_table(snapshot), maxlen=0),
        "markdown": lambda: deque(render_markdown(snapshot), maxlen=0),
        "html": lambda: deque(render_html(snapshot), maxlen=0),
        "5,000 series": lambda: write_families(families),
    }
    seconds: dict[str, list[float]] = {name: [] for name in renderers}
    for _ in range(ROUNDS):
        for name, render in renderers.items():
            start = time.perf_counter()
            render()
            seconds[name].append(time.perf_counter() - start)
    print(json.dumps({name: median(values) for name, values in seconds.items()}))


def make_series(snapshot: Snapshot) -> list[Metric]:
    """5,000 series: listeners of a snapshot."""
    families, _ = make_families(snapshot, SERIES)
    (family,) = [family for family in families if family.name == "nsagent_listeners"]
    family.samples = family.samples[:SERIES]
    return [family]


def make_snapshot() -> Snapshot:
    """A host like the state `large`: one container in each netns, one row in fifty without an owner."""
    processes = tuple(_make_process(index) for index in range(PROCESSES))
    return Snapshot(
        host="node-1",
        boot_id=None,
        taken_at="2026-01-02T03:04:05.678Z",
        duration_seconds=1.0,
        engine=EngineName.SOCK_DIAG,
        netns=tuple(_make_netns(index) for index in range(NETNS)),
        containers=tuple(_make_container(index) for index in range(NETNS)),
        processes=processes,
        sockets=tuple(_make_socket(index, processes[index % PROCESSES]) for index in range(SOCKETS)),
        coverage=Coverage(
            complete=True,
            processes=ProcessCounts(seen=PROCESSES, ok=PROCESSES, vanished=0, denied=0, skipped=0),
            netns=NetnsCounts(seen=NETNS, read=NETNS, empty=0, failed=0, skipped=0),
            socket_fds_unlisted=0,
            gaps=(),
        ),
        sources=(),
    )


def _container_id(index: int) -> ContainerId:
    return ContainerId(f"{index + 1:064x}")


def _make_process(index: int) -> Process:
    netns = index % NETNS
    return Process(
        pid=Pid(1000 + index),
        start_ticks=170_000 + index,
        comm=f"worker-{index}",
        uid=0,
        netns=_FIRST_NETNS + netns,
        container_id=_container_id(netns),
        unit=None,
    )


def _make_netns(index: int) -> Netns:
    return Netns(
        inode=_FIRST_NETNS + index,
        key=None,
        cookie=4100 + index,
        names=(),
        mounts=(),
        is_host=False,
        engine=EngineName.SOCK_DIAG,
        found_by=(FoundBy.PROCESS,),
        processes=PROCESSES // NETNS,
        containers=(_container_id(index),),
    )


def _make_container(index: int) -> Container:
    return Container(
        id=_container_id(index),
        name=f"web-{index}",
        name_state=NameState.KNOWN,
        runtime=Runtime.CONTAINERD,
        image="shop/web:1",
        verified=True,
        source="cri",
        labels={"app": "web", "tier": "front"},
        pod=Pod(PodUid(f"uid-{index}"), f"web-{index}", "shop"),
        container_name="httpd",
    )


def _make_socket(index: int, process: Process) -> OwnedSocket:
    row = _make_row(index)
    container_id = process.container_id
    netns = process.netns or 0
    if row.inode == 0:
        verdict = Verdict(VerdictKind.TIME_WAIT, ChargedTo(process.pid, container_id), "closed by both sides")
        return OwnedSocket(netns, row, None, (), None, Attribution.NONE, Confidence.NONE, (), verdict)
    owner = Owner(process, (Fd(3 + index // PROCESSES),))
    return OwnedSocket(netns, row, None, (owner,), container_id, Attribution.FD, Confidence.EXACT, (), None)


def _make_row(index: int) -> SocketRow:
    """One in ten listens, two in ten are UDP, one in fifty is in TIME_WAIT, the others are established."""
    listening, udp, closed = index % 10 == 0, index % 10 in (1, 2), index % 50 == 5
    state = SocketState.ESTABLISHED
    if listening:
        state = SocketState.LISTEN
    elif udp:
        state = SocketState.CLOSE
    elif closed:
        state = SocketState.TIME_WAIT
    v6 = index % 3 == 0
    unconnected = listening or udp
    any_address, prefix = ("::", "fd00::") if v6 else ("0.0.0.0", "10.1.2.")
    remote = Endpoint(any_address, 0) if unconnected else Endpoint(f"{prefix}{index % 251}", 1024 + index % 60_000)
    return SocketRow(
        protocol=Protocol.UDP if udp else Protocol.TCP,
        family=Family.IPV6 if v6 else Family.IPV4,
        mapped=False,
        state=state,
        local=Endpoint(f"{prefix}{index % 200}", 1024 + index % 50_000),
        remote=remote,
        interface=0,
        inode=SocketInode(0 if closed else 100_000 + index),
        cookie=SocketCookie(5000 + index),
        uid=None if closed else 33,
        rx_queue=0,
        tx_queue=128 if listening else 0,
        cgroup_id=None if closed else 44 + index % NETNS,
        v6only=False if listening and v6 else None,
    )


if __name__ == "__main__":
    main()
