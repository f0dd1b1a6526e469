"""Two directories that claim one id: who is believed."""

import pytest

from nsagent.identity.claims import identify
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


def test_names_that_somebody_chose_may_be_given_twice() -> None:
    paths = ["/lxc/web", "/user.slice/user-1000.slice/user@1000.service/lxc.payload.web"]
    assert containers(*paths) == ["web", "web"]


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
