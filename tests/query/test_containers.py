"""What `-c NAME` means."""

import pytest

from nsagent.errors import Ambiguous, NotFound, Reason
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.gap import Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.ids import ContainerId, PodUid
from nsagent.query.containers import match_containers, tell_sources
from tests.gaps import failed, unnamed

SOURCES = ("cgroup", "docker (unix:///var/run/docker.sock)")


def container(
    id_: str, name: str | None = None, *, service: str | None = None, pod: str | None = None, inner: str | None = None
) -> Container:
    """`pod` is KUBE_NAMESPACE/NAME, `inner` the name in it."""
    kube_namespace, _, pod_name = (pod or "").partition("/")
    return Container(
        id=ContainerId(id_ + "0" * (64 - len(id_))),
        name=name,
        name_state=NameState.KNOWN if name else NameState.UNKNOWN,
        runtime=Runtime.DOCKER,
        image=None,
        verified=name is not None,
        source="docker" if name else "cgroup",
        labels={"com.docker.compose.service": service} if service else {},
        pod=Pod(PodUid("u"), pod_name, kube_namespace) if pod else None,
        container_name=inner,
    )


WEB = container("aaaa1", "web")
WEB_1 = container("aaaa2", "shop-web-1", service="web")
API_1 = container("bbbb1", "shop-api-1", service="api")
API_2 = container("bbbb2", "shop-api-2", service="api")
APP = container("cccc1", "k8s_app_web-7d9c_shop_0", pod="shop/web-7d9c", inner="app")
TEST_APP = container("cccc2", "k8s_app_web-7d9c_test_0", pod="test/web-7d9c", inner="app")
UNKNOWN = container("dddd1")
ALL = (WEB, WEB_1, API_1, API_2, APP, TEST_APP, UNKNOWN)


@pytest.mark.parametrize(
    ("name", "matched"),
    [
        (UNKNOWN.id, (UNKNOWN,)),
        ("web", (WEB,)),
        ("shop-web-1", (WEB_1,)),
        ("api", (API_1, API_2)),
        ("shop/web-7d9c/app", (APP,)),
        ("test/web-7d9c/app", (TEST_APP,)),
        ("dddd", (UNKNOWN,)),
        ("aaaa2", (WEB_1,)),
    ],
)
def test_each_way_of_naming(name: str, matched: tuple[Container, ...]) -> None:
    assert match_containers(name, ALL, SOURCES) == matched


def test_a_pod_and_container_that_only_one_kube_namespace_has() -> None:
    assert match_containers("web-7d9c/app", (WEB, APP), SOURCES) == (APP,)


def test_podman_compose_has_a_label_of_its_own() -> None:
    labelled = Container(
        ContainerId("e" * 64), "x", NameState.KNOWN, None, None, True, "podman", {"io.podman.compose.service": "db"}
    )
    assert match_containers("db", (WEB, labelled), SOURCES) == (labelled,)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        (WEB.id, WEB),
        ("aaaa", container("eeee", "aaaa")),
        ("web", WEB),
    ],
)
def test_the_earlier_way_wins(name: str, first: Container) -> None:
    """A container named like an id, or like another's service, takes nothing away from the other."""
    pretender = container("ffff", WEB.id, service="web")
    assert match_containers(name, (pretender, *ALL, container("eeee", "aaaa")), SOURCES) == (first,)


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("bbbb", "shop-api-1 (bbbb10000000), shop-api-2 (bbbb20000000)"),
        ("web-7d9c/app", "shop/web-7d9c/app (cccc10000000), test/web-7d9c/app (cccc20000000)"),
    ],
)
def test_two_matches_are_ambiguous_and_the_candidates_are_listed(name: str, candidates: str) -> None:
    with pytest.raises(Ambiguous) as raised:
        match_containers(name, ALL, SOURCES)
    assert str(raised.value) == f"container {name!r} is ambiguous: {candidates}"


def test_ids_that_begin_alike_are_shown_in_full() -> None:
    alike = (container("a" * 20 + "1"), container("a" * 20 + "2"))
    with pytest.raises(Ambiguous, match=f"{alike[0].id}, {alike[1].id}"):
        match_containers("aaaa", alike, SOURCES)


@pytest.mark.parametrize("name", ["nobody", "", "aaa", "AAAA", "web-7d9c", "shop/web-7d9c"])
def test_no_match_is_not_found(name: str) -> None:
    """A prefix shorter than 4, another case, or half of a name is none."""
    with pytest.raises(NotFound):
        match_containers(name, ALL, SOURCES)


def test_not_found_tells_near_names_and_who_was_asked() -> None:
    with pytest.raises(NotFound) as raised:
        match_containers("shop-apl-1", ALL, SOURCES)
    assert str(raised.value) == (
        "no container 'shop-apl-1'; near names: shop-api-1, shop-api-2, shop-web-1 "
        "(looked in: cgroup, docker (unix:///var/run/docker.sock))"
    )


def test_a_source_that_failed_is_told_with_its_reason() -> None:
    gaps = (
        unnamed("docker (unix:///d.sock)", "no answer within 2 s"),
        unnamed("cri (unix:///c.sock)", "not asked: it failed 3 times, next in 60 s", Reason.NOT_ASKED),
        Gap(Stage.NAMES, Subject(Kind.LABELS), Reason.NOT_TOLD),
        failed(Stage.FDS, Kind.PROCFS_FILES, "logs (/var/log/containers)", "EACCES"),
    )
    sources = ("cgroup paths", "docker (unix:///d.sock)", "logs (/var/log/containers)")
    assert tell_sources(sources, merge_gaps(gaps)) == (
        "cgroup paths",
        "docker (unix:///d.sock) failed: no answer within 2 s",
        "logs (/var/log/containers)",
        "cri (unix:///c.sock) not asked: it failed 3 times, next in 60 s",
    )


def test_a_pause_container_with_a_name_of_its_own_goes_by_it_and_not_by_that_of_its_pod() -> None:
    """Podman's; Kubernetes' are called like their pods."""
    pod = Pod(PodUid("p"), "shop")
    own, like_its_pod = (
        container(id_, name)._replace(pod=pod, sandbox=True) for id_, name in (("1", "infra"), ("2", "shop"))
    )
    assert match_containers("infra", [own, like_its_pod], SOURCES) == (own,)
    with pytest.raises(NotFound):
        match_containers("shop", [own, like_its_pod], SOURCES)
