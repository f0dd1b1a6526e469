"""The labels and annotations that a kubelet sets on containers and sandboxes -> the pod.

Source: pkg/kubelet/types/labels.go, pkg/kubelet/types/pod_update.go (config.hash); dockershim's
and cri-dockerd's `io.kubernetes.docker.type`. Every runtime that a kubelet drives is told them.
"""

from collections.abc import Mapping
from typing import Final

from nsagent.model.container import Pod
from nsagent.model.ids import PodUid

CONTAINER_NAME: Final = "io.kubernetes.container.name"
"""The label with the container's name inside its pod."""

_POD_NAME: Final = "io.kubernetes.pod.name"
_POD_NAMESPACE: Final = "io.kubernetes.pod.namespace"
_POD_UID: Final = "io.kubernetes.pod.uid"
_CONFIG_HASH: Final = "kubernetes.io/config.hash"
_CONFIG_SOURCE: Final = "kubernetes.io/config.source"
_STATIC: Final = ("file", "http")
_DOCKER_TYPE: Final = "io.kubernetes.docker.type"
_OWN_PREFIXES: Final = ("io.kubernetes.", "annotation.")


def read_pod(
    labels: Mapping[str, str], annotations: Mapping[str, str] | None = None, *, sandbox: bool = True
) -> Pod | None:
    """The pod that a container or a sandbox with these labels is of; None if they name none.

    Its `labels` are those of a `sandbox` that are neither the kubelet's nor the runtime's. A config
    hash counts only beside the source of a static pod, which the kubelet itself sets on every pod:
    whoever may make a pod can give it any hash.
    """
    name = labels.get(_POD_NAME) or None
    kube_namespace = labels.get(_POD_NAMESPACE) or None
    uid = labels.get(_POD_UID) or None
    if name is None and kube_namespace is None and uid is None:
        return None
    told = {key.removeprefix("annotation."): value for key, value in labels.items()} | dict(annotations or {})
    config_hash = told.get(_CONFIG_HASH) if told.get(_CONFIG_SOURCE) in _STATIC else None
    return Pod(
        uid=None if uid is None else PodUid(uid),
        name=name,
        kube_namespace=kube_namespace,
        labels={key: value for key, value in labels.items() if sandbox and not key.startswith(_OWN_PREFIXES)},
        config_hash=PodUid(config_hash) if config_hash else None,
    )


def is_docker_sandbox(labels: Mapping[str, str]) -> bool:
    """Whether a Docker container with these labels is the pause container of a pod (cri-dockerd)."""
    return labels.get(_DOCKER_TYPE) == "podsandbox"
