"""Snapshots by hand, of which only that matters by which two of them differ."""

from collections.abc import Sequence

from nsagent.model.choices import EngineName
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.facts import FoundBy, ProcessCounts
from nsagent.model.gap import AlikeGaps
from nsagent.model.ids import ContainerId, Fd, Pid, PodUid, SocketCookie, SocketInode
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState
from nsagent.model.process import Process
from nsagent.model.snapshot import (
    Attribution,
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

HOST, WEB = 4026531840, 4026532500
T0, T1 = "2026-01-02T03:04:05.678Z", "2026-01-02T03:05:05.678Z"
ANY = Endpoint("0.0.0.0", 0)
NOTHING_SKIPPED = ProcessCounts(5, 5, 0, 0, 0)


def process(
    pid: int, comm: str = "app", *, container: Container | None = None, unit: str | None = None, start_ticks: int = 100
) -> Process:
    return Process(Pid(pid), start_ticks, comm, 0, None, None if container is None else container.id, unit)


def container(name: str, digit: str = "a", pod: Pod | None = None) -> Container:
    """One whose id is that digit 64 times; of a pod, the runtime calls it otherwise than the pod does."""
    called = name if pod is None else f"k8s_{name}_{digit}"
    inside = None if pod is None else name
    id_ = ContainerId(digit * 64)
    return Container(
        id_, called, NameState.KNOWN, Runtime.DOCKER, "shop/web:1", True, "docker", {}, (), None, pod, inside
    )


def pod(name: str, uid: str) -> Pod:
    return Pod(PodUid(uid), name, "shop", {"token": "s3cret"})


def socket(
    state: SocketState,
    local: Endpoint,
    remote: Endpoint = ANY,
    *holders: Process,
    netns: int = HOST,
    protocol: Protocol = Protocol.TCP,
    inode: int = 7,
    cookie: int | None = 1,
    verdict: VerdictKind | None = None,
    interface: str | None = None,
) -> OwnedSocket:
    """A row; whoever holds it says which container's it is."""
    row = SocketRow(
        protocol,
        Family.IPV4,
        False,
        state,
        local,
        remote,
        0,
        SocketInode(inode),
        None if cookie is None else SocketCookie(cookie),
        None if state is SocketState.TIME_WAIT else 0,
        0,
        0,
        None,
        None,
    )
    owners = tuple(Owner(each, (Fd(3),)) for each in holders)
    return OwnedSocket(
        netns,
        row,
        interface,
        owners,
        holders[0].container_id if holders else None,
        Attribution.FD if holders else Attribution.NONE,
        Confidence.EXACT if holders else Confidence.NONE,
        (),
        None if holders else Verdict(verdict or VerdictKind.UNKNOWN, None, "nobody"),
    )


def listener(port: int, *holders: Process, netns: int = HOST, cookie: int | None = 1, inode: int = 7) -> OwnedSocket:
    return socket(SocketState.LISTEN, Endpoint("0.0.0.0", port), ANY, *holders, netns=netns, cookie=cookie, inode=inode)


def make_netns(
    number: int,
    *,
    cookie: int | None = None,
    names: tuple[str, ...] = (),
    engine: EngineName | None = EngineName.SOCK_DIAG,
) -> Netns:
    """One by its inode; HOST is the host's."""
    return Netns(number, None, cookie, names, (), number == HOST, engine, (FoundBy.PROCESS,), 1, ())


def snapshot(
    *sockets: OwnedSocket,
    taken_at: str = T0,
    boot_id: str | None = "boot",
    containers: Sequence[Container] = (),
    netns: Sequence[Netns] = (make_netns(HOST), make_netns(WEB)),
    gaps: tuple[AlikeGaps, ...] = (),
    processes: ProcessCounts = NOTHING_SKIPPED,
    protocols: tuple[Protocol, ...] = (Protocol.TCP, Protocol.UDP),
) -> Snapshot:
    """One with these rows, of a pass in which everything was read unless gaps say otherwise."""
    return Snapshot(
        host="node-1",
        boot_id=boot_id,
        taken_at=taken_at,
        duration_seconds=0.1,
        engine=EngineName.SOCK_DIAG,
        netns=tuple(netns),
        containers=tuple(containers),
        processes=(),
        sockets=sockets,
        coverage=Coverage(not gaps, processes, NetnsCounts(2, 2, 0, 0, 0), 0, gaps, protocols),
        sources=("docker",),
    )
