"""Bundles on disk: the names that containerd, CRI-O and nerdctl leave there."""

import json
import os
import shutil
from pathlib import Path

import pytest

from nsagent.model.container import Container, Pod, Runtime
from nsagent.model.ids import PodUid
from nsagent.runtimes.bundles import BundleSource
from tests.cpu_time import cpu_seconds
from tests.runtimes.bundle_files import (
    CRI,
    CRIO,
    FIXTURES,
    OTHER_ID,
    RECORDED,
    call,
    list_of,
    make_as,
    only,
    put,
    record,
)

UID = "8f4f2d1c-6a3b-4c1e-9d57-0f6f0c8a1b2d"
CPU_SECONDS = 0.045
"""For 120 bundles; 0.009 were measured."""


def pod_of(directory: str, name: str | None, kube_namespace: str) -> Container:
    """The one container of a fixture that has this name."""
    (container,) = (
        container
        for container in list_of(FIXTURES / directory)
        if container.name == name and container.pod and container.pod.kube_namespace == kube_namespace
    )
    return container


class TestContainerd:
    """`NAMESPACE/ID/config.json`."""

    def test_a_pod_of_two_containers(self) -> None:
        pod = Pod(PodUid(UID), "web-7d9c5b6f4-x2x7k", "shop")
        image = "registry.example/shop/web:1.4"
        containers = [container for container in list_of(FIXTURES / "containerd-1.6") if container.pod == pod]
        assert containers == [
            record("web-7d9c5b6f4-x2x7k", id_=containers[0].id, pod=pod, sandbox=True),
            record("sidecar", id_=containers[1].id, pod=pod, container_name="sidecar", image=image),
            record("app", id_=RECORDED.name, pod=pod, container_name="app", image=image),
        ]

    def test_a_static_pod_has_its_config_hash_for_a_uid(self) -> None:
        pod = Pod(PodUid("0f3a5c7d9b1e2468ace013579bdf0246"), "kube-scheduler-node1", "kube-system")
        assert pod_of("containerd-1.6", "kube-scheduler", "kube-system").pod == pod
        assert pod_of("containerd-1.6", "kube-scheduler-node1", "kube-system").sandbox

    def test_a_container_of_another_namespace_is_known_by_its_id(self) -> None:
        id_ = "5c2f0e8d7b6a59483726150493827160f1e2d3c4b5a69788796a5b4c3d2e1f00"
        assert list_of(FIXTURES / "containerd-1.6")[0] == record(None, id_=id_)

    def test_docker_s_containers_are_docker_s(self) -> None:
        id_ = "49a7955bc59b5f93b2d9c4f9c4f9542460fbe0b9ea6d15e79cad516b9e448638"
        assert list_of(FIXTURES / "docker-20.10") == (record(None, Runtime.DOCKER, id_),)

    def test_without_annotations_of_the_pod_its_log_directory_names_it(self) -> None:
        """containerd 1.4; the container's pod is found by the uid in its cgroup path."""
        pod = Pod(PodUid("3d6f1b52-8a40-4c0e-b7a9-5b1f7c2d9e04"), "db-0", "shop")
        container, sandbox = list_of(FIXTURES / "containerd-1.4")
        assert container == record("postgres", id_=container.id, container_name="postgres")
        assert sandbox == record("db-0", id_=sandbox.id, pod=pod, sandbox=True)

    def test_a_name_by_nerdctl(self, tmp_path: Path) -> None:
        bundles = tmp_path / "bundles"
        shutil.copytree(FIXTURES / "containerd-2.0", bundles)
        (container,) = (c for c in list_of(bundles) if c.pod is None)
        assert container == record(None, id_=container.id)
        call(bundles, "web", id_=container.id)
        assert record("web", id_=container.id) in list_of(bundles)

    def test_names_that_nerdctl_has_exchanged(self, tmp_path: Path) -> None:
        """The specs stay as they are."""
        put(tmp_path, "default", make_as("a"))
        put(tmp_path, "default", make_as("b", id_=OTHER_ID), OTHER_ID)
        call(tmp_path, "b")
        call(tmp_path, "a", id_=OTHER_ID)
        assert list_of(tmp_path) == (record("b"), record("a", id_=OTHER_ID))

    def test_what_a_pod_is_called_goes_before_what_nerdctl_annotates(self, tmp_path: Path) -> None:
        call(tmp_path, "other", "k8s.io")
        put(tmp_path, "k8s.io", {f"{CRI}container-name": "app", **make_as("other", "k8s.io")})
        assert only(tmp_path) == record("app", container_name="app")

    @pytest.mark.parametrize("namespace", ["moby", "default", "k8s.io.evil"])
    def test_annotations_of_pods_count_nowhere_else(self, tmp_path: Path, namespace: str) -> None:
        """`docker run --annotation` takes any."""
        put(tmp_path, namespace, {f"{CRI}container-name": "x", f"{CRI}sandbox-uid": UID, CRIO + "KubeName": "y"})
        assert only(tmp_path) == record(None, Runtime.DOCKER if namespace == "moby" else Runtime.CONTAINERD)

    def test_docker_has_no_names_by_nerdctl(self, tmp_path: Path) -> None:
        call(tmp_path, "x", "moby")
        put(tmp_path, "moby", make_as("x", "moby"))
        assert only(tmp_path) == record(None, Runtime.DOCKER)

    def test_a_sandbox_without_a_name_has_none(self, tmp_path: Path) -> None:
        put(tmp_path, "k8s.io", {f"{CRI}container-type": "sandbox", f"{CRI}container-name": "x"})
        assert only(tmp_path) == record(None, sandbox=True)

    def test_an_id_in_two_namespaces_is_one_container(self, tmp_path: Path) -> None:
        for namespace, name in (("a", "first"), ("b", "second")):
            call(tmp_path, name, namespace)
            put(tmp_path, namespace, make_as(name, namespace))
        assert list_of(tmp_path) == (record("first"),)

    def test_a_config_without_annotations_is_one(self, tmp_path: Path) -> None:
        (put(tmp_path, "default", {}) / "config.json").write_text("{}")
        assert only(tmp_path) == record(None)


class TestSandboxed:
    """gVisor and Kata, by the programs that run a container."""

    def test_a_container_in_kata_is_sandboxed_as_its_sandbox_is(self) -> None:
        """containerd 2 notes the shim of a pod with its sandbox only."""
        assert pod_of("containerd-2.0", "vault-0", "secure").sandboxed == "kata"
        vault = pod_of("containerd-2.0", "vault", "secure")
        assert (vault.sandboxed, vault.image) == ("kata", "registry.example/vault:1.15")

    def test_by_the_shim(self, tmp_path: Path) -> None:
        put(tmp_path, "k8s.io", {}, shim_binary_path="/usr/local/bin/containerd-shim-runsc-v1")
        assert only(tmp_path).sandboxed == "gvisor"

    def test_by_what_runc_s_shim_starts(self, tmp_path: Path) -> None:
        """`docker run --runtime runsc`."""
        put(tmp_path, "moby", {}, shim_binary_path="/usr/bin/containerd-shim-runc-v2", runtime="/usr/local/bin/runsc")
        assert only(tmp_path).sandboxed == "gvisor"

    def test_by_the_handler_of_cri_o(self, tmp_path: Path) -> None:
        own = {"io.container.manager": "cri-o", f"{CRIO}SandboxID": OTHER_ID}
        put(tmp_path, None, {**own, "io.kubernetes.container.name": "app"})
        put(tmp_path, None, {**own, "io.kubernetes.container.name": "POD", f"{CRIO}RuntimeHandler": "kata"}, OTHER_ID)
        assert [container.sandboxed for container in list_of(tmp_path)] == ["kata", "kata"]

    @pytest.mark.parametrize("shim", ["", "\udcff", "/usr/bin/containerd-shim-runc-v2", "/opt/kata/" + "x" * 5000])
    def test_any_other_program_is_none(self, tmp_path: Path, shim: str) -> None:
        (put(tmp_path, "k8s.io", {}) / "shim-binary-path").write_bytes(os.fsencode(shim))
        assert only(tmp_path).sandboxed is None


class TestCrio:
    """`ID/userdata/config.json`."""

    def test_a_pod_with_its_labels(self) -> None:
        uid = PodUid("aa42e0f6-1f5c-4f0e-8d0e-62d1f5b0c7a8")
        labels = {"app": "web", "statefulset.kubernetes.io/pod-name": "web-0"}
        sandbox = pod_of("cri-o-1.28", "web-0", "shop")
        assert sandbox == record(
            "web-0",
            Runtime.CRIO,
            sandbox.id,
            pod=Pod(uid, "web-0", "shop", labels),
            sandbox=True,
            image="registry.example/pause:3.9",
        )
        container = pod_of("cri-o-1.28", "nginx", "shop")
        assert container == record(
            "nginx",
            Runtime.CRIO,
            container.id,
            pod=Pod(uid, "web-0", "shop"),
            container_name="nginx",
            image="registry.example/shop/web:1.4",
        )

    def test_a_static_pod_has_its_config_hash(self) -> None:
        hash_ = PodUid("6b1e0c9f8d7a65b4c3d2e1f00f1e2d3c")
        labels = {"component": "etcd", "tier": "control-plane"}
        pod = pod_of("cri-o-1.28", "etcd-node1", "kube-system").pod
        assert pod == Pod(hash_, "etcd-node1", "kube-system", labels, hash_)

    def test_a_pod_of_the_api_has_no_config_hash(self, tmp_path: Path) -> None:
        """Its owner may annotate that of a static pod."""
        own = {
            "io.container.manager": "cri-o",
            "io.kubernetes.pod.name": "web-0",
            "io.kubernetes.container.name": "POD",
        }
        put(tmp_path, None, {**own, "kubernetes.io/config.hash": "f" * 32, "kubernetes.io/config.source": "api"})
        assert only(tmp_path).pod == Pod(None, "web-0", None)

    def test_the_labels_of_a_pod_do_not_make_it_a_static_one(self, tmp_path: Path) -> None:
        """CRI-O writes them over the annotations, and the pod's annotations over its own text of those."""
        forged = {"kubernetes.io/config.hash": "f" * 32, "kubernetes.io/config.source": "file"}
        own = {
            "io.container.manager": "cri-o",
            f"{CRIO}Annotations": json.dumps(forged),
            "io.kubernetes.pod.name": "web-0",
            "io.kubernetes.pod.uid": UID,
            "io.kubernetes.container.name": "POD",
        }
        put(tmp_path, None, {**own, **forged})
        assert only(tmp_path).pod == Pod(PodUid(UID), "web-0", None)

    def test_podman_s_containers_are_podman_s(self) -> None:
        (container,) = list_of(FIXTURES / "podman-4.3")
        assert container == record(None, Runtime.PODMAN, container.id)

    def test_podman_s_annotations_name_no_pod(self, tmp_path: Path) -> None:
        """`podman run --annotation` takes any but the manager's."""
        labels = {"io.kubernetes.pod.name": "x", "io.kubernetes.container.name": "y", f"{CRI}container-name": "z"}
        put(tmp_path, None, {"io.container.manager": "libpod", "nerdctl/name": "n", **labels})
        assert only(tmp_path) == record(None, Runtime.PODMAN)

    def test_a_manager_that_is_not_known_is_none(self, tmp_path: Path) -> None:
        put(tmp_path, None, {"io.container.manager": "other", "io.kubernetes.container.name": "y"})
        assert only(tmp_path) == record(None, None)

    def test_annotations_of_a_pod_do_not_change_who_it_is(self, tmp_path: Path) -> None:
        """CRI-O writes them over those of its own, and the labels over both."""
        bundle = next(path for path in (FIXTURES / "cri-o-1.28").rglob("config.json") if b'"POD"' in path.read_bytes())
        spec = json.loads(bundle.read_bytes())
        true = only_of(tmp_path / "true", spec)
        forged = {
            "ContainerType": "container",
            "ContainerName": "forged",
            "KubeName": "forged",
            "Namespace": "forged",
            "Name": "forged",
            "Labels": json.dumps({"io.kubernetes.pod.name": "forged", "app": "forged", "new": "label"}),
            "Metadata": json.dumps({"name": "forged", "uid": "forged"}),
        }
        spec["annotations"].update({CRIO + key: value for key, value in forged.items()})
        told = only_of(tmp_path / "forged", spec)
        assert true.pod
        assert told.pod == Pod(true.pod.uid, true.pod.name, true.pod.kube_namespace, {}, true.pod.config_hash)
        assert (told.name, told.sandbox, told.container_name) == (true.name, True, None)

    def test_a_container_that_is_called_something_is_no_sandbox(self, tmp_path: Path) -> None:
        own = {"io.container.manager": "cri-o", "io.kubernetes.container.name": "app"}
        put(tmp_path, None, {**own, f"{CRIO}ContainerType": "sandbox"})
        assert only(tmp_path) == record("app", Runtime.CRIO, container_name="app")

    def test_a_pod_that_no_kubelet_made_has_a_type_and_no_name(self, tmp_path: Path) -> None:
        put(tmp_path, None, {"io.container.manager": "cri-o", f"{CRIO}ContainerType": "sandbox"})
        assert only(tmp_path) == record(None, Runtime.CRIO, sandbox=True)

    @pytest.mark.parametrize("labels", [7, None, "", "[", "[]", "7", "null", '{"app": 7}', "[" * 100_000, "9" * 5000])
    def test_labels_of_another_form_cost_only_the_labels(self, tmp_path: Path, labels: object) -> None:
        own = {"io.kubernetes.pod.name": "web-0", "io.kubernetes.container.name": "POD", "app": "web"}
        put(tmp_path, None, {"io.container.manager": "cri-o", f"{CRIO}Labels": labels, **own})
        assert only(tmp_path) == record("web-0", Runtime.CRIO, pod=Pod(None, "web-0", None), sandbox=True)


def only_of(directory: Path, spec: object) -> Container:
    """The one container of a directory that holds this config in the layout of CRI-O."""
    (put(directory, None, {}) / "config.json").write_text(json.dumps(spec))
    return only(directory)


class TestCost:
    """Reading them must not be felt in a scan of 200 ms."""

    def test_120_bundles(self, tmp_path: Path) -> None:
        for number in range(120):
            shutil.copytree(RECORDED, tmp_path / "k8s.io" / f"{number:064x}")
        source = BundleSource(str(tmp_path))
        assert len(source.list_containers()) == 120
        assert min(cpu_seconds(source.list_containers) for _ in range(5)) < CPU_SECONDS
