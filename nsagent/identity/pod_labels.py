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

POD_UID: Final = "io.kubernetes.pod.uid"
"""The label with the uid of the pod."""

CONFIG_HASH: Final = "kubernetes.io/config.hash"
"""The annotation of a static pod by which its cgroup is called."""

CONFIG_SOURCE: Final = "kubernetes.io/config.source"
"""The annotation that tells where the kubelet has the pod from: `api`, or else it is static."""

_POD_NAME: Final = "io.kubernetes.pod.name"
_POD_NAMESPACE: Final = "io.kubernetes.pod.namespace"
_STATIC: Final = ("file", "http")
_DOCKER_TYPE: Final = "io.kubernetes.docker.type"
_ANNOTATION: Final = "annotation."
"""What cri-dockerd writes before the key of an annotation: Docker has labels alone."""
_OWN_PREFIXES: Final = ("io.kubernetes.", _ANNOTATION)


def read_pod(
    labels: Mapping[str, str], annotations: Mapping[str, str] | None = None, *, sandbox: bool = True
) -> Pod | None:
    """The pod that a container or a sandbox with these labels is of; None if they name none.

    `annotations` are None where the runtime has them among its labels, as cri-dockerd. The pod's `labels`
    are those of a `sandbox` that are neither the kubelet's nor the runtime's. A config hash counts only
    beside the source of a static pod, which the kubelet itself annotates on every pod: whoever may make
    a pod can give it any hash, and any label of either name. The annotations of a container tell no hash:
    where they are among labels, those of its image are too.
    """
    name = labels.get(_POD_NAME) or None
    kube_namespace = labels.get(_POD_NAMESPACE) or None
    uid = labels.get(POD_UID) or None
    if name is None and kube_namespace is None and uid is None:
        return None
    told, prefix = (labels, _ANNOTATION) if annotations is None else (annotations, "")
    is_static = sandbox and told.get(prefix + CONFIG_SOURCE) in _STATIC
    config_hash = told.get(prefix + CONFIG_HASH) if is_static else None
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
