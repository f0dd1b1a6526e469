"""The records of a snapshot's JSON as plain dicts, keys in their published order; sockets are in socket_rows."""

from nsagent.model.container import Container, Pod
from nsagent.model.facts import Interface
from nsagent.model.snapshot import Coverage, Netns

Record = dict[str, object]


def netns_record(netns: Netns) -> Record:
    """One netns; `interfaces` is there only where interfaces were asked for."""
    record: Record = {
        "inode": netns.inode,
        "key": netns.key,
        "cookie": netns.cookie,
        "names": netns.names,
        "mounts": netns.mounts,
        "is_host": netns.is_host,
        "engine": netns.engine,
        "found_by": netns.found_by,
        "processes": netns.processes,
        "containers": netns.containers,
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


def container_record(container: Container) -> Record:
    """One container; `container_name` is there only in a pod, labels are in the order of their keys."""
    record: Record = {"id": container.id, "name": container.name}
    if container.container_name is not None:
        record["container_name"] = container.container_name
    return record | {
        "name_state": container.name_state,
        "runtime": container.runtime,
        "image": container.image,
        "labels": dict(sorted(container.labels.items())),
        "verified": container.verified,
        "source": container.source,
        "chain": container.chain,
        "sandboxed": container.sandboxed,
        "pod": None if container.pod is None else pod_record(container.pod),
    }


def pod_record(pod: Pod) -> Record:
    """One pod; `namespace` is Kubernetes'."""
    return {"name": pod.name, "namespace": pod.kube_namespace, "uid": pod.uid}


def coverage_record(coverage: Coverage) -> Record:
    """What the pass saw and what it could not see."""
    processes, netns = coverage.processes, coverage.netns
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
        },
        "socket_fds_unlisted": coverage.socket_fds_unlisted,
        "gaps": [
            {"stage": gap.stage, "subject": gap.subject, "reason": gap.reason, "count": gap.count}
            for gap in coverage.gaps
        ],
    }
