"""A small snapshot by hand that has one of each oddity."""

import pytest

from nsagent.model.choices import EngineName
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.facts import FoundBy, HeldBy, Interface, ProcessCounts, Rewalk, Visibility
from nsagent.model.gap import Kind, Stage, merge_gaps
from nsagent.model.ids import ContainerId, Fd, Pid, PodUid, SocketCookie, SocketInode, Tid
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState, TcpInfo
from nsagent.model.process import Process
from nsagent.model.snapshot import (
    Attribution,
    ChargedTo,
    Confidence,
    Coverage,
    Flag,
    HostCount,
    Netns,
    NetnsCounts,
    OwnedSocket,
    Owner,
    RowCount,
    Snapshot,
    Verdict,
    VerdictKind,
)
from tests.gaps import failed, unnamed

HOST, WEB, KEYED = 4026531840, 4026532500, 4026533000
WEB_ID = ContainerId("c0ffee" + "0" * 58)
WEB_POD = Pod(PodUid("11-22"), "web-7d9c", "shop", {"app": "web"}, PodUid("ab" * 16))
NAMELESS_ID = ContainerId("badcafe" + "0" * 57)


def process(
    pid: int, comm: str, netns: int, container_id: ContainerId | None = None, unit: str | None = None
) -> Process:
    return Process(Pid(pid), pid * 100, comm, 0, netns, container_id, unit)


def row(
    state: SocketState,
    local: Endpoint,
    remote: Endpoint,
    *,
    protocol: Protocol = Protocol.TCP,
    family: Family = Family.IPV4,
    mapped: bool = False,
    interface: int | None = 0,
    inode: int = 0,
    cookie: int | None = None,
    uid: int | None = None,
    queues: tuple[int, int | None] = (0, 0),
    cgroup_id: int | None = None,
    v6only: bool | None = None,
    mptcp: bool | None = None,
    tcp_info: TcpInfo | None = None,
) -> SocketRow:
    return SocketRow(
        protocol,
        family,
        mapped,
        state,
        local,
        remote,
        interface,
        SocketInode(inode),
        None if cookie is None else SocketCookie(cookie),
        uid,
        *queues,
        cgroup_id,
        v6only,
        mptcp,
        tcp_info,
    )


def held(netns: int, table_row: SocketRow, *owners: Owner, interface: str | None = None) -> OwnedSocket:
    first = owners[0].process
    odd = any(owner.process.netns != netns for owner in owners)
    flags = (Flag.NETNS_MISMATCH,) if odd else ()
    return OwnedSocket(
        netns, table_row, interface, owners, first.container_id, Attribution.FD, Confidence.EXACT, flags, None
    )


def ownerless(netns: int, table_row: SocketRow, verdict: Verdict) -> OwnedSocket:
    return OwnedSocket(netns, table_row, None, (), None, Attribution.NONE, Confidence.NONE, (), verdict)


def sample_sockets() -> tuple[OwnedSocket, ...]:
    master = process(100, "nginx", WEB, WEB_ID)
    worker = process(101, "nginx: wörker", WEB, WEB_ID)
    hostile = process(300, "\x1b[31m\n\udcff\u202e=x", HOST, unit="evil.service")
    nameless = process(400, "app", WEB, NAMELESS_ID)
    any_v4, any_v6 = Endpoint("0.0.0.0", 0), Endpoint("::", 0)
    return (
        held(
            WEB,
            row(
                SocketState.LISTEN,
                Endpoint("::", 80),
                any_v6,
                family=Family.IPV6,
                inode=7732,
                cookie=4099,
                uid=0,
                queues=(1, 128),
                cgroup_id=44,
                v6only=False,
            ),
            Owner(master, (Fd(3), Fd(9))),
            Owner(worker, (Fd(3),)),
        ),
        held(
            WEB,
            row(
                SocketState.ESTABLISHED,
                Endpoint("10.0.0.2", 80, "::ffff:10.0.0.2"),
                Endpoint("10.0.0.1", 50000, "::ffff:10.0.0.1"),
                mapped=True,
                inode=7740,
                cookie=4100,
                uid=33,
                queues=(5, 7),
                cgroup_id=44,
                mptcp=True,
                tcp_info=TcpInfo(1234, 56, 900, 1, 5, 0, 10, 1448, 3000, 2999, 70, 500, None),
            ),
            Owner(worker, (Fd(12),), Tid(105)),
        ),
        ownerless(
            WEB,
            row(SocketState.TIME_WAIT, Endpoint("10.0.0.2", 80), Endpoint("10.0.0.1", 50001), cookie=4101),
            Verdict(VerdictKind.TIME_WAIT, ChargedTo(Pid(100), WEB_ID), "closed by both sides"),
        ),
        held(
            HOST,
            row(
                SocketState.CLOSE,
                Endpoint("0.0.0.0", 68),
                any_v4,
                protocol=Protocol.UDP,
                interface=2,
                inode=8000,
                uid=0,
            ),
            Owner(hostile, (Fd(6),), None, HeldBy.IO_URING),
            interface="eth0",
        ),
        held(
            -KEYED,
            row(
                SocketState.LISTEN,
                Endpoint("::", 22),
                any_v6,
                family=Family.IPV6,
                interface=None,
                inode=8001,
                uid=0,
                queues=(0, None),
                v6only=True,
            ),
            Owner(nameless, (Fd(3),)),
        ),
        ownerless(
            HOST,
            row(SocketState.SYN_RECV, Endpoint("2001:db8::1", 443), Endpoint("2001:db8::2", 6000), family=Family.IPV6),
            Verdict(VerdictKind.SYN_RECV, None, "not accepted yet"),
        ),
    )


def sample_netns() -> tuple[Netns, ...]:
    loopback = Interface(1, "lo", None, True, "00:00:00:00:00:00", ("127.0.0.1/8", "::1/128"))
    veth = Interface(6, "eth0", "veth", True, "02:00:00:00:00:01", ("10.0.0.2/24",), 7, HOST)
    alone = Interface(8, "v\x1b", "veth", False, None, (), 9)
    process_only = (FoundBy.PROCESS,)
    return (
        Netns(HOST, None, 1, (), (), True, EngineName.SOCK_DIAG, process_only, 200, (), (loopback,)),
        Netns(
            WEB,
            None,
            4101,
            ("web", "w2"),
            ("/run/netns/web", "/run/netns/w2"),
            False,
            EngineName.SOCK_DIAG,
            (FoundBy.PROCESS, FoundBy.MOUNT),
            3,
            (WEB_ID, NAMELESS_ID),
            (loopback, veth, alone),
            (RowCount("tcp", 2, 2), RowCount("time_wait", 1, None)),
            (WEB_POD,),
        ),
        Netns(None, KEYED, None, (), (), False, None, process_only, 1, ()),
    )


def sample_containers() -> tuple[Container, ...]:
    return (
        Container(
            WEB_ID,
            "web",
            NameState.KNOWN,
            Runtime.CONTAINERD,
            "shop/web:1",
            True,
            "cri",
            labels={"b": "\x1b", "a": "é"},
            pod=WEB_POD,
            container_name="httpd",
        ),
        Container(
            NAMELESS_ID, None, NameState.UNKNOWN, None, None, False, "cgroup", chain=(WEB_ID,), sandboxed="gvisor"
        ),
    )


@pytest.fixture(scope="session")
def snapshot() -> Snapshot:
    """Three netns, two containers, six sockets: a dual-stack listener of two processes, and oddities.

    A thread with its own fd table holds the MPTCP connection, an io_uring the UDP socket.
    """
    gaps = merge_gaps(
        (
            *(failed(Stage.FDS, Kind.PROCESS, pid, "EACCES") for pid in (1, 2, 3)),
            unnamed("docker", "no answer within 2 s"),
        )
    )
    return Snapshot(
        host="node-1",
        boot_id=None,
        taken_at="2026-01-02T03:04:05.678Z",
        duration_seconds=0.21000000049,
        engine=EngineName.AUTO,
        netns=sample_netns(),
        containers=sample_containers(),
        processes=(),
        sockets=sample_sockets(),
        coverage=Coverage(
            False,
            ProcessCounts(214, 210, 1, 3, 0),
            NetnsCounts(3, 2, 0, 1, 0, ((FoundBy.PROCESS, 2), (FoundBy.MOUNT, 1))),
            4,
            gaps,
            host=(HostCount("tcp_sockets", 4, 6),),
            visibility=Visibility(hidepid="invisible", init=False, partial=True),
            rewalk=Rewalk(1, 20, 2, 0, 0.004),
            stale_names=("old",),
        ),
        sources=("cgroup", "docker"),
    )
