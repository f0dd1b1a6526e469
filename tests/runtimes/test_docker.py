"""Docker's API: what a well-behaved engine tells, and every way in which one may not."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest

from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.identity.pod_labels import CONTAINER_NAME
from nsagent.model.container import Container, Init, NameState, Pod, Runtime
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import ContainerId, Pid, PodUid
from nsagent.runtimes.docker import DockerSource
from nsagent.runtimes.runtimes import Runtimes
from tests.runtimes.engine_server import HEAD, Behaviour, answer, read_request, rows, saying, serve
from tests.runtimes.misbehaviours import MISBEHAVIOURS, silence
from tests.runtimes.stand_in import wait_until

RECORDED = Path(__file__).parents[2] / "fixtures" / "docker" / "containers-20.10.24.json"
ID = "a" * 64
OTHER_ID = "b" * 64
OWN_PATH = "/v4.0.0/libpod/containers/json"
TIMEOUT_SECONDS = 0.5
DEADLINE_SECONDS = 0.6
SLACK_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""For engines that answer at once."""


def record(id_: str = ID, name: str | None = "web", runtime: Runtime = Runtime.DOCKER) -> Container:
    """What the source makes of `{"Id": id_, "Names": ["/web"]}`."""
    state = NameState.PENDING if name is None else NameState.KNOWN
    return Container(ContainerId(id_), name, state, runtime, None, True, runtime.value, labels={})


def ask(url: str, name: str = "docker") -> tuple[Container, ...]:
    return DockerSource(url, ANSWER_SECONDS, name).list_containers()


def list_of(directory: Path, *containers: object) -> tuple[Container, ...]:
    """What the source makes of a list of these."""
    with serve(directory, saying(rows(*containers))) as url:
        return ask(url)


class TestAnswers:
    """Well-formed HTTP with a list of containers."""

    def test_a_recorded_answer(self, tmp_path: Path) -> None:
        with serve(tmp_path, saying(answer(RECORDED.read_bytes()))) as url:
            containers = ask(url)
        assert [container.name for container in containers] == [
            "paused",
            "k8s_app_web-7d9c_shop_0",
            "linked",
            "sidecar",
            "nonet",
            "hostnet",
            "web",
        ]
        assert containers[-1] == Container(
            id=ContainerId("cae9ed839b1d3033620825b703b7eefaba09ade4f53ea5275d6cf4276bbfcbd0"),
            name="web",
            name_state=NameState.KNOWN,
            runtime=Runtime.DOCKER,
            image="shop/web:1",
            verified=True,
            source="docker",
            labels={"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "odd": 'a b"<x>'},
        )

    def test_one_request_is_made_and_its_path_bears_no_version(self, tmp_path: Path) -> None:
        """A daemon refuses a version that it finds too old or too new."""
        requests: list[bytes] = []

        def behave(connection: socket.socket) -> None:
            requests.append(read_request(connection))
            connection.sendall(rows())

        with serve(tmp_path, behave) as url:
            assert ask(url) == ()
        assert [request.split(b"\r\n")[0] for request in requests] == [b"GET /containers/json HTTP/1.1"]

    def test_podman_is_told_by_the_name_of_the_source(self, tmp_path: Path) -> None:
        with serve(tmp_path, saying(rows({"Id": ID, "Names": ["web"]}))) as url:
            assert ask(url, "podman") == (record(runtime=Runtime.PODMAN),)

    def test_podman_is_asked_for_paused_containers_too(self, tmp_path: Path) -> None:
        """Without a filter Docker lists them, and podman (4.3 to 5) does not."""
        requests: list[bytes] = []

        def behave(connection: socket.socket) -> None:
            requests.append(read_request(connection))
            connection.sendall(rows())

        with serve(tmp_path, behave) as url:
            ask(url, "podman")
        (request,) = requests
        path = request.split(b" ")[1].decode()
        assert unquote(path) == '/v4.0.0/libpod/containers/json?filters={"status":["running","paused"]}'

    def test_podman_behind_docker_s_socket_says_who_it_is(self, tmp_path: Path) -> None:
        """podman-docker makes /var/run/docker.sock a link to podman's socket."""
        body = json.dumps([{"Id": ID, "Names": ["/web"]}]).encode()
        with serve(tmp_path, saying(answer(body, headers="Server: Libpod/4.3.1 (linux)\r\n"))) as url:
            (container,) = ask(url)
        assert (container.runtime, container.source) == (Runtime.PODMAN, "docker")

    @pytest.mark.parametrize(
        ("headers", "version"),
        [
            ("Server: Docker/20.10.24 (linux)\r\n", "Docker/20.10.24 (linux)"),
            ("", None),
            (f"Server: {'x' * 500}\r\n", "x" * 159 + "…"),
        ],
    )
    def test_the_version_is_what_the_engine_calls_itself(
        self, tmp_path: Path, headers: str, version: str | None
    ) -> None:
        with serve(tmp_path, saying(answer(b"[]", headers=headers))) as url:
            source = DockerSource(url, TIMEOUT_SECONDS)
            assert source.version is None
            source.list_containers()
        assert source.version == version

    def test_a_chunked_answer(self, tmp_path: Path) -> None:
        body = json.dumps([{"Id": ID, "Names": ["/web"]}]).encode()
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        with serve(tmp_path, saying(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)) as url:
            assert ask(url) == (record(),)

    def test_an_answer_that_ends_with_the_connection(self, tmp_path: Path) -> None:
        with serve(tmp_path, saying(HEAD + b"\r\n" + json.dumps([{"Id": ID, "Names": ["/web"]}]).encode())) as url:
            assert ask(url) == (record(),)

    def test_a_container_without_a_name_yet_is_pending(self, tmp_path: Path) -> None:
        assert list_of(tmp_path, {"Id": ID, "Names": None}) == (record(name=None),)

    def test_an_id_that_is_listed_twice_is_one_container(self, tmp_path: Path) -> None:
        first, second = {"Id": ID, "Names": ["/web"]}, {"Id": ID, "Names": ["/other"]}
        assert list_of(tmp_path, first, second) == (record(),)

    @pytest.mark.parametrize("id_", [None, 7, "", "-1", "a" * 63, "A" * 64, "g" * 64, [ID], "../" * 22])
    def test_a_record_without_a_usable_id_is_left_out(self, tmp_path: Path, id_: object) -> None:
        assert list_of(tmp_path, {"Id": id_, "Names": ["/x"]}, {"Id": ID, "Names": ["/web"]}) == (record(),)

    @pytest.mark.parametrize("names", [7, "web", {}, [None], [{}], [""], ["/"], ["/a/b"]])
    def test_a_name_of_another_type_is_none(self, tmp_path: Path, names: object) -> None:
        assert list_of(tmp_path, {"Id": ID, "Names": names}) == (record(name=None),)

    def test_an_image_and_labels_of_another_type_are_left_out(self, tmp_path: Path) -> None:
        row = {"Id": ID, "Names": ["/web"], "Image": ["x"], "Labels": {"a": "b", "c": 1, "d": None}, "Pid": -1}
        (container,) = list_of(tmp_path, row)
        assert (container.image, container.labels) == (None, {"a": "b"})

    def test_hostile_characters_are_kept_as_they_are(self, tmp_path: Path) -> None:
        """Escaping is the writers' business; NUL, ESC, bidi and half a surrogate pair come through JSON."""
        hostile = "\x00\x1b[31m\u202e\ud800"
        (container,) = list_of(tmp_path, {"Id": ID, "Names": [hostile], "Labels": {hostile: hostile}})
        assert (container.name, container.labels) == (hostile, {hostile: hostile})

    def test_bytes_that_are_not_utf8_do_not_cost_the_list(self, tmp_path: Path) -> None:
        with serve(tmp_path, saying(answer(b'[{"Id": "%s", "Names": ["/w\xffb"]}]' % ID.encode()))) as url:
            assert ask(url) == (record(name="w\udcffb"),)


class TestPods:
    """What the labels of cri-dockerd tell; those of a sandbox are the pod's own, of a container the image's."""

    KUBELET = {  # noqa: RUF012
        "io.kubernetes.pod.name": "etcd-node1",
        "io.kubernetes.pod.namespace": "kube-system",
        "io.kubernetes.pod.uid": "0f1e2d3c-1111-2222-3333-444455556666",
    }

    def test_a_container_of_a_pod(self, tmp_path: Path) -> None:
        labels = {**self.KUBELET, CONTAINER_NAME: "etcd", "maintainer": "someone"}
        (container,) = list_of(tmp_path, {"Id": ID, "Names": ["/k8s_etcd_etcd-node1_0"], "Labels": labels})
        pod = Pod(PodUid("0f1e2d3c-1111-2222-3333-444455556666"), "etcd-node1", "kube-system")
        assert (container.name, container.container_name) == ("k8s_etcd_etcd-node1_0", "etcd")
        assert (container.pod, container.sandbox, container.labels) == (pod, False, labels)

    def test_the_pause_container_is_called_like_its_pod(self, tmp_path: Path) -> None:
        own = {"app": "etcd"}
        labels = {
            **self.KUBELET,
            **own,
            CONTAINER_NAME: "POD",
            "io.kubernetes.docker.type": "podsandbox",
            "annotation.kubernetes.io/config.hash": "9a8b7c6d",
            "annotation.kubernetes.io/config.source": "file",
        }
        (container,) = list_of(tmp_path, {"Id": ID, "Names": ["/k8s_POD_etcd-node1_0"], "Labels": labels})
        pod = Pod(PodUid(self.KUBELET["io.kubernetes.pod.uid"]), "etcd-node1", "kube-system", own, PodUid("9a8b7c6d"))
        assert (container.name, container.name_state) == ("etcd-node1", NameState.KNOWN)
        assert (container.pod, container.sandbox, container.container_name) == (pod, True, None)

    @pytest.mark.parametrize(
        ("docker_type", "told"),
        [
            ("podsandbox", {"annotation.kubernetes.io/config.source": "api", "kubernetes.io/config.source": "file"}),
            ("podsandbox", {"kubernetes.io/config.source": "file"}),
            ("container", {"annotation.kubernetes.io/config.source": "file"}),
        ],
    )
    def test_no_label_of_a_pod_or_an_image_makes_it_a_static_one(
        self, tmp_path: Path, docker_type: str, told: dict[str, str]
    ) -> None:
        """cri-dockerd writes labels as they are, and `annotation.` before the keys of annotations."""
        hashes = {f"{prefix}kubernetes.io/config.hash": "9a8b7c6d" for prefix in ("", "annotation.")}
        labels = {**self.KUBELET, "io.kubernetes.docker.type": docker_type, **hashes, **told}
        (container,) = list_of(tmp_path, {"Id": ID, "Names": ["/k8s_x"], "Labels": labels})
        assert container.pod
        assert container.pod.config_hash is None

    def test_a_sandbox_that_tells_no_pod_keeps_its_own_name(self, tmp_path: Path) -> None:
        labels = {"io.kubernetes.docker.type": "podsandbox"}
        (container,) = list_of(tmp_path, {"Id": ID, "Names": ["/k8s_POD_x"], "Labels": labels})
        assert (container.name, container.pod, container.sandbox) == ("k8s_POD_x", None, True)

    def test_podman_s_own_list_tells_its_pods_and_first_processes(self, tmp_path: Path) -> None:
        """Its labels are the image's too: they make no pod."""
        own = {"Labels": self.KUBELET, "Pod": OTHER_ID, "PodName": "shop", "StartedAt": 1795886572, "State": "running"}
        front = {"Id": ID, "Names": ["front"], "Pid": 109, "IsInfra": False, **own}
        infra = {"Id": "c" * 64, "Names": ["shop-infra"], "Pid": 104, "IsInfra": True, **own}
        lone = {"Id": "d" * 64, "Names": ["lone"], "Pid": 0, "Pod": "", "PodName": "", "StartedAt": -62135596800}
        with serve(tmp_path, saying(rows(front, infra, lone))) as url:
            containers = ask(url, "podman")
        pod = Pod(PodUid(OTHER_ID), "shop")
        assert [(one.name, one.pod, one.container_name, one.sandbox, one.init) for one in containers] == [
            ("front", pod, "front", False, Init(Pid(109), 1795886572)),
            ("shop-infra", pod, None, True, Init(Pid(104), 1795886572)),
            ("lone", None, None, False, None),
        ]

    @pytest.mark.parametrize("own", [{"Pod": "x", "PodName": "shop"}, {"Pod": OTHER_ID}, {"Pod": 7, "PodName": 7}])
    @pytest.mark.parametrize(
        "process",
        [
            {"Pid": "1", "StartedAt": 1},
            {"Pid": 1 << 30, "StartedAt": 1},
            {"Pid": 7},
            {"Pid": True, "StartedAt": 1},
            {"Pid": 7, "StartedAt": True},
        ],
    )
    def test_a_pod_and_a_process_of_another_form_are_none(
        self, tmp_path: Path, own: dict[str, object], process: dict[str, object]
    ) -> None:
        with serve(tmp_path, saying(rows({"Id": ID, "Names": ["web"], **own, **process}))) as url:
            assert ask(url, "podman") == (record(runtime=Runtime.PODMAN),)


class TestTwoLists:
    """Podman has a list of its own beside Docker's."""

    LISTS: Final = {"/containers/json": [{"Id": ID, "Names": ["/web"]}], OWN_PATH: [{"Id": ID, "Names": ["own"]}]}

    def answer_each(self, server: str, *known: str) -> Behaviour:
        """An engine that keeps its connection, and knows these lists."""

        def behave(connection: socket.socket) -> None:
            while request := read_request(connection):
                path = request.split(b" ")[1].decode().partition("?")[0]
                body, status = json.dumps(self.LISTS[path]).encode(), "200 OK" if path in known else "404 Not Found"
                connection.sendall(answer(body, status, f"Server: {server}\r\n"))

        return behave

    @pytest.mark.parametrize(
        ("name", "server", "known", "told"),
        [
            ("docker", "Docker/20", ["/containers/json"], "web"),
            ("docker", "Libpod/4.3.1", ["/containers/json", OWN_PATH], "own"),
            ("docker", "Libpod/1", ["/containers/json"], "web"),
            ("podman", "Libpod/4.3.1", ["/containers/json", OWN_PATH], "own"),
            ("podman", "Docker/20", ["/containers/json"], "web"),
        ],
    )
    def test_the_one_that_tells_most_is_taken(
        self, tmp_path: Path, name: str, server: str, known: list[str], told: str
    ) -> None:
        """podman-docker makes /var/run/docker.sock a link to podman's socket."""
        with serve(tmp_path, self.answer_each(server, *known)) as url:
            assert [one.name for one in ask(url, name)] == [told]

    RUNNING: Final = {"Id": ID, "Names": ["web"], "State": "running"}
    STOPPING: Final = {"Id": OTHER_ID, "Names": ["db"], "State": "stopping"}
    ENDED: Final = {"Id": "c" * 64, "Names": ["batch"], "State": "exited"}

    def answer_podman(self, *, seconds: float = 0, seconds_for_all: float = 0, requests: list[str]) -> Behaviour:
        """A podman that takes its time."""

        def behave(connection: socket.socket) -> None:
            while request := read_request(connection):
                requests.append(unquote(request.split(b" ")[1].decode().partition("?")[2]))
                for_all = requests[-1] == "all=true"
                time.sleep(seconds_for_all if for_all else seconds)
                listed = [self.ENDED, self.STOPPING, self.RUNNING] if for_all else [self.RUNNING]
                connection.sendall(answer(json.dumps(listed).encode(), headers="Server: Libpod/4.3.1\r\n"))

        return behave

    def test_what_podman_is_stopping_is_in_no_list_but_that_of_all(self, tmp_path: Path) -> None:
        requests: list[str] = []
        with serve(tmp_path, self.answer_podman(requests=requests)) as url:
            containers = ask(url, "podman")
        assert requests == ['filters={"status":["running","paused"]}', "all=true"]
        assert containers == (record(runtime=Runtime.PODMAN), record(OTHER_ID, "db", Runtime.PODMAN))

    def test_podman_that_takes_long_is_not_asked_for_all(self, tmp_path: Path) -> None:
        """It looks at each container that has ended, and there may be thousands."""
        requests: list[str] = []
        with serve(tmp_path, self.answer_podman(seconds=0.2, requests=requests)) as url:
            containers = DockerSource(url, 1.0, "podman").list_containers()
        assert (len(requests), [one.name for one in containers]) == (1, ["web"])

    def test_a_list_of_all_that_does_not_come_costs_no_name_of_the_others(self, tmp_path: Path) -> None:
        requests: list[str] = []
        with serve(tmp_path, self.answer_podman(seconds_for_all=2.0, requests=requests)) as url:
            containers = DockerSource(url, 1.0, "podman").list_containers()
        assert (len(requests), [one.name for one in containers]) == (2, ["web"])

    def test_what_refuses_both_is_told(self, tmp_path: Path) -> None:
        with serve(tmp_path, self.answer_each("nginx")) as url, pytest.raises(RuntimeUnavailable, match=r"^HTTP 404: "):
            ask(url, "podman")


class TestLarge:
    """A record that is too large costs itself alone."""

    @pytest.mark.parametrize(
        ("large", "id_"),
        [
            ({"Id": OTHER_ID, "Labels": {"x": "A" * 3_000_000}}, OTHER_ID),
            ({"Labels": {'"Id": "' + "f" * 64: "A" * 3_000_000}, "Id": OTHER_ID}, None),
        ],
        ids=["its id is readable", "it is not"],
    )
    def test_the_others_have_their_names(self, tmp_path: Path, large: dict[str, object], id_: str | None) -> None:
        with serve(tmp_path, saying(rows({"Id": ID, "Names": ["/web"]}, large))) as url:
            source = DockerSource(url, 60)
            runtimes = Runtimes([source], 60, clock=time.monotonic)
            runtimes.start()
            answers = runtimes.collect()
        assert [one.name for one in answers.containers] == ["web"]
        detail = id_ and id_[:12]
        assert answers.gaps == (
            Gap(Stage.NAMES, Subject(Kind.RECORDS, source.subject), Reason.TOO_LARGE, detail=detail),
        )

    def test_many_large_ones_do_not_take_the_place_of_small_ones(self, tmp_path: Path) -> None:
        large = [{"Id": f"{number:064x}", "Labels": {"x": "A" * 1_000_000}} for number in range(70)]
        with serve(tmp_path, saying(rows(*large, {"Id": ID, "Names": ["/web"]}))) as url:
            source = DockerSource(url, 60)
            containers = source.list_containers()
        assert containers[-1] == record()
        assert 0 < len(source.left_out) < 70


@pytest.mark.parametrize("behave", MISBEHAVIOURS.values(), ids=MISBEHAVIOURS.keys())
def test_a_misbehaving_engine_costs_names_and_no_time(tmp_path: Path, behave: Behaviour) -> None:
    """A gap in one line, within the deadline, and neither the thread nor its socket stays behind."""
    before = set(os.listdir("/proc/self/fd"))
    with serve(tmp_path, behave) as url:
        source = DockerSource(url, TIMEOUT_SECONDS)
        runtimes = Runtimes([source], DEADLINE_SECONDS, clock=time.monotonic)
        began = time.monotonic()
        runtimes.start()
        containers, gaps, asked, _ = runtimes.collect()
        assert time.monotonic() - began < DEADLINE_SECONDS + SLACK_SECONDS
        runtimes.close()
        (gap,) = gaps
        assert (containers, gap.subject.id, asked) == ((), source.subject, (source.subject,))
        assert gap.detail
        assert "\n" not in gap.detail
        assert len(gap.detail) < 300
        wait_until(lambda: not any(thread.name.startswith("ask ") for thread in threading.enumerate()))
    wait_until(lambda: set(os.listdir("/proc/self/fd")) <= before)


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        ("silence", "no answer within 0.5 s"),
        ("HTTP 500", 'HTTP 500: {"message": "the daemon is\\nbroken"}'),
        ("HTTP 403 of a proxy", "HTTP 403: <html>Forbidden"),
        ("null", "no valid answer: expected a JSON array, got 'null'"),
        ("truncated JSON", None),
    ],
)
def test_the_reason_says_what_is_wrong(tmp_path: Path, behave: str, reason: str | None) -> None:
    with serve(tmp_path, MISBEHAVIOURS[behave]) as url, pytest.raises(RuntimeUnavailable) as raised:
        DockerSource(url, TIMEOUT_SECONDS).list_containers()
    assert reason is None or str(raised.value) == reason


@pytest.mark.parametrize("says", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\x12\4\0\0\0\0\0", b"HTTP/2"])
def test_who_speaks_another_protocol_is_no_engine(tmp_path: Path, says: bytes) -> None:
    """The second is how a gRPC server greets."""
    with serve(tmp_path, saying(says)) as url, pytest.raises(RuntimeUnavailable, match="it speaks no HTTP: ") as raised:
        ask(url)
    assert raised.value.reason is Reason.NOT_SERVED


def test_who_hangs_up_may_be_an_engine(tmp_path: Path) -> None:
    with serve(tmp_path, saying(b"HTTP/1.")) as url, pytest.raises(RuntimeUnavailable) as raised:
        ask(url)
    assert raised.value.reason is not Reason.NOT_SERVED


def test_a_new_socket_file_is_another_engine(tmp_path: Path) -> None:
    source = DockerSource(f"unix://{tmp_path}/engine.sock", TIMEOUT_SECONDS, named=False)
    assert source.identify() is None
    with serve(tmp_path, silence):
        first = source.identify()
        assert first == source.identify() is not None
    with serve(tmp_path, silence):
        assert source.identify() not in (None, first)
    assert (source.named, DockerSource("tcp://127.0.0.1:1", TIMEOUT_SECONDS).identify()) == (False, None)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("unix:///nonexistent/engine.sock", "No such file or directory (ENOENT)"),
        ("unix:///" + "x" * 200, "AF_UNIX path too long"),
        ("tcp://127.0.0.1:1", "Connection refused (ECONNREFUSED)"),
        ("ssh://host", "only unix:///PATH and tcp://HOST:PORT can be asked"),
    ],
)
def test_an_engine_that_is_absent_is_told_and_takes_no_import(url: str, reason: str) -> None:
    program = """
import sys
from nsagent.errors import RuntimeUnavailable
from nsagent.runtimes.docker import DockerSource
try:
    DockerSource(sys.argv[1], 1.0).list_containers()
except RuntimeUnavailable as err:
    print(err)
heavy = ("docker", "requests", "json", "http.client")
print(sorted(name for name in sys.modules if name.startswith("nsagent.runtimes.") or name in heavy))
"""
    done = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, timeout=30, check=True)
    loaded = [f"nsagent.runtimes.{name}" for name in ("connect", "docker", "socket_source", "source")]
    assert done.stdout == f"{reason}\n{loaded}\n"


def test_an_engine_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def behave() -> None:
            connection, _ = listener.accept()
            with connection:
                saying(rows({"Id": ID, "Names": ["/web"]}))(connection)

        thread = threading.Thread(target=behave)
        thread.start()
        assert ask(f"tcp://127.0.0.1:{listener.getsockname()[1]}") == (record(),)
        thread.join()


def test_a_proxy_in_the_environment_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with serve(tmp_path, saying(rows({"Id": ID, "Names": ["/web"]}))) as url:
        assert ask(url) == (record(),)


def test_ten_thousand_containers(tmp_path: Path) -> None:
    many = [{"Id": f"{number:064x}", "Names": [f"/c{number}"], "Labels": {"n": "1"}} for number in range(10_000)]
    with serve(tmp_path, saying(rows(*many))) as url:
        containers = DockerSource(url, 10.0).list_containers()
    assert len(containers) == 10_000
    assert containers[-1].name == "c9999"


def test_those_that_do_not_run_are_listed_with_their_state_if_asked_for(tmp_path: Path) -> None:
    requests: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(rows({"Id": ID, "Names": ["/web"], "State": "exited"}))

    with serve(tmp_path, behave) as url:
        (container,) = DockerSource(url, ANSWER_SECONDS, ended=True).list_containers()
    assert (container.name, container.state) == ("web", "exited")
    assert requests[0].startswith(b"GET /containers/json?all=true ")
