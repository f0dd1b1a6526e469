"""The text of a socket row equals json.dumps of the plain dict that is built here, independently."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.facts import HeldBy
from nsagent.model.ids import ContainerId, Fd, Pid, PodUid, SocketCookie, SocketInode, Tid
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState, TcpInfo, Timer, TimerKind
from nsagent.model.process import Process
from nsagent.model.snapshot import (
    Attribution,
    ChargedTo,
    Confidence,
    Flag,
    OwnedSocket,
    Owner,
    Snapshot,
    Verdict,
    VerdictKind,
)
from nsagent.report.json import render_json
from nsagent.report.jsonl import render_jsonl

HOSTILE = st.text(
    st.characters(codec=None) | st.sampled_from('\x1b\n\r\t\x7f\x85\u202e\u2028\udcff\udc80\ud800\\"=+-@,')
)
NUMBERS = st.integers(0, 2**64 - 1)
NETNS_NUMBERS = NUMBERS | NUMBERS.map(lambda key: -key)
"""Of a netns that only its key tells apart, negative: JSON has the key."""
PIDS = st.builds(Pid, st.integers(1, 2**22))
CONTAINER_IDS = st.builds(ContainerId, st.sampled_from(["a" * 64, "b" * 64]) | HOSTILE)
ADDRESSES = st.one_of(st.ip_addresses().map(str), HOSTILE)
ENDPOINTS = st.builds(Endpoint, ADDRESSES, st.integers(0, 65535), st.none() | ADDRESSES)
TCP_INFOS = st.builds(
    TcpInfo,
    *[NUMBERS] * 2,
    st.none() | NUMBERS,
    *[NUMBERS] * 5,
    *[st.none() | NUMBERS] * 5,
)
ROWS = st.builds(
    SocketRow,
    protocol=st.sampled_from(Protocol),
    family=st.sampled_from(Family),
    mapped=st.booleans(),
    state=st.sampled_from(SocketState),
    local=ENDPOINTS,
    remote=ENDPOINTS,
    interface=st.none() | NUMBERS,
    inode=st.builds(SocketInode, NUMBERS),
    cookie=st.none() | st.builds(SocketCookie, NUMBERS),
    uid=st.none() | NUMBERS,
    rx_queue=st.integers(0, 2) | NUMBERS,
    tx_queue=st.none() | st.integers(0, 2) | NUMBERS,
    cgroup_id=st.none() | NUMBERS,
    v6only=st.none() | st.booleans(),
    mptcp=st.none() | st.booleans(),
    tcp_info=st.none() | TCP_INFOS,
    timer=st.none() | st.builds(Timer, st.sampled_from(TimerKind), NUMBERS, NUMBERS),
)
PROCESSES = st.builds(
    Process,
    pid=PIDS,
    start_ticks=NUMBERS,
    comm=HOSTILE,
    uid=NUMBERS,
    netns=st.none() | NETNS_NUMBERS,
    container_id=st.none() | CONTAINER_IDS,
    unit=st.none() | HOSTILE,
    around=st.lists(CONTAINER_IDS, max_size=1).map(tuple),
    inner=st.lists(CONTAINER_IDS, max_size=2).map(tuple),
)
FDS = st.lists(st.builds(Fd, NUMBERS), min_size=1, max_size=3).map(tuple)
OWNERS = st.builds(Owner, PROCESSES, FDS, st.none() | st.builds(Tid, NUMBERS), st.sampled_from(HeldBy))
VERDICTS = st.builds(
    Verdict,
    kind=st.sampled_from(VerdictKind),
    charged_to=st.none() | st.builds(ChargedTo, st.none() | PIDS, st.none() | CONTAINER_IDS),
    reason=HOSTILE,
)
SOCKETS = st.builds(
    OwnedSocket,
    netns=NETNS_NUMBERS,
    row=ROWS,
    interface=st.none() | HOSTILE,
    owners=st.lists(OWNERS, max_size=3).map(tuple),
    container_id=st.none() | CONTAINER_IDS,
    attribution=st.sampled_from(Attribution),
    confidence=st.sampled_from(Confidence),
    flags=st.lists(st.sampled_from(Flag), max_size=3).map(tuple),
    verdict=st.none() | VERDICTS,
    pod=st.none() | st.builds(Pod, st.none() | st.builds(PodUid, HOSTILE), st.none() | HOSTILE, st.none() | HOSTILE),
)
PODS = st.builds(
    Pod,
    st.none() | st.builds(PodUid, HOSTILE),
    st.none() | HOSTILE,
    st.none() | HOSTILE,
    st.dictionaries(st.text("abc="), HOSTILE, max_size=2),
    st.none() | st.builds(PodUid, HOSTILE),
)
CONTAINERS = st.builds(
    Container,
    id=CONTAINER_IDS,
    name=st.none() | HOSTILE,
    name_state=st.sampled_from(NameState),
    runtime=st.none() | st.sampled_from(Runtime),
    image=st.none() | HOSTILE,
    verified=st.booleans(),
    source=HOSTILE,
    labels=st.dictionaries(st.text("abc="), HOSTILE, max_size=2),
    chain=st.lists(CONTAINER_IDS, max_size=2).map(tuple),
    sandboxed=st.none() | HOSTILE,
    pod=st.none() | PODS,
    container_name=st.none() | HOSTILE,
    sandbox=st.booleans(),
)


def told(text: str) -> str:
    """The text as JSON tells it: a surrogate becomes the bytes it stands for, as \\xNN each."""

    def bytes_of(match: re.Match[str]) -> str:
        code = ord(match[0])
        raw = bytes([code - 0xDC00]) if 0xDC80 <= code < 0xDD00 else match[0].encode("utf-8", "surrogatepass")
        return re.sub("(..)", r"\\x\1", raw.hex())

    return re.sub("[\ud800-\udfff]", bytes_of, text)


def told_or_none(text: str | None) -> str | None:
    return None if text is None else told(text)


def plain_endpoint(endpoint: Endpoint) -> dict[str, object]:
    plain: dict[str, object] = {"address": told(endpoint.address), "port": endpoint.port}
    if endpoint.raw_address is not None:
        plain["raw_address"] = told(endpoint.raw_address)
    return plain


def plain_verdict(verdict: Verdict | None) -> dict[str, object] | None:
    if verdict is None:
        return None
    charged = verdict.charged_to
    return {
        "kind": verdict.kind.value,
        "charged_to": charged and {"pid": charged.pid, "container_id": told_or_none(charged.container_id)},
        "reason": told(verdict.reason),
    }


def plain_owner(owner: Owner) -> dict[str, object]:
    process = owner.process
    return {
        "pid": process.pid,
        "fds": list(owner.fds),
        "comm": told(process.comm),
        "start_ticks": process.start_ticks,
        "netns": process.netns and abs(process.netns),
        "container_id": told_or_none(process.container_id),
        "unit": told_or_none(process.unit),
        **({"chain": list(map(told, chain))} if (chain := (*process.around, *process.inner)) else {}),
        "tid": owner.tid,
        "held_by": owner.held_by.value,
    }


def plain_tcp_info(told: TcpInfo | None) -> dict[str, object] | None:
    if told is None:
        return None
    return {
        "rtt_us": told.rtt_us,
        "rtt_variation_us": told.rtt_variation_us,
        "min_rtt_us": told.min_rtt_us,
        "retransmits": told.retransmits,
        "total_retransmits": told.total_retransmits,
        "lost": told.lost,
        "congestion_window": told.congestion_window,
        "mss": told.mss,
        "bytes_sent": told.bytes_sent,
        "bytes_acked": told.bytes_acked,
        "bytes_received": told.bytes_received,
        "bytes_retransmitted": told.bytes_retransmitted,
        "delivery_rate_bytes_per_second": told.delivery_rate_bytes_per_second,
    }


def plain_timer(timer: Timer | None) -> dict[str, object] | None:
    return timer and {
        "kind": timer.kind.value,
        "expires_seconds": timer.expires_ms / 1000,
        "retransmits": timer.retransmits,
    }


def plain_accept_queue(container: Container, sockets: Sequence[OwnedSocket]) -> dict[str, object] | None:
    """Of the container's TCP listeners, the first of the fullest."""
    held = [
        socket
        for socket in sockets
        if (socket.row.protocol.value, socket.row.state.value) == ("tcp", "listen")
        and (socket.container_id, socket.attribution.value) == (container.id, "fd")
    ]
    limits = [socket.row.tx_queue for socket in held]
    fullest: OwnedSocket | None = None
    for socket in held:
        if socket.row.rx_queue and (fullest is None or fullness(socket) > fullness(fullest)):
            fullest = socket
    return (
        {
            "listeners": len(held),
            "used": sum(socket.row.rx_queue or 0 for socket in held),
            "limit": None if None in limits else sum(limit or 0 for limit in limits),
            "fullest": fullest
            and {
                "netns": abs(fullest.netns),
                "local": plain_endpoint(fullest.row.local),
                "used": fullest.row.rx_queue,
                "limit": fullest.row.tx_queue,
            },
        }
        if held
        else None
    )


def fullness(socket: OwnedSocket) -> tuple[float, int]:
    used, limit = socket.row.rx_queue or 0, socket.row.tx_queue
    return (0 if limit is None else used / (limit + 1), used)


def plain_row(socket: OwnedSocket) -> dict[str, object]:
    row = socket.row
    listens = (row.protocol.value, row.state.value) in (("tcp", "listen"), ("sctp", "listen"))
    return {
        "netns": abs(socket.netns),
        "protocol": row.protocol.value,
        "family": row.family.value,
        "mapped": row.mapped,
        "mptcp": row.mptcp,
        "state": row.state.value,
        "local": plain_endpoint(row.local),
        "remote": plain_endpoint(row.remote),
        "interface": told_or_none(socket.interface),
        "inode": row.inode if row.inode != 0 else None,
        "cookie": row.cookie,
        "uid": row.uid,
        "rx_queue_bytes": None if listens else row.rx_queue,
        "tx_queue_bytes": None if listens else row.tx_queue,
        "accept_queue": {"used": row.rx_queue, "limit": row.tx_queue} if listens else None,
        "v6only": row.v6only,
        "cgroup_id": row.cgroup_id,
        "tcp_info": plain_tcp_info(row.tcp_info),
        "timer": plain_timer(row.timer),
        "owners": [plain_owner(owner) for owner in socket.owners],
        "container_id": told_or_none(socket.container_id),
        "attribution": socket.attribution.value,
        "confidence": socket.confidence.value,
        "flags": [flag.value for flag in socket.flags],
        "verdict": plain_verdict(socket.verdict),
        "pod": socket.pod
        and {
            "name": told_or_none(socket.pod.name),
            "namespace": told_or_none(socket.pod.kube_namespace),
            "uid": told_or_none(socket.pod.uid),
        },
    }


def plain_container(container: Container, sockets: Sequence[OwnedSocket]) -> dict[str, object]:
    plain: dict[str, object] = {"id": told(container.id), "name": told_or_none(container.name)}
    if container.container_name is not None:
        plain["container_name"] = told(container.container_name)
    pod = container.pod
    plain["name_state"] = container.name_state.value
    plain["runtime"] = container.runtime and container.runtime.value
    plain["image"] = told_or_none(container.image)
    labels = container.labels
    plain["labels"] = None if labels is None else {key: told(labels[key]) for key in sorted(labels)}
    plain["verified"] = container.verified
    plain["source"] = told(container.source)
    plain["chain"] = [told(each) for each in container.chain]
    plain["sandboxed"] = told_or_none(container.sandboxed)
    plain["sandbox"] = container.sandbox
    plain["pod"] = pod and {
        "name": told_or_none(pod.name),
        "namespace": told_or_none(pod.kube_namespace),
        "uid": told_or_none(pod.uid),
        **({} if pod.config_hash is None else {"config_hash": told(pod.config_hash)}),
        "labels": {key: told(pod.labels[key]) for key in sorted(pod.labels)},
    }
    plain["accept_queue"] = plain_accept_queue(container, sockets)
    return plain


def socket_lines(chunks: Iterator[str], first: str) -> list[str]:
    lines = "".join(chunks).splitlines()
    return [line.removesuffix(",") for line in lines if line.startswith(first)]


@given(sockets=st.lists(SOCKETS, max_size=4))
def test_a_row_of_the_document_is_the_text_that_json_dumps_writes(
    snapshot: Snapshot, sockets: list[OwnedSocket]
) -> None:
    only_sockets = snapshot._replace(sockets=tuple(sockets))
    lines = socket_lines(render_json(only_sockets), '{"netns"')
    assert lines == [json.dumps(plain_row(socket)) for socket in sockets]


@given(sockets=st.lists(SOCKETS, max_size=4), containers=st.lists(CONTAINERS, max_size=3))
def test_a_line_has_a_type_and_the_container_around_the_row(
    snapshot: Snapshot, sockets: list[OwnedSocket], containers: list[Container]
) -> None:
    known: dict[str | None, Any] = {container.id: plain_container(container, sockets) for container in containers}
    lines = socket_lines(
        render_jsonl(snapshot._replace(sockets=tuple(sockets), containers=tuple(containers))), '{"type": "socket"'
    )
    assert lines == [
        json.dumps({"type": "socket", **plain_row(socket), "container": known.get(socket.container_id)})
        for socket in sockets
    ]


@given(sockets=st.lists(SOCKETS, max_size=4), containers=st.lists(CONTAINERS, max_size=3))
def test_the_document_parses_to_the_values_of_the_snapshot(
    snapshot: Snapshot, sockets: list[OwnedSocket], containers: list[Container]
) -> None:
    text = "".join(render_json(snapshot._replace(sockets=tuple(sockets), containers=tuple(containers))))
    document = json.loads(text)
    assert text.isascii()
    assert document["sockets"] == [plain_row(socket) for socket in sockets]
    assert document["containers"] == [plain_container(container, sockets) for container in containers]
