"""What labels and annotations tell of a pod."""

import pytest

from nsagent.identity.pod_labels import read_pod
from nsagent.model.container import Pod
from nsagent.model.ids import PodUid

UID, HASH = PodUid("3d6beaa3-0049-13ef-b68c-e073d73494b0"), PodUid("7260904bbd08e72e4dff95d9fccd2ee8")
KUBELET = {"io.kubernetes.pod.name": "etcd", "io.kubernetes.pod.namespace": "kube-system", "io.kubernetes.pod.uid": UID}
STATIC = {"kubernetes.io/config.source": "file", "kubernetes.io/config.hash": HASH}
AMONG_LABELS = {f"annotation.{key}": value for key, value in STATIC.items()}


@pytest.mark.parametrize("source", ["file", "http"])
def test_a_static_pod_has_its_config_hash(source: str) -> None:
    told = {**STATIC, "kubernetes.io/config.source": source}
    assert read_pod(KUBELET, told) == Pod(UID, "etcd", "kube-system", config_hash=HASH)


def test_annotations_that_a_runtime_has_among_its_labels_are_told_by_their_prefix() -> None:
    assert read_pod({**KUBELET, **AMONG_LABELS}) == Pod(UID, "etcd", "kube-system", config_hash=HASH)


@pytest.mark.parametrize(
    ("labels", "annotations", "sandbox"),
    [
        (STATIC, None, True),
        (STATIC, {}, True),
        (AMONG_LABELS, {}, True),
        (AMONG_LABELS, {"kubernetes.io/config.source": "api"}, True),
        ({}, {**STATIC, "kubernetes.io/config.source": "api"}, True),
        ({}, {"kubernetes.io/config.hash": HASH}, True),
        (AMONG_LABELS, None, False),
        ({}, STATIC, False),
    ],
)
def test_what_is_no_annotation_of_a_static_pod_s_sandbox_tells_no_hash(
    labels: dict[str, str], annotations: dict[str, str] | None, sandbox: bool
) -> None:
    pod = read_pod({**KUBELET, **labels}, annotations, sandbox=sandbox)
    assert pod is not None
    assert pod.config_hash is None
