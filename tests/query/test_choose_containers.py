"""What `--pod`, `-n` and `-l` mean, alone and together with `-c`."""

import pytest

from nsagent.errors import Ambiguous, NotFound
from nsagent.model.container import Container, NameState, Pod
from nsagent.model.ids import ContainerId, PodUid
from nsagent.model.unmet import Unmet, UnmetKind
from nsagent.query.containers import choose_containers, count_unjudged, is_called_by_id, list_unmet
from nsagent.query.filter import Filter
from nsagent.query.labels import parse_labels

SOURCES = ("cgroup paths", "cri (unix:///run/containerd/containerd.sock)")
WEB_UID, TEST_UID, ETCD_UID = (PodUid(f"{digit * 8}-0000-4000-8000-000000000000") for digit in "123")
HASH = PodUid("ab" * 16)

WEB_POD = Pod(WEB_UID, "web-7d9c", "shop", {"app": "web", "tier": "front"})
TEST_POD = Pod(TEST_UID, "web-7d9c", "test", {"app": "web"})
ETCD_POD = Pod(ETCD_UID, "etcd-node-1", "kube-system", config_hash=HASH)


def container(digits: str, name: str | None, pod: Pod | None = None, *, sandbox: bool = False) -> Container:
    state = NameState.KNOWN if name else NameState.UNKNOWN
    return Container(
        ContainerId(digits.ljust(64, "0")),
        name,
        state,
        None,
        None,
        True,
        "cri",
        labels={"own": "label"} if name == "app" else {},
        pod=pod,
        container_name=None if sandbox else name,
        sandbox=sandbox,
    )


APP = container("aa1", "app", WEB_POD)
SIDECAR = container("aa2", "sidecar", WEB_POD)
PAUSE = container("aa3", "web-7d9c", WEB_POD, sandbox=True)
TEST_APP = container("bb1", "app", TEST_POD)
ETCD = container("cc1", "etcd", ETCD_POD)
BARE = container("dd1", None, Pod(PodUid("4" * 32)))
DOCKER = container("ee1", "registry")
ALL = (APP, SIDECAR, PAUSE, TEST_APP, ETCD, BARE, DOCKER)


def ids(*containers: Container) -> set[ContainerId]:
    return {one.id for one in containers}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(pods=("shop/web-7d9c",)), ids(APP, SIDECAR, PAUSE)),
        (Filter(pods=("test/web-7d9c",)), ids(TEST_APP)),
        (Filter(pods=("etcd-node-1",)), ids(ETCD)),
        (Filter(pods=(WEB_UID,)), ids(APP, SIDECAR, PAUSE)),
        (Filter(pods=(HASH,)), ids(ETCD)),
        (Filter(pods=("4" * 32,)), ids(BARE)),
        (Filter(pods=("etcd-node-1", "test/web-7d9c")), ids(ETCD, TEST_APP)),
        (Filter(kube_namespaces=("shop",)), ids(APP, SIDECAR, PAUSE)),
        (Filter(kube_namespaces=("shop", "kube-system")), ids(APP, SIDECAR, PAUSE, ETCD)),
        (Filter(kube_namespaces=("nobody",)), set()),
        (Filter(labels=parse_labels(["app=web"])), ids(APP, SIDECAR, PAUSE, TEST_APP)),
        (Filter(labels=parse_labels(["app=web,tier=front"])), ids(APP, SIDECAR, PAUSE)),
        (Filter(labels=parse_labels(["tier=front", "own=label"])), ids(APP, SIDECAR, PAUSE, TEST_APP)),
        (Filter(labels=parse_labels(["app=nobody"])), set()),
        (Filter(kube_namespaces=("test",), pods=("web-7d9c",)), ids(TEST_APP)),
        (Filter(kube_namespaces=("shop",), containers=("app",)), ids(APP)),
        (Filter(pods=("shop/web-7d9c",), containers=("app",)), ids(APP)),
        (Filter(labels=parse_labels(["!tier"]), containers=("app",)), ids(TEST_APP)),
        (Filter(containers=("registry", "etcd")), ids(DOCKER, ETCD)),
    ],
)
def test_each_way_of_choosing(wanted: Filter, expected: set[ContainerId]) -> None:
    assert wanted.chooses_containers
    assert choose_containers(wanted, ALL, SOURCES) == expected


def test_a_filter_without_containers_chooses_none_in_particular() -> None:
    assert not Filter(ports=frozenset((80,))).chooses_containers


def test_a_pod_of_two_namespaces_is_ambiguous() -> None:
    with pytest.raises(Ambiguous) as raised:
        choose_containers(Filter(pods=("web-7d9c",)), ALL, SOURCES)
    assert str(raised.value) == (f"pod 'web-7d9c' is ambiguous: shop/web-7d9c ({WEB_UID}), test/web-7d9c ({TEST_UID})")


def test_an_unknown_pod_is_told_with_near_names_and_what_was_asked() -> None:
    with pytest.raises(NotFound) as raised:
        choose_containers(Filter(pods=("shop/web-7d9",)), ALL, SOURCES)
    assert str(raised.value).startswith("no pod 'shop/web-7d9'; near names: shop/web-7d9c")
    assert "cri (unix:///run/containerd/containerd.sock)" in str(raised.value)


def test_a_container_that_only_another_namespace_has_is_not_found() -> None:
    with pytest.raises(NotFound):
        choose_containers(Filter(kube_namespaces=("shop",), containers=("etcd",)), ALL, SOURCES)


def test_the_pause_container_is_found_by_its_id_and_not_by_the_name_of_its_pod() -> None:
    assert choose_containers(Filter(containers=("aa3000",)), ALL, SOURCES) == ids(PAUSE)
    with pytest.raises(NotFound):
        choose_containers(Filter(containers=("web-7d9c",)), ALL, SOURCES)


def told_by(source: str, one: Container, **changes: object) -> Container:
    return one._replace(source=source, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["bundles", "logs", "cgroup"])
@pytest.mark.parametrize("selector", ["app=web", "app!=web", "!app", "app", "own!=label"])
def test_a_container_of_which_nobody_tells_labels_matches_no_selector(source: str, selector: str) -> None:
    unknown = told_by(source, DOCKER, labels=None)
    wanted = Filter(labels=parse_labels([selector]))
    assert choose_containers(wanted, (unknown,), SOURCES) == set()
    assert count_unjudged(wanted, (unknown,)) == (1, 0)


@pytest.mark.parametrize("source", ["docker", "podman", "cri"])
def test_a_container_of_which_an_engine_tells_no_labels_has_none(source: str) -> None:
    plain = told_by(source, DOCKER)
    wanted = Filter(labels=parse_labels(["app!=web,!app"]))
    assert choose_containers(wanted, (plain,), SOURCES) == ids(plain)
    assert count_unjudged(wanted, (plain,)) == (0, 0)


@pytest.mark.parametrize(("selector", "matches"), [("app=web", True), ("app!=web", False), ("!app", False)])
def test_a_container_of_bundles_has_the_labels_that_its_pod_is_told_to_have(selector: str, matches: bool) -> None:
    inside = told_by("bundles", SIDECAR, labels=None)
    wanted = Filter(labels=parse_labels([selector]))
    assert choose_containers(wanted, (inside,), SOURCES) == (ids(inside) if matches else set())
    assert count_unjudged(wanted, (inside,)) == (0, 0)


def test_labels_that_an_engine_told_beside_a_bundle_are_known() -> None:
    """Of two records the one with a name counts, and has the labels of the other."""
    both = told_by("bundles", DOCKER, labels={"app": "web"})
    assert choose_containers(Filter(labels=parse_labels(["app=web"])), (both,), SOURCES) == ids(both)
    assert count_unjudged(Filter(labels=parse_labels(["app!=web"])), (both,)) == (0, 0)


UNLABELLED_IN_SHOP = told_by("logs", container("ff1", "app"), labels=None, pod=Pod(WEB_UID, "web-7d9c", "shop"))
UNLABELLED_BARE = told_by("cgroup", BARE, labels=None)
LABELLED_BARE = APP._replace(pod=Pod(WEB_UID, labels={"app": "web"}))


@pytest.mark.parametrize(
    ("wanted", "containers", "expected"),
    [
        (Filter(), (UNLABELLED_BARE, LABELLED_BARE), (0, 0)),
        (Filter(kube_namespaces=("shop",)), (UNLABELLED_BARE, LABELLED_BARE, *ALL), (0, 3)),
        (Filter(kube_namespaces=("shop",)), (UNLABELLED_IN_SHOP, DOCKER), (0, 0)),
        (Filter(labels=parse_labels(["!x"])), (UNLABELLED_BARE, UNLABELLED_IN_SHOP, *ALL), (2, 0)),
        (Filter(kube_namespaces=("shop",), labels=parse_labels(["!x"])), (UNLABELLED_IN_SHOP,), (1, 0)),
        (Filter(kube_namespaces=("test",), labels=parse_labels(["!x"])), (UNLABELLED_IN_SHOP,), (0, 0)),
        (Filter(kube_namespaces=("shop",), labels=parse_labels(["app=web"])), (LABELLED_BARE,), (0, 1)),
        (Filter(kube_namespaces=("shop",), labels=parse_labels(["app=db"])), (LABELLED_BARE,), (0, 0)),
        (Filter(kube_namespaces=("shop",), labels=parse_labels(["!x"])), (UNLABELLED_BARE,), (1, 1)),
    ],
)
def test_those_are_counted_that_may_be_meant_for_all_that_is_known(
    wanted: Filter, containers: tuple[Container, ...], expected: tuple[int, int]
) -> None:
    assert count_unjudged(wanted, containers) == expected


NAMED_LIKE_UID = container("ee2", "x", Pod(PodUid("5" * 32), WEB_UID, "evil"))
HASHED_LIKE_UID = container("ee3", "x", Pod(PodUid("6" * 32), "x", "evil", config_hash=WEB_UID))
NAMED_LIKE_HASH = container("ee4", "x", Pod(PodUid("7" * 32), HASH, "evil"))
NAMED_LIKE_ALL = container("ee5", "x", Pod(PodUid("8" * 32), "shop/web-7d9c", "evil"))


@pytest.mark.parametrize(
    ("name", "pretenders", "meant"),
    [
        (WEB_UID, (NAMED_LIKE_UID, HASHED_LIKE_UID), ids(APP, SIDECAR, PAUSE)),
        (HASH, (NAMED_LIKE_HASH,), ids(ETCD)),
        ("shop/web-7d9c", (NAMED_LIKE_ALL,), ids(APP, SIDECAR, PAUSE)),
    ],
)
def test_the_earlier_way_of_naming_a_pod_wins(
    name: str, pretenders: tuple[Container, ...], meant: set[ContainerId]
) -> None:
    """A pod that has another one's uid, hash or whole name for its own name takes nothing away from it."""
    assert choose_containers(Filter(pods=(name,)), (*pretenders, *ALL), SOURCES) == meant


@pytest.mark.parametrize(
    ("name", "called"),
    [(PAUSE.id, True), ("aa30", True), ("aa3", False), ("web-7d9c", False), ("aa1000", False), ("", False)],
)
def test_a_container_is_called_by_its_id_or_the_beginning_of_it(name: str, called: bool) -> None:
    assert is_called_by_id(PAUSE, ("registry", name)) is called


@pytest.mark.parametrize(
    ("namespaces", "labels", "unmet"),
    [
        (("shop", "kube-system"), ["app=web", "tier=front,app"], ()),
        (("shop", "prod"), [], (Unmet(UnmetKind.KUBE_NAMESPACE, "prod"),)),
        ((), ["tnp", "app=web"], (Unmet(UnmetKind.LABEL, "tnp"),)),
        ((), ["app=web,!tier,!own", "!own"], (Unmet(UnmetKind.LABEL, "app=web,!tier,!own"),)),
    ],
)
def test_what_no_container_has_is_listed_one_by_one(
    namespaces: tuple[str, ...], labels: list[str], unmet: tuple[Unmet, ...]
) -> None:
    """Whether any container meets them together is another question, which the answer itself tells."""
    assert list_unmet(Filter(kube_namespaces=namespaces, labels=parse_labels(labels)), ALL) == unmet


def test_where_no_pod_is_no_namespace_is_known() -> None:
    assert list_unmet(Filter(kube_namespaces=("shop",)), ()) == (Unmet(UnmetKind.KUBE_NAMESPACE, "shop"),)
