"""The table of `nsagent containers`."""

from dataclasses import replace
from typing import Final

from nsagent.model.container import Container
from nsagent.model.snapshot import Snapshot
from nsagent.report.accept_queues import sum_accept_queues
from nsagent.report.context import Context, context_of, pod_text, short_id
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


def _labels(container: Container, context: Context) -> str:
    return ",".join([f"{key}={value}" for key, value in sorted((container.labels or {}).items())])


CONTAINER_COLUMNS: Final[tuple[Column[Container], ...]] = (
    text_column("id", lambda container, _: short_id(container.id)),
    text_column("name", lambda container, _: container.name or "", free_text=True),
    text_column("runtime", lambda container, _: container.runtime or ""),
    text_column("image", lambda container, _: container.image or "", free_text=True),
    text_column("pod", lambda container, _: pod_text(container.pod), free_text=True),
    text_column("netns", _netns, free_text=True),
    text_column("source", lambda container, _: container.source),
    text_column("verified", lambda container, _: "yes" if container.verified else "no"),
    text_column("container_name", lambda container, _: container.container_name or "", free_text=True),
    text_column("pod_uid", lambda container, _: (container.pod and container.pod.uid) or ""),
    text_column("sandboxed", lambda container, _: container.sandboxed or ""),
    text_column("chain", lambda container, _: ",".join(map(short_id, container.chain)), free_text=True),
    text_column("acceptq", _accept_queue, sort_key=_accept_queue_key),
    text_column("labels", _labels, free_text=True),
    text_column("full_id", lambda container, _: container.id),
)
"""Every column of a container."""

CONTAINERS_DEFAULT: Final = ("id", "name", "runtime", "image", "pod", "netns", "source", "verified")
"""What `-o table` shows."""

CONTAINERS_WIDE: Final = (*CONTAINERS_DEFAULT, "container_name", "pod_uid", "sandboxed", "chain", "acceptq", "full_id")
"""What `-o wide` shows; labels, which may be long, are shown when they are asked for."""

CONTAINERS: Final = Layout(
    CONTAINER_COLUMNS,
    CONTAINERS_DEFAULT,
    lambda _: CONTAINERS_WIDE,
    lambda snapshot: snapshot.containers,
    lambda snapshot, rows: replace(snapshot, containers=rows),
    _context_of,
)
"""The table itself."""
