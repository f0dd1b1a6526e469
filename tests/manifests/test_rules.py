"""The rules hold for what is committed, and each of them is one: a manifest that breaks it is told to."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from tests.manifests.made import MANIFESTS, PROFILES
from tests.manifests.rules import Manifest, find_problems, parse_objects, parse_quantity

FILES = [MANIFESTS / "install.yaml", *(MANIFESTS / "profiles" / f"{profile}.yaml" for profile in PROFILES)]


def read_install() -> list[Manifest]:
    return parse_objects(FILES[0].read_text())


def find(objects: Sequence[Manifest], kind: str) -> Any:
    (found,) = [each for each in objects if each["kind"] == kind]
    return found


def container_of(objects: Sequence[Manifest]) -> Any:
    return find(objects, "DaemonSet")["spec"]["template"]["spec"]["containers"][0]


def pod_of(objects: Sequence[Manifest]) -> Any:
    return find(objects, "DaemonSet")["spec"]["template"]["spec"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_rule_is_broken(file: Any) -> None:
    assert find_problems(parse_objects(file.read_text())) == []


Change = Callable[[list[Manifest]], object]
"""Breaks a rule of the objects it is called with."""


CHANGES: list[tuple[str, Change, list[str]]] = [
    (
        "volume",
        lambda objects: pod_of(objects)["volumes"].pop(0),
        ["volume config is not there"],
    ),
    (
        "mount",
        lambda objects: container_of(objects)["volumeMounts"].pop(0),
        ["volume config is not mounted"],
    ),
    (
        "mount path",
        lambda objects: container_of(objects)["volumeMounts"][0].update(mountPath="/run"),
        ["/run is mounted twice"],
    ),
    (
        "config map",
        lambda objects: find(objects, "ConfigMap")["metadata"].update(name="other"),
        ["volume config: no ConfigMap nsagent"],
    ),
    (
        "type of a path",
        lambda objects: pod_of(objects)["volumes"][1]["hostPath"].update(type="Dir"),
        ["volume state: unknown type Dir"],
    ),
    (
        "labels",
        lambda objects: find(objects, "DaemonSet")["spec"]["template"]["metadata"]["labels"].pop(
            "app.kubernetes.io/instance"
        ),
        [
            "DaemonSet selects other labels than those of the pods",
            "Service selects other labels than those of the pods",
            "NetworkPolicy selects other labels than those of the pods",
        ],
    ),
    (
        "selector",
        lambda objects: find(objects, "Service")["spec"]["selector"].update(app="nsagent"),
        ["Service selects other labels than those of the pods"],
    ),
    (
        "quantity",
        lambda objects: container_of(objects)["resources"]["limits"].update(memory="512MB"),
        ["limits.memory: 512MB is no quantity"],
    ),
    (
        "request",
        lambda objects: container_of(objects)["resources"]["requests"].update(memory="1Gi"),
        ["requests.memory is more than its limit"],
    ),
    (
        "seccomp",
        lambda objects: container_of(objects)["securityContext"]["seccompProfile"].update(type="Runtimedefault"),
        ["seccomp is Runtimedefault"],
    ),
    (
        "AppArmor",
        lambda objects: container_of(objects)["securityContext"]["appArmorProfile"].update(type="unconfined"),
        ["AppArmor is unconfined"],
    ),
    (
        "propagation",
        lambda objects: container_of(objects)["volumeMounts"][-1].update(mountPropagation="rslave"),
        ["mount containerd: unknown propagation rslave"],
    ),
    (
        "field",
        lambda objects: container_of(objects)["env"][1]["valueFrom"]["fieldRef"].update(fieldPath="status.podIp"),
        ["variable POD_IP: a pod has no status.podIp"],
    ),
    (
        "image",
        lambda objects: container_of(objects).update(image="nsagent:"),
        ["image 'nsagent:' has no name, or neither tag nor digest"],
    ),
    (
        "capability",
        lambda objects: container_of(objects)["securityContext"]["capabilities"]["add"].append("CAP_SYS_ADMIN"),
        ["unknown capability CAP_SYS_ADMIN"],
    ),
    (
        "all capabilities",
        lambda objects: container_of(objects)["securityContext"]["capabilities"].update(drop=[]),
        ["not all capabilities are dropped first"],
    ),
    (
        "privileged",
        lambda objects: container_of(objects)["securityContext"].update(privileged=True),
        ["the container is privileged, may become it, or writes to its root"],
    ),
    (
        "token",
        lambda objects: pod_of(objects).update(automountServiceAccountToken=True),
        ["the pods have a token, or the account of others"],
    ),
    (
        "port name",
        lambda objects: container_of(objects)["ports"].append({"name": "metrics-of-nsagent", "containerPort": 1}),
        ["port metrics-of-nsagent: not up to 15 of a-z, 0-9 and -"],
    ),
    (
        "probe",
        lambda objects: container_of(objects)["livenessProbe"]["httpGet"].update(port="health"),
        ["livenessProbe asks at port health, which the container does not have"],
    ),
    (
        "port of a service",
        lambda objects: find(objects, "Service")["spec"]["ports"][0].update(targetPort=9470),
        ["Service names port 9470, which the container does not have"],
    ),
    (
        "order",
        lambda objects: objects.append(objects.pop(0)),
        ["the namespace comes after what is in it"],
    ),
    (
        "namespace",
        lambda objects: find(objects, "ConfigMap")["metadata"].update(namespace="default"),
        ["ConfigMap is in another namespace than the pods"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "problems"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES])
def test_what_breaks_a_rule_is_told(change: Change, problems: list[str]) -> None:
    objects = read_install()
    change(objects)
    assert find_problems(objects) == problems


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("50m", Decimal("0.05")),
        ("128Mi", Decimal(128 << 20)),
        (2, Decimal(2)),
        ("1.5k", Decimal(1500)),
        ("", None),
        ("Mi", None),
        ("1MiB", None),
        ("-1", None),
    ],
)
def test_a_quantity_is_a_number_and_a_unit(text: object, number: Decimal | None) -> None:
    assert parse_quantity(text) == number
