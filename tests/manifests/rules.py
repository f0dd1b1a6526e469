"""Rules of a rendering that no schema knows: names that lead somewhere, words that Kubernetes and Linux know.

Sources: the API reference of Kubernetes (core/v1, apps/v1), capabilities(7). The API server checks some of these,
once somebody applies; names of capabilities are checked by nobody before the container starts.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import yaml

from nsagent.kernel.formats.capability_names import NAMES

Manifest = dict[str, Any]
"""One object of Kubernetes, or a part of one."""

CAPABILITIES: Final = frozenset(map(str.upper, NAMES))
"""Without CAP_, as Kubernetes names them."""

_FIELDS: Final = frozenset({
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
})  # fmt: skip
"""What a variable may be told of its pod."""

_HOST_PATH_TYPES: Final = frozenset(["", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"])
_PROPAGATIONS: Final = frozenset(["None", "HostToContainer", "Bidirectional"])
_UNITS: Final = {
    "": Decimal(1), "m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30),
}  # fmt: skip
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")
_PORT_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9](?:-?[a-z0-9])*")
_IMAGE: Final = re.compile(r"[a-z0-9][a-z0-9./_-]*(?::[0-9]+/[a-z0-9./_-]+)?(?::[\w][\w.-]*|@sha256:[0-9a-f]{64})")


class Rendering(NamedTuple):
    """The objects of one rendering, and the parts that most rules are about."""

    objects: Sequence[Manifest]
    daemonset: Manifest
    pod: Manifest
    """The spec of its pods."""
    container: Manifest

    def list_kind(self, kind: str) -> list[Manifest]:
        """The objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]


def parse_objects(text: str) -> list[Manifest]:
    """The objects of a rendered text, in order."""
    return [document for document in yaml.safe_load_all(text) if document]


def find_problems(objects: Sequence[Manifest]) -> list[str]:
    """What breaks a rule, a line each."""
    (daemonset,) = [each for each in objects if each["kind"] == "DaemonSet"]
    pod = daemonset["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    rendering = Rendering(objects, daemonset, pod, container)
    return [problem for rule in _RULES for problem in rule(rendering)]


def parse_quantity(text: object) -> Decimal | None:
    """The number that a quantity is, None if it is none."""
    match = _QUANTITY.fullmatch(str(text))
    return Decimal(match[1]) * _UNITS[match[2]] if match and match[2] in _UNITS else None


def _check_namespaces(rendering: Rendering) -> Iterator[str]:
    namespaces = [each["metadata"]["name"] for each in rendering.list_kind("Namespace")]
    if namespaces and rendering.objects[0]["kind"] != "Namespace":
        yield "the namespace comes after what is in it"
    own = rendering.daemonset["metadata"]["namespace"]
    if namespaces not in ([], [own]):
        yield f"the namespace is {namespaces}, and the pods are in {own}"
    for each in rendering.objects:
        if each["kind"] != "Namespace" and each["metadata"]["namespace"] != own:
            yield f"{each['kind']} is in another namespace than the pods"


def _check_selectors(rendering: Rendering) -> Iterator[str]:
    labels = rendering.daemonset["spec"]["template"]["metadata"]["labels"]
    selectors: dict[str, Callable[[Manifest], Mapping[str, str]]] = {
        "DaemonSet": lambda spec: spec["selector"]["matchLabels"],
        "Service": lambda spec: spec["selector"],
        "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        "PodMonitor": lambda spec: spec["selector"]["matchLabels"],
    }
    for kind, read in selectors.items():
        for each in rendering.list_kind(kind):
            selector = read(each["spec"])
            if not selector or not selector.items() <= labels.items():
                yield f"{kind} selects other labels than those of the pods"


def _check_volumes(rendering: Rendering) -> Iterator[str]:
    volumes = [each["name"] for each in rendering.pod["volumes"]]
    mounted = [each["name"] for each in rendering.container["volumeMounts"]]
    paths = [each["mountPath"] for each in rendering.container["volumeMounts"]]
    yield from (f"volume {name} is not there" for name in mounted if name not in volumes)
    yield from (f"volume {name} is not mounted" for name in volumes if name not in mounted)
    yield from (f"volume {name} is there twice" for name in set(volumes) if volumes.count(name) > 1)
    yield from (f"{path} is mounted twice" for path in set(paths) if paths.count(path) > 1)
    yield from (f"{path} is no absolute path" for path in paths if not path.startswith("/"))
    for each in rendering.pod["volumes"]:
        host = each.get("hostPath")
        if host and host.get("type", "") not in _HOST_PATH_TYPES:
            yield f"volume {each['name']}: unknown type {host['type']}"
        if host and not host["path"].startswith("/"):
            yield f"volume {each['name']}: {host['path']} is no absolute path"
    config_maps = [each["metadata"]["name"] for each in rendering.list_kind("ConfigMap")]
    for each in rendering.pod["volumes"]:
        if "configMap" in each and each["configMap"]["name"] not in config_maps:
            yield f"volume {each['name']}: no ConfigMap {each['configMap']['name']}"


def _check_propagation(rendering: Rendering) -> Iterator[str]:
    for each in rendering.container["volumeMounts"]:
        propagation = each.get("mountPropagation", "None")
        if propagation not in _PROPAGATIONS:
            yield f"mount {each['name']}: unknown propagation {propagation}"
        if propagation == "Bidirectional":
            yield f"mount {each['name']}: propagates to the node, which takes a privileged container"


def _check_security(rendering: Rendering) -> Iterator[str]:
    context = rendering.container["securityContext"]
    capabilities = context["capabilities"]
    for name in (*capabilities["add"], *capabilities["drop"]):
        if name not in CAPABILITIES | {"ALL"}:
            yield f"unknown capability {name}"
    if capabilities["drop"] != ["ALL"] or "ALL" in capabilities["add"]:
        yield "not all capabilities are dropped first"
    if context["seccompProfile"]["type"] != "RuntimeDefault":
        yield f"seccomp is {context['seccompProfile']['type']}"
    app_armor = context.get("appArmorProfile", {"type": "Unconfined"})["type"]
    if app_armor not in ("RuntimeDefault", "Unconfined"):
        yield f"AppArmor is {app_armor}"
    if context["privileged"] or context["allowPrivilegeEscalation"] or not context["readOnlyRootFilesystem"]:
        yield "the container is privileged, may become it, or writes to its root"
    annotated = "container.apparmor.security.beta.kubernetes.io/"
    for key in rendering.daemonset["spec"]["template"]["metadata"]["annotations"]:
        if key.startswith(annotated) and key != annotated + str(rendering.container["name"]):
            yield f"{key}: no such container"
    accounts = [each["metadata"]["name"] for each in rendering.list_kind("ServiceAccount")]
    if rendering.pod["serviceAccountName"] not in accounts or rendering.pod["automountServiceAccountToken"]:
        yield "the pods have a token, or the account of others"


def _check_resources(rendering: Rendering) -> Iterator[str]:
    resources: Mapping[str, Mapping[str, object]] = rendering.container["resources"]
    for kind, amounts in resources.items():
        for name, text in amounts.items():
            if parse_quantity(text) is None:
                yield f"{kind}.{name}: {text} is no quantity"
    for name, text in resources.get("requests", {}).items():
        request, limit = parse_quantity(text), parse_quantity(resources.get("limits", {}).get(name))
        if request is not None and limit is not None and request > limit:
            yield f"requests.{name} is more than its limit"
    for each in rendering.pod["volumes"]:
        size = (each.get("emptyDir") or {}).get("sizeLimit", "1")
        if parse_quantity(size) is None:
            yield f"volume {each['name']}: {size} is no quantity"


def _check_image(rendering: Rendering) -> Iterator[str]:
    if not _IMAGE.fullmatch(rendering.container["image"]):
        yield f"image {rendering.container['image']!r} has no name, or neither tag nor digest"


def _check_variables(rendering: Rendering) -> Iterator[str]:
    names = [each["name"] for each in rendering.container["env"]]
    yield from (f"variable {name} is set twice" for name in set(names) if names.count(name) > 1)
    for each in rendering.container["env"]:
        path = each.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        if path is not None and path not in _FIELDS:
            yield f"variable {each['name']}: a pod has no {path}"


def _check_ports(rendering: Rendering) -> Iterator[str]:
    ports = {each["name"]: each["containerPort"] for each in rendering.container["ports"]}
    for name in ports:
        if len(name) > 15 or not _PORT_NAME.fullmatch(name):
            yield f"port {name}: not up to 15 of a-z, 0-9 and -"
    known = {*ports, *ports.values()}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        port = rendering.container[probe]["httpGet"]["port"]
        if port not in known:
            yield f"{probe} asks at port {port}, which the container does not have"
    asked = [
        *(("Service", port["targetPort"]) for each in rendering.list_kind("Service") for port in each["spec"]["ports"]),
        *(
            ("NetworkPolicy", port["port"])
            for each in rendering.list_kind("NetworkPolicy")
            for rule in each["spec"]["ingress"]
            for port in rule["ports"]
        ),
        *(
            ("PodMonitor", endpoint["port"])
            for each in rendering.list_kind("PodMonitor")
            for endpoint in each["spec"]["podMetricsEndpoints"]
        ),
    ]
    yield from (
        f"{kind} names port {port}, which the container does not have" for kind, port in asked if port not in known
    )


_RULES: Final[Sequence[Callable[[Rendering], Iterator[str]]]] = (
    _check_namespaces,
    _check_selectors,
    _check_volumes,
    _check_propagation,
    _check_security,
    _check_resources,
    _check_image,
    _check_variables,
    _check_ports,
)
