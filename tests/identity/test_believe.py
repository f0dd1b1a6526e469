"""Which of the containers on a path a process is in, by what is known of them."""

import pytest

from nsagent.identity.believe import believe
from nsagent.identity.cgroup_path import CgroupIdentity
from nsagent.identity.claims import identify
from nsagent.identity.join import join_containers
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.ids import ContainerId, PodUid

A, B, C = (ContainerId(digit * 64) for digit in "abc")
UID, OTHER_UID = PodUid("3d6beaa3-0049-13ef-b68c-e073d73494b0"), PodUid("3d6beaa3-0049-13ef-b68c-e073d73494b1")
NESTED = f"/docker/{A}/docker/{B}/docker/{C}"


def answer(id_: ContainerId, pod: Pod | None = None) -> Container:
    return Container(id_, f"name-{id_[0]}", NameState.KNOWN, Runtime.CONTAINERD, None, True, "cri", pod=pod)


def find_containers(*paths: str, known: tuple[Container, ...] = ()) -> tuple[Container, ...]:
    return join_containers(identify(f"0::{path}\n" for path in paths).values(), known)


def believe_paths(*paths: str, known: tuple[Container, ...] = ()) -> list[CgroupIdentity]:
    texts = [f"0::{path}\n" for path in paths]
    identities = believe(identify(texts), find_containers(*paths, known=known))
    return [identities[text] for text in texts]


@pytest.mark.parametrize(
    ("verified", "told"),
    [
        ((), (A, (), (B, C))),
        ((A,), (A, (), (B, C))),
        ((B,), (B, (A,), (C,))),
        ((A, C), (C, (A, B), ())),
        ((C,), (C, (A, B), ())),
    ],
)
def test_the_innermost_verified_container_counts_and_with_none_the_outermost(
    verified: tuple[ContainerId, ...], told: tuple[ContainerId, tuple[ContainerId, ...], tuple[ContainerId, ...]]
) -> None:
    (one,) = believe_paths(NESTED, known=tuple(map(answer, verified)))
    assert (one.container_id, one.chain, one.inner) == told


def test_the_runtime_and_the_pod_are_those_of_the_container_that_counts() -> None:
    """Also where every process of it is in cgroups that it made below itself."""
    path = f"/kubepods/burstable/pod{UID}/{A}/kubepods/pod{OTHER_UID}/{B}"
    (one,) = believe_paths(path)
    assert (one.container_id, one.pod_uid) == (A, UID)
    assert [(found.id, found.pod) for found in find_containers(path)] == [(A, Pod(UID)), (B, None)]


def test_a_pod_that_a_container_claims_below_itself_counts_where_somebody_told_of_it() -> None:
    path = f"/docker/{A}/kubepods/pod{UID}/{B}"
    pod = Pod(UID, "web", "shop")
    known = (answer(A), answer(C, pod))
    assert {found.id: found.pod for found in find_containers(path, known=known)} == {A: None, B: pod, C: pod}


def test_a_name_below_a_container_that_is_another_one_s_is_none() -> None:
    """Names of LXC's containers are chosen: two may be alike."""
    inside, own = believe_paths(f"/docker/{A}/lxc/db", "/lxc/db")
    assert (inside.container_id, inside.inner) == (A, ())
    assert (own.container_id, own.chain) == ("db", ())


def test_a_path_with_one_container_stays_as_it_is() -> None:
    path = f"/system.slice/docker-{A}.scope"
    assert believe_paths(path) == list(identify([f"0::{path}\n"]).values())
