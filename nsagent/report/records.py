"""The records of a snapshot's JSON as plain dicts, keys in their published order; sockets are in socket_rows."""

from typing import Final

from nsagent.model.container import Container, Pod
from nsagent.model.facts import Interface, Rewalk
from nsagent.model.net import Endpoint
from nsagent.model.snapshot import Coverage, Netns, Snapshot
from nsagent.report.accept_queues import AcceptQueue
from nsagent.report.gaps import gap_record

SCHEMA: Final = "nsagent/v1"

Record = dict[str, object]


def head_record(snapshot: Snapshot) -> Record:
    """What comes first: which host, when, and how its tables were read."""
    return {
        "schema": SCHEMA,
        "host": snapshot.host,
        "boot_id": snapshot.boot_id,
        "taken_at": snapshot.taken_at,
        "duration_seconds": round(snapshot.duration_seconds, 6),
        "engine": snapshot.engine,
    }


def netns_record(netns: Netns) -> Record:
    """One netns; `interfaces` is there only where interfaces were asked for."""
    record: Record = {
        "inode": netns.inode,
        "key": netns.key,
        "cookie": netns.cookie,
        "names": netns.names,
        "mounts": netns.mounts,
        "foreign_mounts": netns.foreign_mounts,
        "is_host": netns.is_host,
        "is_init": netns.is_init,
        "engine": netns.engine,
        "found_by": netns.found_by,
        "processes": netns.processes,
        "containers": netns.containers,
        "pods": [pod_record(pod) for pod in netns.pods],
        "rows": {count.kind: {"seen": count.rows, "counted": count.counted} for count in netns.rows},
    }
    if netns.interfaces is not None:
        record["interfaces"] = [interface_record(each) for each in netns.interfaces]
    return record


def interface_record(interface: Interface) -> Record:
    """One interface of a netns; `peer_netns` is an inode."""
    return {
        "index": interface.index,
        "name": interface.name,
        "kind": interface.kind,
        "up": interface.up,
        "mac": interface.mac,
        "addresses": interface.addresses,
        "peer_index": interface.peer_index,
        "peer_netns": interface.peer_netns,
    }


def container_record(container: Container, queue: AcceptQueue | None) -> Record:
    """One container; `container_name` is there only in a pod, labels are in the order of their keys.

    `queue` is None for a container without a listener.
    """
    record: Record = {"id": container.id, "name": container.name}
    if container.container_name is not None:
        record["container_name"] = container.container_name
    return record | {
        "name_state": container.name_state,
        "runtime": container.runtime,
        "image": container.image,
        "labels": None if container.labels is None else dict(sorted(container.labels.items())),
        "verified": container.verified,
        "source": container.source,
        "chain": container.chain,
        "sandboxed": container.sandboxed,
        "sandbox": container.sandbox,
        "pod": None if container.pod is None else pod_record(container.pod),
        "accept_queue": None if queue is None else accept_queue_record(queue),
    }


def pod_record(pod: Pod) -> Record:
    """One pod; `namespace` is Kubernetes', `config_hash` is there only of a static pod."""
    record: Record = {"name": pod.name, "namespace": pod.kube_namespace, "uid": pod.uid}
    if pod.config_hash is not None:
        record["config_hash"] = pod.config_hash
    return record | {"labels": dict(sorted(pod.labels.items()))}


def accept_queue_record(queue: AcceptQueue) -> Record:
    """The accept queues of one container; `fullest` is null where no connection waits."""
    fullest = queue.fullest
    return {
        "listeners": queue.listeners,
        "used": queue.used,
        "limit": queue.limit,
        "fullest": fullest
        and {
            "netns": abs(fullest.netns),
            "local": endpoint_record(fullest.row.local),
            "used": fullest.row.rx_queue,
            "limit": fullest.row.tx_queue,
        },
    }


def endpoint_record(endpoint: Endpoint) -> Record:
    """One end of a socket; `raw_address` is there only where it differs."""
    record: Record = {"address": endpoint.address, "port": endpoint.port}
    return record if endpoint.raw_address is None else {**record, "raw_address": endpoint.raw_address}


def coverage_record(coverage: Coverage) -> Record:
    """What the pass saw and what it could not see."""
    processes, netns, visibility = coverage.processes, coverage.netns, coverage.visibility
    return {
        "complete": coverage.complete,
        "processes": {
            "seen": processes.seen,
            "ok": processes.ok,
            "vanished": processes.vanished,
            "denied": processes.denied,
            "skipped": processes.skipped,
        },
        "netns": {
            "seen": netns.seen,
            "read": netns.read,
            "empty": netns.empty,
            "failed": netns.failed,
            "skipped": netns.skipped,
            "found_by": dict(netns.found_by),
        },
        "socket_fds_unlisted": coverage.socket_fds_unlisted,
        "protocols": coverage.protocols,
        "host": {count.kind: {"seen": count.seen, "counted": count.counted} for count in coverage.host},
        "visibility": {
            "hidepid": visibility.hidepid,
            "subset": visibility.subset,
            "init": visibility.init,
            "partial": visibility.partial,
        },
        "owners_by": coverage.owners,
        "rewalk": coverage.rewalk and rewalk_record(coverage.rewalk),
        "stale_names": coverage.stale_names,
        "gaps": [gap_record(gap) for gap in coverage.gaps],
    }


def rewalk_record(rewalk: Rewalk) -> Record:
    """How holders were looked for that the first walk did not meet."""
    return {
        "rounds": rewalk.rounds,
        "threads": rewalk.threads,
        "threads_skipped": rewalk.threads_skipped,
        "in_flight": rewalk.in_flight,
        "seconds": rewalk.seconds,
    }
