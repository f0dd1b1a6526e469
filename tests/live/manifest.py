"""A DaemonSet of a manifest, and the pod that a kubelet makes of it: pure, one field of the manifest after the other.

A field that is not known here raises KeyError: none is left out unseen. Source: the API of Kubernetes 1.30
(apps/v1, core/v1), and kubelet's pkg/kubelet/kuberuntime and pkg/kubelet/cm for what it makes of them;
k8s.io/cri-api for the numbers of the fields.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.live.pods import CONTAINER_NAMESPACE, NODE_NAMESPACE, POD_NAMESPACE, PodSpec, PulledImage, Qos, log_name
from tests.runtimes.protobuf_wire import encode_message

Fields = dict[str, Any]

MANIFESTS = Path(__file__).parent.parent.parent / "manifests"

RUNTIME_DEFAULT, UNCONFINED = 0, 1
PRIVATE, HOST_TO_CONTAINER, BIDIRECTIONAL = 0, 1, 2
_PROPAGATIONS = {"None": PRIVATE, "HostToContainer": HOST_TO_CONTAINER, "Bidirectional": BIDIRECTIONAL}
_PROFILES = {"RuntimeDefault": RUNTIME_DEFAULT, "Unconfined": UNCONFINED}

NODE_CRITICAL_OOM_SCORE = -997
PERIOD_US = 100_000

# procMount: Default.
MASKED_PATHS = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
]
READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

_UNITS = {"": 1.0, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 1024.0, "Mi": 1024.0**2, "Gi": 1024.0**3}

# Of a pod: who schedules it looks at these, and the kubelet at none; without a token nobody looks at the account.
_SCHEDULED_BY = {"nodeSelector", "tolerations", "affinity", "imagePullSecrets", "serviceAccountName"}
_POD_FIELDS = {
    "hostPID",
    "hostNetwork",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "priorityClassName",
    "terminationGracePeriodSeconds",
    "containers",
    "volumes",
    *_SCHEDULED_BY,
}
_CONTAINER_FIELDS = {
    "name",
    "image",
    "imagePullPolicy",
    "command",
    "args",
    "env",
    "ports",
    "startupProbe",
    "livenessProbe",
    "readinessProbe",
    "resources",
    "securityContext",
    "volumeMounts",
}
_SECURITY_FIELDS = {
    "runAsUser",
    "runAsGroup",
    "privileged",
    "allowPrivilegeEscalation",
    "readOnlyRootFilesystem",
    "seccompProfile",
    "appArmorProfile",
    "capabilities",
}


class Manifest(NamedTuple):
    """A DaemonSet, and the ConfigMaps beside it: the files in each, by its name."""

    daemonset: Fields
    config_maps: Mapping[str, Mapping[str, str]]

    @property
    def pod(self) -> Fields:
        """The spec of its pods."""
        spec: Fields = self.daemonset["spec"]["template"]["spec"]
        return known(spec, _POD_FIELDS)

    @property
    def container(self) -> Fields:
        """The only container of a pod."""
        (container,) = self.pod["containers"]
        return known(container, _CONTAINER_FIELDS)

    @property
    def volumes(self) -> Sequence[Fields]:
        """The volumes of a pod."""
        volumes: list[Fields] = self.pod["volumes"]
        return volumes

    def copy(self) -> "Manifest":
        """The same, to be changed."""
        return deepcopy(self)

    def with_config(self, name: str, text: str) -> "Manifest":
        """The same with another config in the only ConfigMap."""
        (config_map,) = self.config_maps
        return self._replace(config_maps={config_map: {name: text}})

    def without_capability(self, name: str) -> "Manifest":
        """The same without one of its capabilities."""
        changed = self.copy()
        changed.container["securityContext"]["capabilities"]["add"].remove(name)
        return changed

    def without_host_pid(self) -> "Manifest":
        """The same in a PID namespace of its own."""
        changed = self.copy()
        changed.pod["hostPID"] = False
        return changed


class Given(NamedTuple):
    """What a kubelet knows of a pod of a DaemonSet: what is on the node, and in no manifest."""

    node_name: str
    spec: PodSpec
    """As whoever watches the API is told of it."""
    uid: str
    pod_ip: str
    volumes: Mapping[str, str]
    """Where each volume is, as containerd sees it."""
    image: PulledImage


def read_manifest(name: str) -> Manifest:
    """A file of manifests/, as `kubectl apply` is given it."""
    objects = [each for each in yaml.safe_load_all((MANIFESTS / name).read_text(encoding="utf-8")) if each]
    (daemonset,) = (each for each in objects if each["kind"] == "DaemonSet")
    config_maps = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}
    return Manifest(daemonset, config_maps)


def known(fields: Fields, names: set[str]) -> Fields:
    """The same fields; raises KeyError for one of another name."""
    for name in fields:
        if name not in names:
            raise KeyError(name)
    return fields


def describe_pod(manifest: Manifest, suffix: str) -> PodSpec:
    """The pod that the DaemonSet's controller makes for a node."""
    metadata = manifest.daemonset["metadata"]
    return PodSpec(
        name=f"{metadata['name']}-{suffix}",
        containers=(),
        kube_namespace=metadata["namespace"],
        labels=tuple(manifest.daemonset["spec"]["template"]["metadata"]["labels"].items()),
        qos=find_qos(manifest.container["resources"]),
        host_network=manifest.pod.get("hostNetwork", False),
    )


def find_qos(resources: Fields) -> Qos:
    """The class of a pod with one container."""
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    if not requests and not limits:
        return Qos.BEST_EFFORT
    return Qos.GUARANTEED if limits.keys() >= {"cpu", "memory"} and requests in ({}, limits) else Qos.BURSTABLE


def sandbox_security(manifest: Manifest) -> bytes:
    """The LinuxSandboxSecurityContext: a kubelet gives every sandbox the default seccomp profile."""
    return encode_message({1: _namespace_options(manifest.pod), 9: encode_message({1: RUNTIME_DEFAULT})})


def container_config(manifest: Manifest, given: Given, labels: Mapping[str, str], attempt: int) -> bytes:
    """The ContainerConfig of the only container."""
    container = manifest.container
    environment = read_environment(container, manifest.pod, given)
    expand = _expander(environment)
    linux = {1: _resources(container["resources"], manifest.pod), 2: _security(container, manifest.pod)}
    return encode_message(
        {
            1: encode_message({1: container["name"], 2: attempt}),
            2: encode_message({1: given.image.id, 18: given.image.name}),
            3: [expand(word) for word in container.get("command", ())],
            4: [expand(word) for word in container.get("args", ())],
            6: [encode_message({1: name, 2: value}) for name, value in environment.items()],
            7: [_mount(mount, given) for mount in container["volumeMounts"]],
            9: {"io.kubernetes.container.name": container["name"], **labels},
            10: {"io.kubernetes.container.restartCount": str(attempt)},
            11: log_name(container["name"], attempt),
            15: encode_message(linux),
        }
    )


def read_environment(container: Fields, pod: Fields, given: Given) -> dict[str, str]:
    """The variables of a container; those of other services are left out as the pod has asked."""
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    told = {
        "spec.nodeName": given.node_name,
        "status.podIP": given.pod_ip,
        "metadata.name": given.spec.name,
        "metadata.namespace": given.spec.kube_namespace,
    }
    environment: dict[str, str] = {}
    for variable in container.get("env", ()):
        known(variable, {"name", "value", "valueFrom"})
        if "valueFrom" in variable:
            source = known(known(variable["valueFrom"], {"fieldRef"})["fieldRef"], {"fieldPath"})
            environment[variable["name"]] = told[source["fieldPath"]]
        else:
            environment[variable["name"]] = _expander(environment)(variable["value"])
    return environment


def read_quantity(text: str | int) -> float:
    """A quantity as in 50m, 512Mi or 2."""
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text))
    assert match is not None, text
    return float(match[1]) * _UNITS[match[2]]


def _expander(environment: Mapping[str, str]) -> Any:
    """What replaces $(NAME) by a variable that is there, as a kubelet does."""
    return lambda text: re.sub(r"\$\((\w+)\)", lambda match: environment.get(match[1], match[0]), text)


def _namespace_options(pod: Fields) -> bytes:
    network = NODE_NAMESPACE if pod.get("hostNetwork", False) else POD_NAMESPACE
    return encode_message({1: network, 2: NODE_NAMESPACE if pod.get("hostPID", False) else CONTAINER_NAMESPACE})


def _mount(mount: Fields, given: Given) -> bytes:
    known(mount, {"name", "mountPath", "readOnly", "mountPropagation"})
    return encode_message(
        {
            1: mount["mountPath"],
            2: given.volumes[mount["name"]],
            3: int(mount.get("readOnly", False)),
            5: _PROPAGATIONS[mount.get("mountPropagation", "None")],
        }
    )


def _resources(resources: Fields, pod: Fields) -> bytes:
    known(resources, {"requests", "limits"})
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    for quantities in (requests, limits):
        known(quantities, {"cpu", "memory"})
    cpus = read_quantity(requests.get("cpu", limits.get("cpu", 0)))
    fields = {3: max(int(cpus * 1024), 2), 5: NODE_CRITICAL_OOM_SCORE}
    assert pod["priorityClassName"] == "system-node-critical"
    if "cpu" in limits:
        fields |= {1: PERIOD_US, 2: int(read_quantity(limits["cpu"]) * PERIOD_US)}
    if "memory" in limits:
        fields[4] = int(read_quantity(limits["memory"]))
    return encode_message(fields)


def _security(container: Fields, pod: Fields) -> bytes:
    context = known(container["securityContext"], _SECURITY_FIELDS)
    capabilities = known(context["capabilities"], {"add", "drop"})
    return encode_message(
        {
            1: encode_message({1: [*capabilities["add"]], 2: [*capabilities["drop"]]}),
            2: int(context["privileged"]),
            3: _namespace_options(pod),
            5: encode_message({1: context["runAsUser"]}),
            7: int(context["readOnlyRootFilesystem"]),
            11: int(not context["allowPrivilegeEscalation"]),
            12: encode_message({1: context["runAsGroup"]}),
            13: MASKED_PATHS,
            14: READONLY_PATHS,
            15: _profile(context["seccompProfile"]),
            16: _profile(context["appArmorProfile"]),
        }
    )


def _profile(profile: Fields) -> bytes:
    return encode_message({1: _PROFILES[known(profile, {"type"})["type"]]})
