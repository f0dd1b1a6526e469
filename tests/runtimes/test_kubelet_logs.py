"""The kubelet's log links: names by one listing, and never a wrong one."""

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import RuntimeUnavailable
from nsagent.model.container import Container, NameState, Pod
from nsagent.model.ids import ContainerId, PodUid
from nsagent.runtimes.kubelet_logs import LogLink, LogLinkSource, parse_link_name, parse_pod_directory
from tests.runtimes.bundle_files import as_nobody

FIXTURE = Path(__file__).parents[2] / "fixtures" / "kubelet_logs" / "containers"
ID = "0123456789abcdef" * 4
UID = "8f4f2d1c-6a3b-4c1e-9d57-0f6f0c8a1b2d"
NAME_MAX = 255
MANY = 3000

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
SUBDOMAINS = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", fullmatch=True)
IDS = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)


def link_name(pod: str, kube_namespace: str, container: str, id_: str) -> str:
    """What a kubelet calls a link."""
    return f"{pod}_{kube_namespace}_{container}-{id_}"[: NAME_MAX - len(".log")] + ".log"


def target(pod: str = "web-0", kube_namespace: str = "shop", container: str = "app", uid: str = UID) -> str:
    """What a kubelet lets it lead to."""
    return f"/var/log/pods/{kube_namespace}_{pod}_{uid}/{container}/0.log"


def record(uid: str | None = UID, id_: str = ID) -> Container:
    """The container `app` of the pod `web-0` in `shop`."""
    return Container(
        id=ContainerId(id_),
        name="app",
        name_state=NameState.KNOWN,
        runtime=None,
        image=None,
        verified=False,
        source="logs",
        pod=Pod(None if uid is None else PodUid(uid), "web-0", "shop"),
        container_name="app",
    )


def list_of(directory: Path) -> tuple[Container, ...]:
    return LogLinkSource(str(directory)).list_containers()


class TestNames:
    """What the name of a link tells."""

    @pytest.mark.parametrize(
        ("pod", "kube_namespace", "container"),
        [
            ("web-7d9c5b6f4-x2x7k", "shop", "app"),
            ("etcd-node1.example.org", "kube-system", "etcd"),
            ("0", "1", "2"),
            ("a", "b", "c-" + "f" * 40),
            ("p" * 120, "n" * 31, "c" * 31),
        ],
    )
    def test_pod_kube_namespace_and_container(self, pod: str, kube_namespace: str, container: str) -> None:
        name = link_name(pod, kube_namespace, container, ID)
        assert parse_link_name(name) == LogLink(pod, kube_namespace, container, ContainerId(ID))

    @pytest.mark.parametrize(
        "name",
        [
            "",
            ".log",
            f"{ID}.log",
            f"app-{ID}.log",
            f"shop_app-{ID}.log",
            f"web_shop_app-{ID}",
            f"web_shop_app-{ID}.log.gz",
            f"web_shop_app-{ID}.log\n",
            f"web_shop_app-{ID[1:]}.log",
            f"web_shop_app-{ID}0.log",
            f"web_shop_app-{ID.upper()}.log",
            f"web_shop_app{ID}.log",
            f"web__shop_app-{ID}.log",
            f"_shop_app-{ID}.log",
            f"web__app-{ID}.log",
            f"web_shop_-{ID}.log",
            f"web_shop_app_-{ID}.log",
            f"Web_shop_app-{ID}.log",
            f"web_shop_POD-{ID}.log",
            f"-web_shop_app-{ID}.log",
            f"web-_shop_app-{ID}.log",
            f"web_sh.op_app-{ID}.log",
            f"web_shop_a.pp-{ID}.log",
            f"w\u00e9b_shop_app-{ID}.log",
            f"w\udce9b_shop_app-{ID}.log",
            f"web\x00_shop_app-{ID}.log",
            f"web_{'n' * 64}_app-{ID}.log",
            f"web_shop_{'c' * 64}-{ID}.log",
        ],
    )
    def test_anything_else_is_no_name(self, name: str) -> None:
        assert parse_link_name(name) is None

    @given(SUBDOMAINS, LABELS, LABELS, IDS)
    def test_a_name_that_was_cut_is_never_taken_for_a_whole_one(
        self, pod: str, kube_namespace: str, container: str, id_: str
    ) -> None:
        name = link_name(pod, kube_namespace, container, id_)
        whole = f"{pod}_{kube_namespace}_{container}-{id_}.log" == name
        assert parse_link_name(name) == (LogLink(pod, kube_namespace, container, ContainerId(id_)) if whole else None)

    @given(st.text(max_size=300))
    def test_any_text_is_a_name_or_none(self, name: str) -> None:
        link = parse_link_name(name)
        assert link is None or link_name(*link) == name

    @pytest.mark.parametrize("uid", [UID, "6b1e0c9f8d7a65b4c3d2e1f00f1e2d3c", "chosen.by-hand"])
    def test_the_directory_of_a_pod_has_its_uid(self, uid: str) -> None:
        assert parse_pod_directory(f"shop_web-0.x_{uid}") == Pod(PodUid(uid), "web-0.x", "shop")

    @pytest.mark.parametrize(
        "name", ["", UID, f"web-0_{UID}", f"a_shop_web-0_{UID}", "shop_web-0_", "shop_web-0_-", "__"]
    )
    def test_a_directory_of_another_form_is_no_pod_s(self, name: str) -> None:
        assert parse_pod_directory(name) is None


class TestLinks:
    """A directory of links."""

    def test_the_links_of_a_node(self) -> None:
        containers = list_of(FIXTURE)
        assert [(container.name, container.pod, container.id[:4]) for container in containers] == [
            ("etcd", Pod(PodUid("6b1e0c9f8d7a65b4c3d2e1f00f1e2d3c"), "etcd-node1.example.org", "kube-system"), "c38c"),
            ("app", Pod(PodUid(UID), "web-7d9c5b6f4-x2x7k", "shop"), "0082"),
            ("app", Pod(PodUid(UID), "web-7d9c5b6f4-x2x7k", "shop"), "a172"),
            ("side-car", Pod(PodUid(UID), "web-7d9c5b6f4-x2x7k", "shop"), "6c8b"),
        ]

    def test_a_link_that_dangles_tells_all_there_is(self, tmp_path: Path) -> None:
        (tmp_path / link_name("web-0", "shop", "app", ID)).symlink_to(target())
        assert list_of(tmp_path) == (record(),)

    def test_only_the_first_of_two_links_is_looked_at(self, tmp_path: Path) -> None:
        """With cri-dockerd the file below /var/log/pods leads on to Docker's."""
        log = tmp_path / "pods" / f"shop_web-0_{UID}" / "app" / "0.log"
        log.parent.mkdir(parents=True)
        log.symlink_to(f"/var/lib/docker/containers/{ID}/{ID}-json.log")
        links = tmp_path / "containers"
        links.mkdir()
        (links / link_name("web-0", "shop", "app", ID)).symlink_to(log)
        assert list_of(links) == (record(),)

    @pytest.mark.parametrize(
        "elsewhere",
        [
            target(pod="web-1"),
            target(kube_namespace="test"),
            target(container="db"),
            target(uid=""),
            f"/var/log/pods/{UID}/app/0.log",
            f"/var/log/pods/{UID}/app_0.log",
            f"/var/lib/docker/containers/{ID}/{ID}-json.log",
            "0.log",
            "/",
            f"/var/log/pods/shop_web-0_{UID}\udcff/app/0.log",
        ],
    )
    def test_a_target_that_no_kubelet_made_for_the_name_tells_no_uid(self, tmp_path: Path, elsewhere: str) -> None:
        (tmp_path / link_name("web-0", "shop", "app", ID)).symlink_to(elsewhere)
        assert list_of(tmp_path) == (record(uid=None),)

    def test_a_log_that_is_no_link_has_a_name(self, tmp_path: Path) -> None:
        (tmp_path / link_name("web-0", "shop", "app", ID)).touch()
        assert list_of(tmp_path) == (record(uid=None),)

    def test_each_id_is_listed_once(self, tmp_path: Path) -> None:
        (tmp_path / link_name("web-0", "shop", "app", ID)).symlink_to(target())
        (tmp_path / link_name("web-1", "shop", "app", ID)).symlink_to(target(pod="web-1"))
        assert list_of(tmp_path) == (record(),)

    def test_names_that_are_not_utf8_are_left_out(self, tmp_path: Path) -> None:
        os.symlink(target().encode(), os.fsencode(tmp_path) + b"/w\xffb_shop_app-%s.log" % ID.encode())
        (tmp_path / link_name("web-0", "shop", "app", ID)).symlink_to(target())
        assert list_of(tmp_path) == (record(),)

    def test_an_empty_directory_has_no_containers(self, tmp_path: Path) -> None:
        assert list_of(tmp_path) == ()

    def test_the_source_of_the_records_is_the_source_s_name(self, tmp_path: Path) -> None:
        (tmp_path / link_name("web-0", "shop", "app", ID)).symlink_to(target())
        source = LogLinkSource(str(tmp_path), "k3s logs", named=False)
        assert [container.source for container in source.list_containers()] == ["k3s logs"]
        assert (source.subject, source.named) == (f"k3s logs ({tmp_path})", False)


class TestFailures:
    """A directory that cannot be read."""

    def test_no_directory(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeUnavailable, match=r"^No such file or directory \(ENOENT\)$"):
            list_of(tmp_path / "absent")

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(RuntimeUnavailable, match=r"^Not a directory \(ENOTDIR\)$"):
            list_of(tmp_path / "file")

    def test_a_path_that_is_none(self) -> None:
        with pytest.raises(RuntimeUnavailable, match=r"^no path: .*embedded null"):
            LogLinkSource("a\0b").list_containers()

    def test_a_directory_that_may_not_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tmp_path.chmod(0o755)
        (tmp_path / "private").mkdir(mode=0)
        # By a path that nobody is kept from.
        monkeypatch.chdir(tmp_path)
        with as_nobody(), pytest.raises(RuntimeUnavailable, match=r"^Permission denied \(EACCES\)$"):
            list_of(Path("private"))

    def test_more_entries_than_a_node_can_have(self, tmp_path: Path) -> None:
        for number in range(3):
            (tmp_path / link_name("web-0", "shop", "app", f"{number:064x}")).symlink_to(target())
        assert len(LogLinkSource(str(tmp_path), entry_limit=3).list_containers()) == 3
        with pytest.raises(RuntimeUnavailable, match=r"^too many entries$"):
            LogLinkSource(str(tmp_path), entry_limit=2).list_containers()

    def test_a_call_that_nobody_waits_for_ends_and_the_next_one_does_not(self, tmp_path: Path) -> None:
        for number in range(MANY):
            (tmp_path / link_name("web-0", "shop", "app", f"{number:064x}")).symlink_to(target())
        source = LogLinkSource(str(tmp_path))
        failures: list[str] = []

        def ask() -> None:
            try:
                source.list_containers()
            except RuntimeUnavailable as err:
                failures.append(str(err))

        thread = threading.Thread(target=ask)
        thread.start()
        while thread.is_alive():
            source.abandon()
            time.sleep(0.001)
        assert failures == ["given up before the end"]
        assert len(source.list_containers()) == MANY

    def test_no_descriptor_is_left_open(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        list_of(FIXTURE)
        with pytest.raises(RuntimeUnavailable):
            LogLinkSource(str(FIXTURE), entry_limit=1).list_containers()
        assert len(os.listdir("/proc/self/fd")) == before
