"""Two directories that claim one id: who is believed."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.identity.claims import identify
from nsagent.model.container import Container, NameState, Runtime, ToldBy
from nsagent.model.ids import ContainerId, PodUid

A, B, C = (ContainerId(digit * 64) for digit in "abc")
UID = PodUid("3d6beaa3-0049-13ef-b68c-e073d73494b0")
SLICE = f"kubepods-burstable-pod{UID.replace('-', '_')}.slice"

GENUINE = [
    f"/docker/{A}",
    f"/system.slice/docker-{A}.scope",
    f"/kubepods/burstable/pod{UID}/{A}",
    f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/cri-containerd-{A}.scope",
    f"/machine.slice/libpod-{A}.scope/container",
]
ROOTLESS = f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope"
FORGED = [
    f"/user.slice/user-1001.slice/user@1001.service/app.slice/app.service/docker-{A}.scope",
    f"/system.slice/delegated.service/a/b/c/d/e/docker-{A}.scope",
    f"/docker/{B}/docker/{A}",
    f"/system.slice/docker-{B}.scope/system.slice/docker-{A}.scope",
]


def containers(*paths: str) -> list[ContainerId | None]:
    texts = [f"0::{path}\n" for path in paths]
    identities = identify(texts)
    return [identities[text].container_id for text in texts]


PAIRS = [(genuine, forged) for genuine in GENUINE for forged in FORGED]


@pytest.mark.parametrize(("genuine", "forged"), PAIRS)
def test_the_container_keeps_its_id_and_the_forger_is_where_it_is(genuine: str, forged: str) -> None:
    outer = B if B in forged else None
    assert containers(genuine, forged) == [A, outer]
    assert containers(forged, genuine) == [outer, A]


@pytest.mark.parametrize("first", ["user@1000.service", "a.service"])
def test_of_two_that_different_users_or_services_were_delegated_neither_is_believed(first: str) -> None:
    second = {"user@1000.service": "user@2000.service", "a.service": "b.service"}[first]
    assert containers(f"/x.slice/{first}/docker-{A}.scope", f"/x.slice/{second}/y/docker-{A}.scope") == [None, None]


@pytest.mark.parametrize("forged", FORGED)
def test_a_user_s_container_is_not_believed_where_anybody_else_claims_its_id(forged: str) -> None:
    """Who is right cannot be told from paths: a user may be the forger as well as the one whose id was taken."""
    assert containers(ROOTLESS, forged) == [None, B if B in forged else None]


def test_a_container_within_another_is_not_moved_to_whoever_takes_its_id() -> None:
    assert containers(f"/docker/{B}/docker/{A}", FORGED[0]) == [B, None]


def test_one_user_s_container_is_the_shallower_of_two() -> None:
    user = "/user.slice/user-1000.slice/user@1000.service"
    assert containers(f"{user}/libpod-{A}.scope", f"{user}/a.slice/libpod-{A}.scope") == [A, None]


def test_processes_deep_in_one_container_are_in_it_all() -> None:
    paths = [f"/docker/{A}", f"/docker/{A}/init.scope", f"/docker/{A}/system.slice/nginx.service"]
    assert containers(*paths) == [A, A, A]


def test_one_container_by_v1_and_by_v2_is_one() -> None:
    texts = [f"0::/\n4:memory:/docker/{A}\n", f"0::/docker/{A}\n"]
    assert {identity.container_id for identity in identify(texts).values()} == {A}


def test_an_id_that_nobody_else_claims_is_believed_here_and_verified_by_no_engine() -> None:
    assert containers(FORGED[0]) == [A]


def test_what_a_forger_has_in_another_hierarchy_is_where_it_is() -> None:
    """Its own container stands on the v1 lines; only the v2 tree was delegated to it."""
    texts = [f"0::/docker/{A}\n", f"0::/user@1000.service/docker-{A}.scope\n4:memory:/docker/{B}\n"]
    assert [identity.container_id for identity in identify(texts).values()] == [A, B]


def test_a_forgery_below_a_forgery_is_none_either() -> None:
    paths = [f"/docker/{A}", f"/docker/{B}", f"/user@1000.service/docker-{A}.scope/docker-{B}.scope"]
    assert containers(*paths) == [A, B, None]


def test_the_name_of_a_pod_is_not_a_forgers() -> None:
    genuine, forged = f"/kubepods/pod{UID}/{A}", f"/user.slice/user@1000.service/pod{UID}/{C}"
    identities = identify([f"0::{genuine}\n", f"0::{forged}\n"])
    assert [identity.pod_uid for identity in identities.values()] == [UID, None]


def test_the_containers_of_a_pod_share_its_directory() -> None:
    identities = identify([f"0::/kubepods/pod{UID}/{id_}\n" for id_ in (A, B, C)])
    assert {identity.pod_uid for identity in identities.values()} == {UID}


DEEP = f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/cri-containerd-{A}.scope"


@pytest.mark.parametrize("scope", ["run-u12.scope", "session-3.scope"])
def test_a_scope_may_have_been_delegated_as_a_service_may(scope: str) -> None:
    """It is shallower than what a kubelet makes."""
    assert containers(DEEP, f"/system.slice/{scope}/docker-{A}.scope") == [A, None]
    assert containers(f"/x.slice/{scope}/docker-{A}.scope", f"/x.slice/b.service/docker-{A}.scope") == [None, None]


@pytest.mark.parametrize("forged", [f"/docker/{B}/docker/{A}", f"/docker/{B}/{A}", f"/docker/{B}/x/docker/{C}/{A}"])
def test_what_is_in_one_container_is_not_moved_to_another_that_takes_its_id(forged: str) -> None:
    """Either may have made it up; whoever is in one, is in that one."""
    assert containers(f"/docker/{C}/docker/{A}", forged.replace(C, "d" * 64))[0] == C
    assert A not in containers(f"/docker/{C}/docker/{A}", forged.replace(C, "d" * 64))


def test_whoever_is_around_a_container_has_more_right_to_an_id_than_that() -> None:
    assert containers(f"/docker/{B}/docker/{A}", f"/docker/{B}/docker/{C}/docker/{A}") == [A, C]


@pytest.mark.parametrize("below", ["", f"/docker/{B}", "/init.scope"])
def test_a_pod_is_as_deep_as_its_directory_whatever_is_below(below: str) -> None:
    genuine, forged = f"/kubepods/pod{UID}/{A}{below}", f"/user.slice/user@1000.service/pod{UID}/{C}"
    identities = identify([f"0::{genuine}\n", f"0::{forged}\n"])
    assert [identity.pod_uid for identity in identities.values()] == [UID, None]


def test_a_pod_around_a_container_that_has_pods_is_claimed_too() -> None:
    inner = f"pod{UID[:-1]}1"
    genuine, forged = f"/kubepods/pod{UID}/{A}/kubepods/{inner}/{B}", f"/user.slice/user@1000.service/pod{UID}/{C}"
    identities = identify([f"0::{genuine}\n", f"0::{forged}\n"])
    assert [identity.pod_uid for identity in identities.values()] == [UID[:-1] + "1", None]


def test_a_forged_pod_around_a_container_that_has_pods_is_none_either() -> None:
    forged = f"/user.slice/user@1000.service/pod{UID}/{C}/kubepods/pod{UID[:-1]}1/{B}"
    genuine, told = identify([f"0::/kubepods/pod{UID}/{A}\n", f"0::{forged}\n"]).values()
    assert (genuine.pod_uid, told.chain, told.around[0].pod_uid, told.pod_uid) == (UID, (C,), None, UID[:-1] + "1")


USER = "/user.slice/user-1000.slice/user@1000.service"


@pytest.mark.parametrize(
    "genuine",
    ["/lxc/web", "/lxc.payload.web", "/machine.slice/machine-web.scope", "/machine.slice/systemd-nspawn@web.service"],
)
@pytest.mark.parametrize(
    "forged", ["lxc/web", "lxc.payload.web", "machine.slice/machine-web.scope", "app.slice/systemd-nspawn@web.service"]
)
def test_a_name_that_somebody_chose_is_not_a_user_s_too(genuine: str, forged: str) -> None:
    assert containers(genuine, f"{USER}/{forged}/init.scope") == ["web", None]
    assert containers(f"{USER}/{forged}") == ["web"]


def test_of_two_users_containers_of_one_name_neither_is_believed() -> None:
    assert containers(f"{USER}/lxc.payload.web", f"{USER.replace('1000', '1001')}/lxc.payload.web") == [None, None]


@pytest.mark.parametrize("other", ["/lxc/web/ns", "/lxc.payload.web-1", f"/docker/{B}/lxc.payload.web"])
def test_other_names_that_somebody_chose_are_left_alone(other: str) -> None:
    assert containers("/lxc.payload.web", other)[0] == "web"
    assert containers("/lxc.payload.web", other)[1] is not None


SEGMENTS = st.sampled_from(
    f"docker/{A}/{B}/{C}/docker-{A}.scope/libpod-{B}.scope/user@1000.service/a.service/b.scope/x.slice/pod{UID}/{SLICE}"
    f"/pod{UID[:-1]}1/lxc.payload.web/machine.slice/machine-web.scope/supervisor".split("/")
)
PATHS = st.lists(SEGMENTS, max_size=7).map(lambda segments: "0::/" + "/".join(segments) + "\n")


@given(st.lists(PATHS, max_size=6, unique=True))
def test_any_id_is_in_the_end_at_one_place_whatever_comes_first(texts: list[str]) -> None:
    identities = identify(texts)
    assert identify(reversed(texts)) == identities
    places: defaultdict[str, set[str | None]] = defaultdict(set)
    for identity in identities.values():
        for one in (*identity.around, identity):
            if one.container_id is not None and one.container_id != "web":
                places[one.container_id].add(one.roots[-1])
            if one.pod_uid is not None:
                places[one.pod_uid].add(one.pod_root)
    assert all(len(roots) == 1 for roots in places.values())


def told(id_: ContainerId, subject: str, uid: int | None = 0, *, named: bool = False) -> Container:
    """A record of a container that runs."""
    told_by = ToldBy(subject, uid, named)
    return Container(id_, "web", NameState.KNOWN, Runtime.DOCKER, None, True, "docker", told_by=told_by)


@pytest.mark.parametrize(
    ("path", "records", "believed"),
    [
        (f"{USER}/docker-{A}.scope", [told(A, "docker")], None),
        (f"{USER}/docker-{A}.scope", [told(A, "podman", 1000, named=True)], A),
        (f"{USER}/docker-{A}.scope", [told(A, "podman", 1001, named=True)], None),
        (f"{USER}/docker-{A}.scope", [told(A, "docker"), told(A, "podman", 1000, named=True)], A),
        # Whose this one is is not known.
        (f"{USER}/docker-{A}.scope", [told(A, "docker (tcp://127.0.0.1:2375)", None, named=True)], A),
        (f"{USER}/docker-{A}.scope", [told(A, "bundles", None)], None),
        # What the runtime of a user tells counts for nothing against anybody else.
        (f"{USER}/docker-{A}.scope", [told(A, "podman", 1001)], A),
        (f"/docker/{A}", [told(A, "podman", 1000)], A),
        (f"/docker/{B}/docker/{A}", [told(A, "docker"), told(B, "docker")], B),
        (f"/docker/{B}/docker/{C}/docker/{A}", [told(A, "docker"), told(B, "docker")], C),
        (f"/docker/{B}/docker/{A}", [told(A, "shims"), told(A, "docker"), told(B, "docker")], B),
        (f"/docker/{B}/docker/{A}", [told(A, "docker (inner)", named=True), told(B, "docker")], A),
        (f"/docker/{B}/docker/{A}", [told(A, "podman", 1000), told(B, "podman", 1000)], A),
        # A log stays when its container has ended: it says where that was not, and not that it runs.
        (f"/docker/{B}/docker/{A}", [told(A, "logs")._replace(verified=False), told(B, "logs")], B),
        (f"{USER}/docker-{A}.scope", [told(A, "logs")._replace(verified=False)], A),
        (f"/system.slice/shop.service/docker-{A}.scope", [told(A, "docker")], A),
    ],
)
def test_the_id_of_a_container_that_runs_is_not_believed_where_that_cannot_be(
    path: str, records: list[Container], believed: ContainerId | None
) -> None:
    """Also where it shows no process, and so no directory of its own: as those of Kata do not."""
    text = f"0::{path}\n"
    assert identify([text], records)[text].container_id == believed


def test_a_user_s_cgroup_takes_nothing_from_where_a_named_runtime_tells_that_it_is() -> None:
    genuine, forged = f"0::/docker/{B}/docker/{A}\n", f"0::{USER}/docker-{A}.scope\n"
    identities = identify([genuine, forged], [told(A, "docker (inner)", named=True)])
    assert [one.container_id for one in identities.values()] == [A, None]
