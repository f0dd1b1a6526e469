"""What the cells of a table look up: the netns and containers of one snapshot by what rows call them."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

from nsagent.model.container import Container, Pod
from nsagent.model.ids import ContainerId, tell_netns
from nsagent.model.process import CommandLine, ProcessKey
from nsagent.model.snapshot import Netns, Snapshot
from nsagent.report.accept_queues import AcceptQueues
from nsagent.report.memo import Memo

HOST = "host"
INIT = "init"

_SHORT_ID = 12
_HEX_ID = re.compile("[0-9a-f]{32,}")
_DIGEST = re.compile("(sha256:[0-9a-f]{12})[0-9a-f]{52}")
_NUMBER = re.compile(r"(?:key:)?\d+")


@dataclass(frozen=True, slots=True)
class Context:
    """The memos make a label from a number or an id, and keep it."""

    netns: dict[int, Netns]
    """By number."""
    containers: dict[ContainerId, Container]
    """By id."""
    netns_labels: Memo[int, str]
    container_labels: Memo[ContainerId | None, str]
    pod_labels: Memo[ContainerId | None, str]
    sockets: Counter[int]
    """The rows of each netns number."""
    container_netns: dict[ContainerId, list[int]]
    """Where the processes of a container are."""
    accept_queues: AcceptQueues
    """Summed up only for tables of containers."""
    command_lines: Mapping[ProcessKey, CommandLine]
    """There only where they were asked for."""


def context_of(snapshot: Snapshot, accept_queues: AcceptQueues | None = None) -> Context:
    """The context of one rendering of this snapshot."""
    netns = {each.number: each for each in snapshot.netns}
    containers = {each.id: each for each in snapshot.containers}
    container_netns: defaultdict[ContainerId, list[int]] = defaultdict(list)
    for each in snapshot.netns:
        for container_id in each.containers:
            container_netns[container_id].append(each.number)
    return Context(
        netns=netns,
        containers=containers,
        netns_labels=Memo(lambda number: netns_label(netns.get(number), number)),
        container_labels=Memo(lambda container_id: _container_label(containers, container_id)),
        pod_labels=Memo(lambda container_id: _pod_label(containers, container_id)),
        sockets=Counter(map(attrgetter("netns"), snapshot.sockets)),
        container_netns=dict(container_netns),
        accept_queues=accept_queues or {},
        command_lines=snapshot.command_lines or {},
    )


def empty_context() -> Context:
    """That of rows that tell everything themselves, and are of no snapshot."""
    return Context({}, {}, Memo(tell_netns), Memo(lambda id_: id_ or ""), Memo(lambda _: ""), Counter(), {}, {}, {})


def short_id(container_id: ContainerId) -> str:
    """The first 12 digits of an engine's hex id; an id that is a name (LXC, nspawn) stays whole."""
    return container_id[:_SHORT_ID] if _HEX_ID.fullmatch(container_id) else container_id


def short_image(image: str | None) -> str:
    """An image as its engine names it, of a digest no more than tells it apart; "" for None."""
    return _DIGEST.sub(r"\1", image or "")


def pod_text(pod: Pod | None) -> str:
    """`namespace/name` of a pod, "" where nobody told its name."""
    if pod is None or pod.name is None:
        return ""
    return pod.name if pod.kube_namespace is None else f"{pod.kube_namespace}/{pod.name}"


def netns_label(netns: Netns | None, number: int) -> str:
    """What a netns with this number is called in tables; None where only its number is known."""
    if netns is not None and (netns.is_host or netns.is_init):
        return HOST if netns.is_host else INIT
    # Anyone may call a netns "host", or by the number of another: such a name is not shown, its own number is.
    names = () if netns is None else netns.names
    shown = (name for name in names if name not in ("", HOST, INIT) and not _NUMBER.fullmatch(name))
    return next(shown, tell_netns(number))


def _container_label(containers: dict[ContainerId, Container], container_id: ContainerId | None) -> str:
    if container_id is None:
        return ""
    container = containers.get(container_id)
    if container is not None and container.sandbox:
        return ""  # It is part of its pod, which has a column of its own.
    return (container and container.name) or short_id(container_id)


def _pod_label(containers: dict[ContainerId, Container], container_id: ContainerId | None) -> str:
    container = None if container_id is None else containers.get(container_id)
    return "" if container is None else pod_text(container.pod)
