"""The chart by the real helm: right for each profile and version of Kubernetes; bad values are refused."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from nsagent.cli.manifests import Profile
from nsagent.runtimes.places import SourceKind, list_places
from tests.manifests.made import PROFILES
from tests.manifests.rules import Manifest, find_problems, parse_objects
from tests.manifests.tools import CHART, run_helm, template

pytestmark = pytest.mark.usefixtures("helm")

VERSIONS = ("1.25", "1.29", "1.30", "1.33", "1.37")
"""Of Kubernetes: the oldest that the chart takes, those before and with the field of AppArmor, and newer ones."""

ALL = ("containerd", "k3s", "k0s", "microk8s", "crio", "docker")
EVERYTHING = {
    "profile": "events",
    "image": {"repository": "registry.example:5000/tools/nsagent", "digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "registry"}],
    "namespace": {"create": True},
    "config": 'version: 1\nhttp: {listen: "[${POD_IP}]:9469"}\n',
    "state": {"hostPath": "/data/nsagent"},
    "runtimes": list(ALL),
    "mountPropagation": "",
    "cri": {"enabled": True},
    "docker": {"enabled": True, "socket": "/data/docker.sock"},
    "resources": {"requests": {"cpu": 1, "memory": "1.5Gi"}, "limits": {"cpu": 2, "memory": "2Gi"}},
    "priorityClassName": "mine",
    "resourceQuota": {"enabled": True, "pods": 10},
    "tolerations": [],
    "nodeSelector": {"pool": "a"},
    "affinity": {"nodeAffinity": {}},
    "maxUnavailable": 2,
    "podAnnotations": {"a/b": "c"},
    "podLabels": {"team": "x"},
    "seLinuxOptions": {"type": "spc_t"},
    "extraEnv": [{"name": "NSAGENT_WATCHED_PORT", "value": "3306"}],
    "extraVolumes": [{"name": "token", "secret": {"secretName": "token", "defaultMode": 0o400}}],
    "extraVolumeMounts": [{"name": "token", "mountPath": "/etc/nsagent-token", "readOnly": True}],
    "networkPolicy": {"from": [{"podSelector": {}}], "egress": [{"ports": [{"port": 443}]}]},
    "podMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
}
"""Each value is another one than the default."""


def render(*arguments: str, kubernetes: str = "1.30") -> list[Manifest]:
    return parse_objects(template(*arguments, kubernetes=f"{kubernetes}.0"))


def find(objects: list[Manifest], kind: str) -> Any:
    (found,) = [each for each in objects if each["kind"] == kind]
    return found


def pod_of(objects: list[Manifest]) -> Any:
    return find(objects, "DaemonSet")["spec"]["template"]["spec"]


@pytest.fixture
def everything(tmp_path: Path) -> str:
    """A file with all values, for --values."""
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(EVERYTHING))
    return str(path)


def check(objects: list[Manifest], kubernetes: str) -> None:
    """No rule is broken, and the schemas of that version know every field."""
    assert find_problems(objects) == []
    for each in objects:
        if each["kind"] != "PodMonitor":  # No object of Kubernetes itself.
            kubernetes_validate.validate(each, kubernetes, strict=True)


@pytest.mark.parametrize("kubernetes", VERSIONS)
@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_is_right_for_a_version_of_kubernetes(profile: str, kubernetes: str) -> None:
    linted = run_helm("lint", "--strict", "--kube-version", kubernetes, "--set", f"profile={profile}", str(CHART))
    assert linted.returncode == 0, linted.stdout
    check(render("--set", f"profile={profile},namespace.create=true", kubernetes=kubernetes), kubernetes)


@pytest.mark.parametrize("kubernetes", [VERSIONS[0], VERSIONS[-1]])
def test_all_values_together_are_right(everything: str, kubernetes: str) -> None:
    check(render("--values", everything, kubernetes=kubernetes), kubernetes)


def test_a_field_that_a_version_does_not_know_is_found() -> None:
    objects = render(kubernetes="1.30")
    with pytest.raises(kubernetes_validate.ValidationError, match="'appArmorProfile' was unexpected"):
        check(objects, "1.29")


def test_every_value_changes_something(everything: str, tmp_path: Path) -> None:
    """Whole sections, one at a time, as the values of one may need each other."""
    usual = template()
    for name, value in EVERYTHING.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({name: value}))
        assert template("--values", str(path)) != usual, name


def test_the_values_the_schema_and_the_templates_have_the_same_names() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    templates = "".join(file.read_text() for file in sorted((CHART / "templates").iterdir()))
    assert set(values) == set(schema["properties"]) - {"global"} == set(re.findall(r"\.Values\.(\w+)", templates))
    assert set(values) == set(EVERYTHING)
    for name, section in schema["properties"].items():
        if section.get("additionalProperties") is False and name != "seLinuxOptions":
            assert set(section["properties"]) == set(values[name]), name


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("profile=full", "at '/profile': value must be one of 'base', 'observer', 'events'"),
        ("profil=base", "at '': additional properties 'profil' not allowed"),
        ("image.repository=", "at '/image/repository': '' does not match pattern"),
        ("image.digest=sha256:0", "at '/image/digest': 'sha256:0' does not match pattern"),
        ("image.pullPolicy=Sometimes", "at '/image/pullPolicy': value must be one of"),
        ("runtimes={rkt}", "at '/runtimes/0': value must be one of 'containerd', 'k3s'"),
        ("runtimes={crio,crio}", "at '/runtimes': items at 0 and 1 are equal"),
        ("mountPropagation=Bidirectional", "at '/mountPropagation': value must be one of 'HostToContainer', ''"),
        ("state.hostPath=reports", "at '/state/hostPath': 'reports' does not match pattern"),
        ("resources.limits.memory=512MB", "at '/resources/limits/memory': '512MB' does not match pattern"),
        ("maxUnavailable=0", "at '/maxUnavailable': minimum: got 0, want 1"),
        ("maxUnavailable=110%", "at '/maxUnavailable': '110%' does not match pattern"),
        ("cri.enabled=yes", "at '/cri/enabled': got string, want boolean"),
        ("podMonitor.interval=30", "at '/podMonitor/interval': got number, want string"),
        ("resourceQuota.pods=0", "at '/resourceQuota/pods': minimum: got 0, want 1"),
        ("config=reports", "config: error unmarshaling"),
        ("config=version: 1", 'config: http.listen: expected [${POD_IP}]:9469, where the probes ask, got ""'),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(value: str, error: str) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        template("--set", value)


def test_an_old_kubernetes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"requires kubeVersion: >=1\.25\.0-0"):
        template(kubernetes="1.24.0")


RIGHTS = {
    Profile.BASE: (["SYS_PTRACE", "DAC_READ_SEARCH", "SYS_ADMIN"], True),
    Profile.OBSERVER: (["SYS_PTRACE", "DAC_READ_SEARCH"], False),
    Profile.EVENTS: (["SYS_PTRACE", "DAC_READ_SEARCH", "SYS_ADMIN", "NET_ADMIN", "NET_BROADCAST"], True),
}
"""Capabilities, and whether the PID namespace is the node's."""


@pytest.mark.parametrize("profile", Profile)
def test_a_profile_has_its_rights_and_no_other(profile: Profile) -> None:
    pod = pod_of(render("--set", f"profile={profile}"))
    capabilities, host_pid = RIGHTS[profile]
    assert {key: pod[key] for key in pod if key.startswith("host")} == {"hostPID": host_pid, "hostNetwork": False}
    assert (pod["automountServiceAccountToken"], pod["containers"][0]["securityContext"]) == (
        False,
        {
            "runAsUser": 0,
            "runAsGroup": 0,
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            "appArmorProfile": {"type": "Unconfined"},
            "capabilities": {"drop": ["ALL"], "add": capabilities},
        },
    )


def test_the_observer_alone_is_given_the_procfs_of_the_node() -> None:
    assert {profile: "/proc" in list_host_paths(render("--set", f"profile={profile}")) for profile in PROFILES} == {
        "base": False,
        "observer": True,
        "events": False,
    }
    environment = pod_of(render("--set", "profile=observer"))["containers"][0]["env"]
    assert environment[-1] == {"name": "NSAGENT_PROC_ROOT", "value": "/host/proc"}


def list_host_paths(objects: list[Manifest]) -> dict[str, str]:
    """What of the node is mounted -> where."""
    pod = pod_of(objects)
    paths = {each["name"]: each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
    mounts = pod["containers"][0]["volumeMounts"]
    return {paths[each["name"]]: each["mountPath"] for each in mounts if each["name"] in paths}


def test_no_socket_of_a_runtime_is_mounted_unless_asked_for() -> None:
    assert list_host_paths(render()) == {
        "/var/lib/nsagent": "/var/lib/nsagent",
        "/var/log/containers": "/host/var/log/containers",
        "/run/containerd/io.containerd.runtime.v2.task": "/host/run/containerd/io.containerd.runtime.v2.task",
    }


@pytest.mark.parametrize(("value", "propagations"), [("HostToContainer", {"HostToContainer"}), ("", {None})])
def test_mounts_of_the_node_come_into_the_pod_unless_its_own_are_private(
    value: str, propagations: set[str | None]
) -> None:
    """As in nodes that are containers: there the runtime refuses a pod to which anything is to be propagated."""
    objects = render("--set", f"runtimes={{{','.join(ALL)}}},mountPropagation={value}")
    bundles = re.compile("/(io.containerd.runtime.v2.task|overlay-containers)$")
    mounts = pod_of(objects)["containers"][0]["volumeMounts"]
    told = [each.get("mountPropagation") for each in mounts if bundles.search(each["mountPath"])]
    assert (set(told), len(told)) == (propagations, len(ALL))
    others = [each for each in mounts if not bundles.search(each["mountPath"])]
    assert [each for each in others if "mountPropagation" in each] == []


@pytest.mark.parametrize(
    ("runtimes", "mounted"),
    [
        ("docker", ["/run/docker/containerd/daemon", "/run/containerd"]),
        ("docker,containerd", ["/run/docker/containerd/daemon", "/run/containerd"]),
        ("k3s", ["/run/k3s/containerd"]),
    ],
)
def test_bundles_of_docker_are_its_own_or_those_of_the_containerd_of_the_system(
    runtimes: str, mounted: list[str]
) -> None:
    """Docker's packages leave its containers to containerd's; each directory is mounted once."""
    objects = render("--set", f"runtimes={{{runtimes}}}")
    assert find_problems(objects) == []
    bundles = [path for path in list_host_paths(objects) if path.endswith(".v2.task")]
    assert bundles == [f"{directory}/io.containerd.runtime.v2.task" for directory in mounted]


def test_all_that_is_mounted_for_names_is_where_nsagent_looks(tmp_path: Path) -> None:
    """And all places where it looks are mounted, but those of podman, which runs no pods of Kubernetes."""
    (tmp_path / "run").mkdir()
    os.mknod(tmp_path / "run" / "docker.sock", stat.S_IFSOCK | 0o600)  # Looked for in /var/run where it is not there.
    places = {
        place.address.removeprefix("unix://").replace(str(tmp_path), "/host")
        for place in list_places(None, {}, str(tmp_path))
        if place.kind is not SourceKind.PODMAN
    }
    arguments = ("--set", f"runtimes={{{','.join(ALL)}}},cri.enabled=true,docker.enabled=true")
    mounted = [path for path in list_host_paths(render(*arguments)).values() if path.startswith("/host")]
    assert [path for path in mounted if not any(f"{place}/".startswith(f"{path}/") for place in places)] == []
    assert [place for place in places if not any(f"{place}/".startswith(f"{path}/") for path in mounted)] == []


def test_apparmor_is_a_field_where_there_is_one_and_an_annotation_before() -> None:
    def told(kubernetes: str) -> tuple[object, object]:
        objects = render(kubernetes=kubernetes)
        annotations = find(objects, "DaemonSet")["spec"]["template"]["metadata"]["annotations"]
        context = pod_of(objects)["containers"][0]["securityContext"]
        key = "container.apparmor.security.beta.kubernetes.io/nsagent"
        return annotations.get(key), context.get("appArmorProfile")

    assert told("1.29") == ("unconfined", None)
    assert told("1.30") == (None, {"type": "Unconfined"})


def test_a_podmonitor_is_made_where_it_is_asked_for() -> None:
    kinds = [each["kind"] for each in render()]
    assert sorted(kinds) == ["ConfigMap", "DaemonSet", "NetworkPolicy", "Service", "ServiceAccount"]
    asked = [each["kind"] for each in render("--set", "podMonitor.enabled=true,networkPolicy.enabled=false")]
    assert sorted(asked) == ["ConfigMap", "DaemonSet", "PodMonitor", "Service", "ServiceAccount"]


def test_a_quota_is_made_for_the_priority_of_the_pods_where_it_is_asked_for() -> None:
    """GKE admits pods that are critical for a node only where there is one."""
    objects = render("--set", "resourceQuota.enabled=true")
    quota = find(objects, "ResourceQuota")
    (selected,) = quota["spec"]["scopeSelector"]["matchExpressions"]
    assert selected == {
        "scopeName": "PriorityClass",
        "operator": "In",
        "values": [pod_of(objects)["priorityClassName"]],
    }
    assert (quota["metadata"]["namespace"], quota["spec"]["hard"]) == ("nsagent", {"pods": "5000"})
    without = render("--set", "resourceQuota.enabled=true,priorityClassName=")
    assert "ResourceQuota" not in [each["kind"] for each in without]
    assert "priorityClassName" not in pod_of(without)


def test_a_policy_lets_in_who_asks_for_metrics_and_nothing_out() -> None:
    spec = find(render(), "NetworkPolicy")["spec"]
    assert (spec["policyTypes"], spec["ingress"], spec["egress"]) == (
        ["Ingress", "Egress"],
        [{"ports": [{"port": 9469, "protocol": "TCP"}]}],
        [],
    )


def test_a_config_of_ones_own_is_taken_as_it_is(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text('# Mine.\nversion: 1\n\nhttp: {listen: "10.0.0.1:9469"}\n')
    rendered = find(render("--set-file", f"config={own}"), "ConfigMap")["data"]["config.yaml"]
    assert rendered == own.read_text()


def read_notes(*arguments: str) -> str:
    """What an installation is told at its end."""
    return run_helm("install", "nsagent", str(CHART), "--dry-run=client", *arguments).stdout.partition("NOTES:\n")[2]


def test_the_notes_tell_what_is_left_to_do_and_what_was_given_away() -> None:
    label, closed, root = "kubectl label namespace watch", "No report leaves the node", "as good as root"
    usual = read_notes("--namespace", "watch")
    assert (label in usual, closed in usual, root in usual) == (True, True, False)
    other = read_notes("--set", "namespace.create=true,networkPolicy.enabled=false,docker.enabled=true")
    assert (label in other, closed in other, root in other) == (False, False, True)
