"""The table of `nsagent containers`."""

from typing import Final

from nsagent.model.container import Container
from nsagent.model.snapshot import Snapshot
from nsagent.report.accept_queues import sum_accept_queues
from nsagent.report.context import Context, context_of, pod_text, short_id, short_image
from nsagent.report.layout import Column, Layout, text_column


def _context_of(snapshot: Snapshot) -> Context:
    return context_of(snapshot, sum_accept_queues(snapshot.sockets))


def _accept_queue(container: Container, context: Context) -> str:
    queue = context.accept_queues.get(container.id)
    return "" if queue is None else f"{queue.used}/{'?' if queue.limit is None else queue.limit}"


def _accept_queue_key(container: Container, context: Context) -> tuple[int, int] | None:
    queue = context.accept_queues.get(container.id)
    return None if queue is None else (queue.used, queue.limit or 0)


def _netns(container: Container, context: Context) -> str:
    return ",".join([context.netns_labels[each] for each in context.container_netns.get(container.id, ())])


def _addresses(container: Container, context: Context) -> list[str]:
    """Those that others can reach it at: of the interfaces of its netns that are up, but not of the host's netns."""
    theirs = (context.netns.get(number) for number in context.container_netns.get(container.id, ()))
    own = [netns for netns in theirs if netns is not None and not netns.is_host]
    told = [text for netns in own for each in netns.interfaces or () if each.up for text in each.addresses]
    return [address for address, _, _ in (text.partition("/") for text in told) if not address.startswith(_UNREACHABLE)]


def _ip(container: Container, context: Context) -> str:
    return ",".join(_addresses(container, context))


def _brief_ip(container: Container, context: Context) -> str:
    first, *rest = _addresses(container, context) or [""]
    return f"{first} +{len(rest)}" if rest else first


def _labels(container: Container, context: Context) -> str:
    return ",".join([f"{key}={value}" for key, value in sorted((container.labels or {}).items())])


_UNREACHABLE: Final = ("127.", "::1", "fe80:")
"""How addresses begin that mean a host itself, or nothing without an interface."""

CONTAINER_COLUMNS: Final[tuple[Column[Container], ...]] = (
    text_column("id", lambda container, _: short_id(container.id), spare=2),
    text_column("name", lambda container, _: container.name or "", free_text=True),
    text_column("runtime", lambda container, _: container.runtime or "", spare=6),
    text_column(
        "image",
        lambda container, _: container.image or "",
        free_text=True,
        brief=lambda container, _: short_image(container.image),
        spare=5,
    ),
    text_column("pod", lambda container, _: pod_text(container.pod), free_text=True, spare=1),
    text_column("ip", _ip, brief=_brief_ip, spare=3),
    text_column("netns", _netns, free_text=True, spare=4),
    text_column("source", lambda container, _: container.source, spare=8),
    text_column("verified", lambda container, _: "yes" if container.verified else "no", spare=7),
    text_column("container_name", lambda container, _: container.container_name or "", free_text=True),
    text_column("pod_uid", lambda container, _: (container.pod and container.pod.uid) or ""),
    text_column("sandboxed", lambda container, _: container.sandboxed or ""),
    text_column("chain", lambda container, _: ",".join(map(short_id, container.chain)), free_text=True),
    text_column("acceptq", _accept_queue, sort_key=_accept_queue_key),
    text_column("labels", _labels, free_text=True),
    text_column("full_id", lambda container, _: container.id),
)
"""Every column of a container."""

CONTAINERS_DEFAULT: Final = ("id", "name", "runtime", "image", "pod", "ip", "netns", "source", "verified")
"""What `-o table` shows."""

CONTAINERS_WIDE: Final = (*CONTAINERS_DEFAULT, "container_name", "pod_uid", "sandboxed", "chain", "acceptq", "full_id")
"""What `-o wide` shows; labels, which may be long, are shown when they are asked for."""

CONTAINERS: Final = Layout(
    CONTAINER_COLUMNS,
    lambda _: CONTAINERS_DEFAULT,
    lambda _: CONTAINERS_WIDE,
    lambda snapshot: snapshot.containers,
    lambda snapshot, rows: snapshot._replace(containers=rows),
    _context_of,
)
"""The table itself."""
