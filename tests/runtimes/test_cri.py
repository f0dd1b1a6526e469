"""CRI: how runtimes are asked, and what they tell of containers and pods."""

import socket
from pathlib import Path
from typing import Any

import pytest

from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.ids import ContainerId, PodUid
from nsagent.runtimes.cri import CriSource
from tests.runtimes.cri_server import (
    METHODS,
    UNIMPLEMENTED,
    V1,
    V1ALPHA2,
    Call,
    Connection,
    answer_http,
    answering,
    container,
    lists,
    load_answers,
    pod_labels,
    prefixed,
    sandbox,
    speaking,
    version,
)
from tests.runtimes.engine_server import serve
from tests.runtimes.protobuf_wire import encode_message

FIXTURES = Path(__file__).parents[2] / "fixtures" / "cri"
ID, OTHER_ID, SANDBOX_ID = "a" * 64, "b" * 64, "c" * 64
UID = "6a52412a-0a32-425f-830f-87a95abb57d4"
CONFIG_HASH = "ce051fc91f9e463593a1d45efa60be52"
TIMEOUT_SECONDS = 10.0


def ask(url: str) -> tuple[Container, ...]:
    return CriSource(url, TIMEOUT_SECONDS).list_containers()


def list_of(directory: Path, *containers: bytes, sandboxes: tuple[bytes, ...] = ()) -> tuple[Container, ...]:
    """What the source makes of lists of these."""
    with serve(directory, answering(lists(containers, sandboxes))) as url:
        return ask(url)


def record(id_: str = ID, name: str | None = "web", **fields: Any) -> Container:
    """What the source makes of `container(id_, name=name)`."""
    state = NameState.PENDING if name is None else NameState.KNOWN
    told = {"runtime": Runtime.CONTAINERD, "image": None, "container_name": name, "labels": {}, **fields}
    return Container(ContainerId(id_), name, state, verified=True, source="cri", **told)


def load(directory: Path, fixture: str) -> dict[str, Container]:
    """The containers of an answer in fixtures/cri by their pods and names: `shop/web-0 nginx`."""
    with serve(directory, answering(load_answers(FIXTURES / fixture))) as url:
        containers = ask(url)
    return {describe(one): one for one in containers}


def describe(told: Container) -> str:
    """`NAMESPACE/POD CONTAINER`; of a sandbox without the container."""
    assert told.pod is not None
    return f"{told.pod.kube_namespace}/{told.pod.name} {told.container_name or ''}".strip()


class TestFixtures:
    """The answers of real runtimes, and of those that cannot be had here."""

    def test_containerd_1_6_recorded(self, tmp_path: Path) -> None:
        told = load(tmp_path, "containerd-1.6.20.json")
        web = "shop/web-6d5f8c7b9-x2x7k"
        assert set(told) == {
            "kube-system/etcd-node-1", "kube-system/etcd-node-1 etcd",
            "monitoring/node-exporter-4kq2z", "monitoring/node-exporter-4kq2z exporter",
            web, f"{web} metrics", f"{web} nginx",
            "shop/sandboxed-0", "shop/sandboxed-0 app",
        }  # fmt: skip
        pod = Pod(
            uid=PodUid("9a069967-64e5-bfea-02db-170e5adfbcf6"),
            name="web-6d5f8c7b9-x2x7k",
            kube_namespace="shop",
            labels={"app": "web", "pod-template-hash": "6d5f8c7b9"},
        )
        labels = pod_labels("web-6d5f8c7b9-x2x7k", str(pod.uid), "shop")
        assert told[f"{web} nginx"] == Container(
            id=ContainerId("988fa652fdc1a8b6937d6dd1b2f00c3476951c416873980ca7f38b833db08e5a"),
            name="nginx",
            name_state=NameState.KNOWN,
            runtime=Runtime.CONTAINERD,
            image="sha256:5e9d0b2066cc0e95cb333e2af20c8403d27ec1126f6e4cf4d8da5f995884e017",
            verified=True,
            source="cri",
            labels={"io.kubernetes.container.name": "nginx", **labels},
            pod=pod,
            container_name="nginx",
        )
        assert told[web] == Container(
            id=ContainerId("06aa09e5e35b6aad7c93c5ebc4af9297a8bce4b877cbae54ade0b88d10d8d8a9"),
            name="web-6d5f8c7b9-x2x7k",
            name_state=NameState.KNOWN,
            runtime=Runtime.CONTAINERD,
            image=None,
            verified=True,
            source="cri",
            labels={**pod.labels, **labels},
            pod=pod,
            sandbox=True,
        )
        assert {name for name, one in told.items() if one.sandboxed == "gvisor"} == {
            "shop/sandboxed-0",
            "shop/sandboxed-0 app",
        }
        assert pods_of_hashes(told) == {"etcd-node-1": "9a069967f7832534a8db6c3e1d1a03cf"}

    def test_cri_o(self, tmp_path: Path) -> None:
        """No handler, no name that the pod gave to the image, and `POD` as the name of each sandbox."""
        told = load(tmp_path, "cri-o-1.35.json")
        assert set(told) == {
            "kube-system/kube-apiserver-master-0", "kube-system/kube-apiserver-master-0 kube-apiserver",
            "shop/web-6d5f8c7b9-x2x7k", "shop/web-6d5f8c7b9-x2x7k nginx", "shop/web-6d5f8c7b9-x2x7k frozen",
            "shop/vm-guest-0", "shop/vm-guest-0 guest",
        }  # fmt: skip
        assert {one.runtime for one in told.values()} == {Runtime.CRIO}
        assert {one.sandboxed for one in told.values()} == {None}
        images = {name: (one.image or "").partition("@")[0] for name, one in told.items()}
        assert images["kube-system/kube-apiserver-master-0 kube-apiserver"] == "registry.example/kube-apiserver"
        assert images["shop/web-6d5f8c7b9-x2x7k nginx"] == "registry.example/shop/nginx"
        assert len(images["shop/web-6d5f8c7b9-x2x7k frozen"]) == 64
        assert told["shop/vm-guest-0"].name == "vm-guest-0"
        assert list(pods_of_hashes(told)) == ["kube-apiserver-master-0"]

    def test_k3s(self, tmp_path: Path) -> None:
        told = load(tmp_path, "k3s-containerd-1.7.json")
        lb = "kube-system/svclb-traefik-0c1f6d2e-7x9zk"
        proxy = "kube-system/kube-proxy-node-1"
        assert set(told) == {proxy, f"{proxy} kube-proxy", lb, f"{lb} lb-tcp-80", f"{lb} lb-tcp-443"}
        assert {one.runtime for one in told.values()} == {Runtime.CONTAINERD}
        assert list(pods_of_hashes(told)) == ["kube-proxy-node-1"]

    def test_kind(self, tmp_path: Path) -> None:
        """containerd 2 passes on what the pod calls the image; one container is not started yet."""
        told = load(tmp_path, "kind-containerd-2.1.json")
        assert {name: one.image for name, one in told.items() if not one.sandbox} == {
            "kube-system/etcd-kind-control-plane etcd": "registry.example/etcd:3.5.21-0",
            "kube-system/coredns-674b8bbfcf-2m6xq coredns": "registry.example/coredns/coredns:v1.12.0",
            "ci/build-0 build": "registry.example/golang:1.24",
        }
        assert {name for name, one in told.items() if one.sandboxed} == {"ci/build-0", "ci/build-0 build"}
        assert told["ci/build-0"].sandboxed == "kata"
        assert list(pods_of_hashes(told)) == ["etcd-kind-control-plane"]

    def test_cri_dockerd(self, tmp_path: Path) -> None:
        told = load(tmp_path, "cri-dockerd-docker-24.json")
        assert {name: one.runtime for name, one in told.items()} == {
            "shop/web-0": Runtime.DOCKER,
            "shop/web-0 nginx": Runtime.DOCKER,
        }

    def test_the_version_is_what_the_engine_last_told(self, tmp_path: Path) -> None:
        with serve(tmp_path, answering(load_answers(FIXTURES / "containerd-1.6.20.json"))) as url:
            source = CriSource(url, TIMEOUT_SECONDS)
            assert source.version is None
            source.list_containers()
        assert source.version == "containerd 1.6.20~ds1"


def pods_of_hashes(told: dict[str, Container]) -> dict[str, str]:
    """The static pods: their names, and their config hashes, which are their uids as well."""
    pods = [one.pod for one in told.values() if one.pod and one.pod.config_hash]
    assert all(pod.uid == pod.config_hash for pod in pods)
    return {pod.name or "": pod.config_hash or "" for pod in pods}


class TestCalls:
    """How the engine is asked."""

    def test_three_methods_are_called_at_once_over_one_connection(self, tmp_path: Path) -> None:
        paths: list[list[str]] = []

        def answer(connection: Connection, calls: list[Call]) -> None:
            paths.append(sorted(call.path for call in calls))
            assert [call.request for call in calls] == [prefixed(b"")] * 3
            for call in calls:
                connection.answer(call.stream_id, lists()[call.path.rpartition("/")[2]])

        with serve(tmp_path, speaking(answer)) as url:
            assert ask(url) == ()
        assert paths == [[f"/{V1}/{method}" for method in sorted(METHODS)]]

    def test_an_engine_of_the_older_version_is_asked_in_it_the_next_time(self, tmp_path: Path) -> None:
        services: list[str] = []

        def behave(connected: socket.socket) -> None:
            connection = Connection(connected)
            for call in connection.iterate_calls():
                services.append(call.path.split("/")[1])
                if services[-1] == V1ALPHA2:
                    connection.answer(call.stream_id, lists([container(ID)])[call.path.rpartition("/")[2]])
                else:
                    connection.fail(call.stream_id, UNIMPLEMENTED, f"unknown service {V1}")

        with serve(tmp_path, behave) as url:
            source = CriSource(url, TIMEOUT_SECONDS)
            assert source.list_containers() == (record(),)
            assert source.list_containers() == (record(),)
        assert services == [V1] * 3 + [V1ALPHA2] * 6

    def test_an_engine_that_leaves_the_older_version_behind_is_asked_in_the_newer(self, tmp_path: Path) -> None:
        served = [V1ALPHA2]

        def behave(connected: socket.socket) -> None:
            answering(lists([container(ID)]), service=served[-1])(connected)

        with serve(tmp_path, behave) as url:
            source = CriSource(url, TIMEOUT_SECONDS)
            assert source.list_containers() == (record(),)
            served.append(V1)
            assert source.list_containers() == (record(),)

    def test_what_does_not_serve_cri_is_told_apart(self, tmp_path: Path) -> None:
        with (
            serve(tmp_path, answering({}, service="containerd.services.v1")) as url,
            pytest.raises(RuntimeUnavailable) as raised,
        ):
            ask(url)
        told = f"UNIMPLEMENTED: unknown service {V1}"
        assert (str(raised.value), raised.value.reason) == (told, Reason.NOT_SERVED)

    def test_what_speaks_no_grpc_may_be_an_engine_that_has_trouble(self, tmp_path: Path) -> None:
        with serve(tmp_path, answer_http) as url, pytest.raises(RuntimeUnavailable, match="UNAVAILABLE: ") as raised:
            ask(url)
        assert raised.value.reason is Reason.FAILED

    def test_an_engine_that_started_anew_is_told_from_the_earlier_one(self, tmp_path: Path) -> None:
        identities = []
        for _ in range(2):
            with serve(tmp_path, answering(lists())) as url:
                identities.append(CriSource(url, TIMEOUT_SECONDS).identify())
        assert None not in identities
        assert identities[0] != identities[1]
        assert CriSource("unix:///nowhere", TIMEOUT_SECONDS).identify() is None

    def test_a_source_says_what_it_is_called_and_whether_somebody_asked_for_it(self) -> None:
        source = CriSource("unix:///run/crio/crio.sock", 2.0, named=False)
        assert (source.name, source.subject, source.named) == ("cri", "cri (unix:///run/crio/crio.sock)", False)
        assert CriSource("unix:///run/crio/crio.sock", 2.0).named


class TestRecords:
    """What becomes of one container or sandbox."""

    def test_a_container_has_the_pod_of_its_sandbox(self, tmp_path: Path) -> None:
        pod = Pod(PodUid(UID), "shop-0", "shop", {"app": "shop"}, PodUid(CONFIG_HASH))
        told = list_of(
            tmp_path,
            container(ID, SANDBOX_ID, _8=pod_labels("shop-0", UID, "shop")),
            sandboxes=(
                sandbox(
                    SANDBOX_ID, uid=UID,
                    _5={"app": "shop", **pod_labels("shop-0", UID, "shop")},
                    _6={"kubernetes.io/config.hash": CONFIG_HASH, "kubernetes.io/config.source": "file"},
                ),
            ),
        )  # fmt: skip
        assert [one.pod for one in told] == [pod, pod]

    def test_a_sandbox_without_labels_is_named_by_its_metadata(self, tmp_path: Path) -> None:
        """As one that crictl or a test made."""
        (told,) = list_of(tmp_path, sandboxes=(sandbox(SANDBOX_ID, "shop-0", UID, "shop"),))
        pod = Pod(PodUid(UID), "shop-0", "shop")
        assert told == record(SANDBOX_ID, "shop-0", pod=pod, container_name=None, sandbox=True)

    def test_a_container_whose_sandbox_is_not_listed_has_the_pod_of_its_labels(self, tmp_path: Path) -> None:
        """The lists are made one after the other."""
        labels = {"io.kubernetes.container.name": "web", "of.an.image": "x", **pod_labels("shop-0", UID, "shop")}
        (told,) = list_of(tmp_path, container(ID, OTHER_ID, _8=labels))
        assert told == record(labels=labels, pod=Pod(PodUid(UID), "shop-0", "shop"))

    def test_a_container_outside_of_kubernetes_has_no_pod(self, tmp_path: Path) -> None:
        assert list_of(tmp_path, container(ID)) == (record(),)

    @pytest.mark.parametrize(("state", "count"), [(0, 1), (1, 1), (2, 0), (3, 1), (77, 1)])
    def test_every_container_but_one_that_has_exited_is_told(self, tmp_path: Path, state: int, count: int) -> None:
        """Unknown is what CRI-O once said of paused ones, and containerd says when a shim hangs: both have sockets."""
        assert list_of(tmp_path, container(ID, state=state)) == (record(),) * count

    def test_a_sandbox_that_is_not_ready_is_left_out_and_still_names_the_pod(self, tmp_path: Path) -> None:
        told = list_of(tmp_path, container(ID, SANDBOX_ID), sandboxes=(sandbox(SANDBOX_ID, state=1),))
        assert told == (record(pod=Pod(PodUid("u"), "shop-0", "shop")),)

    def test_without_a_name_both_are_pending(self, tmp_path: Path) -> None:
        told = list_of(tmp_path, container(ID, name=""), sandboxes=(sandbox(SANDBOX_ID, "", "", ""),))
        assert told == (record(name=None), record(SANDBOX_ID, None, sandbox=True))

    @pytest.mark.parametrize(
        ("handler", "sandboxed"), [("", None), ("runc", None), ("runsc", "gvisor"), ("kata-fc", "kata")]
    )
    def test_the_handler_of_the_sandbox_tells_of_a_kernel_of_its_own(
        self, tmp_path: Path, handler: str, sandboxed: str | None
    ) -> None:
        told = list_of(tmp_path, container(ID, SANDBOX_ID), sandboxes=(sandbox(SANDBOX_ID, _7=handler),))
        assert [one.sandboxed for one in told] == [sandboxed] * 2

    @pytest.mark.parametrize(
        ("name", "runtime"),
        [("containerd", Runtime.CONTAINERD), ("cri-o", Runtime.CRIO), ("docker", Runtime.DOCKER), ("isulad", None)],
    )
    def test_the_engine_names_the_runtime(self, tmp_path: Path, name: str, runtime: Runtime | None) -> None:
        with serve(tmp_path, answering(lists([container(ID)], told=version(name)))) as url:
            assert ask(url) == (record(runtime=runtime),)

    @pytest.mark.parametrize(
        ("image", "user_specified", "annotation", "ref", "expected"),
        [
            ("web:1", "", "", "sha256:" + "d" * 64, "web:1"),
            ("sha256:" + "d" * 64, "web:1", "other:1", "example/web@sha256:" + "e" * 64, "web:1"),
            ("example/web@sha256:" + "e" * 64, "web:1", "", "", "web:1"),
            ("sha256:" + "d" * 64, "", "web:1", "example/web@sha256:" + "e" * 64, "web:1"),
            ("d" * 64, "", "", "example/web@sha256:" + "e" * 64, "example/web@sha256:" + "e" * 64),
            ("sha256:" + "d" * 64, "", "", "sha256:" + "d" * 64, "sha256:" + "d" * 64),
            ("d" * 64, "", "", "", "d" * 64),
            ("", "", "", "sha256:" + "d" * 64, None),
        ],
    )
    def test_an_image_is_called_as_the_pod_calls_it_if_that_is_known(
        self, tmp_path: Path, image: str, user_specified: str, annotation: str, ref: str, expected: str | None
    ) -> None:
        spec = encode_message({1: image, 18: user_specified})
        annotations = {"io.kubernetes.cri.image-name": annotation} if annotation else {}
        (told,) = list_of(tmp_path, container(ID, _4=spec, _5=ref, _9=annotations))
        assert told.image == expected

    def test_the_first_of_two_with_one_id_counts(self, tmp_path: Path) -> None:
        told = list_of(
            tmp_path,
            container(ID, SANDBOX_ID),
            container(ID, name="other"),
            container(OTHER_ID, name="gone", state=2),
            container(OTHER_ID, name="back"),
            sandboxes=(sandbox(SANDBOX_ID), sandbox(SANDBOX_ID, "other"), sandbox(ID, "web-0")),
        )
        assert [(one.id, one.name) for one in told] == [(ID, "web"), (SANDBOX_ID, "shop-0")]

    @pytest.mark.parametrize(
        "id_",
        ["", "-1", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 63 + "\n", "a" * 64 + "\n", "../" * 22, b"\xff" * 64],
    )  # fmt: skip
    def test_a_record_without_a_usable_id_is_left_out(self, tmp_path: Path, id_: str | bytes) -> None:
        """Nor is a container's sandbox found by one."""
        told = list_of(
            tmp_path,
            container(id_),
            container(ID, id_ if isinstance(id_, str) else ""),
            sandboxes=(sandbox(id_), sandbox(SANDBOX_ID)),
        )
        assert [one.id for one in told] == [ID, SANDBOX_ID]
        assert told[0].pod is None

    def test_hostile_characters_are_kept_as_they_are(self, tmp_path: Path) -> None:
        """Escaping is the writers' business."""
        hostile = b"\0\x1b[31m\xff\xe2\x80\xae\n"
        text = hostile.decode("utf-8", "surrogateescape")
        told = list_of(
            tmp_path,
            container(ID, SANDBOX_ID, hostile, _4=encode_message({1: hostile}), _8={text: text}),
            sandboxes=(sandbox(SANDBOX_ID, text, text, text, _5={text: text}),),
        )
        pod = Pod(PodUid(text), text, text, {text: text})
        assert told == (
            record(name=text, image=text, labels={text: text}, pod=pod),
            record(SANDBOX_ID, text, labels={text: text}, pod=pod, container_name=None, sandbox=True),
        )

    def test_fields_to_come_and_fields_of_another_type_are_passed_over(self, tmp_path: Path) -> None:
        odd = encode_message({1: 7, 2: 7, 3: 7, 4: 7, 5: 7, 6: "x", 7: "x", 8: 7, 9: 7})
        more = encode_message({200: "x", 2**28: [1, 2]})
        answers = lists()
        answers["ListContainers"] = encode_message({2: "x", 1: [container(ID) + odd + more, more], 3: 9})
        with serve(tmp_path, answering(answers)) as url:
            assert ask(url) == (record(),)
