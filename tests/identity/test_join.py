"""Joining what paths show with what runtimes know."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.identity.cgroup_path import CgroupIdentity, parse_cgroup
from nsagent.identity.join import join_containers
from nsagent.model.container import Container, NameState, Pod, Runtime, ToldBy
from nsagent.model.ids import ContainerId, Pid, PodUid

A, B, C = (ContainerId(digit * 64) for digit in "abc")
UID = PodUid("3d6beaa3-0049-13ef-b68c-e073d73494b0")
CONFIG_HASH = PodUid("7260904bbd08e72e4dff95d9fccd2ee8")


def answer(
    id_: ContainerId, name: str | None = "web", labels: Mapping[str, str] | None = None, pod: Pod | None = None
) -> Container:
    """A record as an engine gives it."""
    state = NameState.PENDING if name is None else NameState.KNOWN
    return Container(id_, name, state, Runtime.DOCKER, "shop/web:1", True, "docker", labels or {}, pod=pod)


def sandbox(id_: ContainerId, pod: Pod) -> Container:
    """The record of a pause container, as CRI gives it."""
    return Container(
        id_, pod.name, NameState.KNOWN, Runtime.CONTAINERD, None, True, "cri", pod.labels, pod=pod, sandbox=True
    )


def unknown(
    id_: ContainerId,
    runtime: Runtime | None = None,
    chain: tuple[ContainerId, ...] = (),
    pod: Pod | None = None,
) -> Container:
    """A record of what only a path shows."""
    return Container(id_, None, NameState.UNKNOWN, runtime, None, False, "cgroup", chain=chain, pod=pod)


def test_an_id_that_no_engine_knows_is_unknown_and_not_verified() -> None:
    identity = parse_cgroup(f"0::/kubepods/pod{UID}/{A}\n")
    assert join_containers([identity], ()) == (unknown(A, pod=Pod(UID)),)


def test_an_id_that_an_engine_knows_has_its_name_and_is_verified() -> None:
    identity = parse_cgroup(f"0::/docker/{A}\n")
    assert join_containers([identity], (answer(A),)) == (answer(A),)


def test_a_pod_that_podman_itself_tells_needs_no_path() -> None:
    """Its cgroup path shows none; what Docker tells of pods are labels, which are the image's too."""
    pod = Pod(PodUid("e" * 64), "shop")
    identity = parse_cgroup(f"0::/libpod_parent/{'e' * 64}/libpod-{A}\n")
    told = answer(A, pod=pod)._replace(runtime=Runtime.PODMAN, source="docker")
    assert join_containers([identity], [told]) == (told,)
    assert join_containers([identity], [told._replace(runtime=Runtime.DOCKER)])[0].pod is None


def test_a_container_without_processes_stays() -> None:
    assert join_containers([], (answer(B), answer(A))) == (answer(A), answer(B))


def test_a_process_outside_of_containers_makes_none() -> None:
    assert join_containers([parse_cgroup("0::/system.slice/nginx.service\n")], ()) == ()


def test_many_processes_make_one_container() -> None:
    paths = [f"0::/docker/{A}\n", f"0::/docker/{A}/init.scope\n", f"0::/docker/{A}\n"]
    assert join_containers(map(parse_cgroup, paths), ()) == (unknown(A, Runtime.DOCKER),)


def test_the_containers_around_are_there_too_with_their_own_chains() -> None:
    identity = parse_cgroup(f"0::/docker/{A}/docker/{B}/docker/{C}\n")
    assert join_containers([identity], (answer(A),)) == (
        answer(A),
        unknown(B, Runtime.DOCKER, chain=(A,)),
        unknown(C, Runtime.DOCKER, chain=(A, B)),
    )


def test_a_container_around_others_keeps_what_its_own_processes_tell() -> None:
    texts = [f"0::/docker/{A}/docker/{B}\n", f"0::/docker/{A}\n"]
    assert join_containers(map(parse_cgroup, texts), ())[0] == unknown(A, Runtime.DOCKER)


def test_where_paths_disagree_the_shallowest_wins() -> None:
    """Whoever may mkdir deep in a delegated cgroup must not move somebody else's container there."""
    texts = [f"0::/docker/{B}/docker/{A}\n", f"0::/docker/{A}\n"]
    assert [c.chain for c in join_containers(map(parse_cgroup, texts), (answer(A),)) if c.id == A] == [()]


def test_the_runtime_of_the_path_counts_more_than_whose_api_the_socket_speaks() -> None:
    identity = parse_cgroup(f"0::/machine.slice/libpod-{A}.scope\n")
    assert join_containers([identity], (answer(A),))[0].runtime is Runtime.PODMAN


def test_a_pod_that_one_record_names_is_that_of_the_other_containers_in_its_cgroup() -> None:
    """What no engine knows yet, and the pause container where only the kubelet's logs tell."""
    identities = [parse_cgroup(f"0::/kubepods/pod{UID}/{id_}\n") for id_ in (A, B)]
    pod = Pod(UID, "web-7d9c", "shop", {"app": "web"})
    assert [one.pod for one in join_containers(identities, (answer(A, pod=pod),))] == [pod, pod]


def test_the_labels_of_a_pod_are_those_of_its_sandbox() -> None:
    pod = Pod(UID, "web-7d9c", "shop", {"app": "web"})
    joined = join_containers([], (answer(A, pod=replace(pod, labels={}))._replace(source="cri"), sandbox(B, pod)))
    assert [one.pod for one in joined] == [pod, pod]


def test_the_uid_of_a_static_pod_is_the_one_of_the_api_where_it_is_known() -> None:
    identity = parse_cgroup(f"0::/kubepods/pod{CONFIG_HASH}/{A}\n")
    assert join_containers([identity], (answer(A, pod=Pod(UID, "etcd")),))[0].pod == Pod(UID, "etcd")
    assert join_containers([identity], (answer(A),))[0].pod == Pod(CONFIG_HASH)


def test_a_static_pod_is_joined_on_its_config_hash() -> None:
    """Its cgroup is called by the hash: so is that of a container that no record tells of."""
    pod = Pod(UID, "etcd-node-1", "kube-system", config_hash=CONFIG_HASH)
    identity = parse_cgroup(f"0::/kubepods/burstable/pod{CONFIG_HASH}/{A}\n")
    joined = {one.id: one for one in join_containers([identity], (sandbox(B, pod),))}
    assert joined[A].pod == pod


@pytest.mark.parametrize("path", ["/docker", f"/kubepods/burstable/pod{CONFIG_HASH}"])
def test_no_pod_goes_by_the_uid_of_another_one(path: str) -> None:
    """A config hash is what somebody annotated, and a cgroup may be called as somebody likes."""
    static = Pod(CONFIG_HASH, "etcd-node-1", "kube-system", config_hash=CONFIG_HASH)
    tenant = Pod(UID, "web", "tenant", {"app": "web"}, CONFIG_HASH)
    texts = [f"0::{path}/{A}\n", *(f"0::/kubepods/burstable/pod{CONFIG_HASH}/{id_}\n" for id_ in (B, C))]
    known = (sandbox(A, tenant), answer(B, "etcd", pod=replace(static, config_hash=None)), sandbox(C, static))
    joined = join_containers(map(parse_cgroup, texts), known)
    assert {one.id: one.pod for one in joined} == {A: tenant, B: static, C: static}
    unnamed = join_containers(map(parse_cgroup, texts), (known[0], known[2]))
    assert {one.id: one.pod for one in unnamed} == {A: tenant, B: static, C: static}


def test_what_the_record_of_a_container_tells_of_its_pod_counts_first() -> None:
    pod, other = Pod(UID, "web", "shop"), Pod(UID, "x", "evil", {"app": "web"})
    joined = join_containers([], (sandbox(A, other), answer(B, pod=pod)._replace(source="cri")))
    assert {one.id: one.pod for one in joined} == {A: other, B: replace(pod, labels=other.labels)}


def test_a_static_pod_is_joined_on_what_the_cgroup_of_another_container_is_called() -> None:
    identities = [parse_cgroup(f"0::/kubepods/burstable/pod{CONFIG_HASH}/{id_}\n") for id_ in (A, B)]
    pod = Pod(UID, "etcd-node-1", "kube-system")
    assert [one.pod for one in join_containers(identities, (answer(B, pod=pod),))] == [pod, pod]


def test_a_record_has_what_only_another_source_tells() -> None:
    bundle = answer(A, None)._replace(name_state=NameState.UNKNOWN, image="nginx:1", source="bundles", labels=None)
    log = Container(
        A, "app", NameState.KNOWN, None, None, False, "logs", pod=Pod(UID, "web", "shop"), container_name="app"
    )
    (joined,) = join_containers([parse_cgroup(f"0::/kubepods/pod{UID}/{A}\n")], (bundle, log))
    assert joined == log._replace(image="nginx:1", verified=True, runtime=Runtime.DOCKER)


def test_an_image_has_its_name_rather_than_its_id() -> None:
    by_id = answer(A)._replace(image="sha256:" + "0" * 64)
    assert [one.image for one in join_containers([], (by_id, answer(A)))] == ["shop/web:1"]
    assert [one.image for one in join_containers([], (answer(A), by_id))] == ["shop/web:1"]


def test_the_log_of_a_container_that_is_gone_makes_none_and_still_names_its_pod() -> None:
    """A pod that crashes again and again: of its last container there is a log, and the pause container lives."""
    pod = Pod(UID, "web-7d9c", "shop")
    log = Container(A, "app", NameState.KNOWN, None, None, False, "logs", pod=pod, container_name="app")
    joined = join_containers([parse_cgroup(f"0::/kubepods/pod{UID}/{B}\n")], (log,))
    assert [(one.id, one.pod) for one in joined] == [(B, pod)]


def test_what_is_kept_tells_of_containers_that_are_seen_and_no_longer_known() -> None:
    identity = parse_cgroup(f"0::/docker/{A}\n")
    assert join_containers([identity], (), kept=(answer(A), answer(B))) == (answer(A),)


def test_what_is_gone_is_told_of_where_no_path_shows_it() -> None:
    """A container that runs is never called as an earlier pass remembers: it may have been renamed."""
    identity = parse_cgroup(f"0::/docker/{B}\n")
    assert join_containers([identity], (answer(A, "new"),), gone=(answer(A, "old"), answer(B), answer(C))) == (
        answer(A, "new"),
        unknown(B, Runtime.DOCKER),
        answer(C),
    )


def test_the_containers_of_a_sandboxed_pod_are_sandboxed() -> None:
    """In containerd 2 the sandbox alone has a shim, whose record has neither name nor pod."""
    pod = Pod(UID, "web-7d9c", "shop")
    shim = Container(B, None, NameState.UNKNOWN, None, None, True, "bundles", sandboxed="kata")
    app = answer(A, pod=pod)._replace(source="cri")
    joined = join_containers([parse_cgroup(f"0::/kubepods/pod{UID}/{B}\n")], (shim, app, sandbox(B, pod)))
    assert [(one.id, one.name, one.sandboxed) for one in joined] == [(A, "web", "kata"), (B, "web-7d9c", "kata")]


SYSTEM, USER = ToldBy("docker (unix:///run/docker.sock)", 0, False), ToldBy("podman (unix:///u)", 1000, False)
ROOTLESS = f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope"


@pytest.mark.parametrize(
    ("path", "told_by", "verified"),
    [
        (f"/docker/{A}", SYSTEM, True),
        (f"/docker/{A}", None, True),
        (f"/docker/{A}", USER, False),
        (f"/docker/{A}", USER._replace(named=True), True),
        (ROOTLESS, USER, True),
        (ROOTLESS, USER._replace(named=True), True),
        (ROOTLESS, USER._replace(uid=1001), False),
        (ROOTLESS, SYSTEM, False),
        (ROOTLESS, None, False),
    ],
)
def test_an_engine_tells_only_of_what_is_its_own(path: str, told_by: ToldBy | None, verified: bool) -> None:
    """A user may make a cgroup with any id, and an engine that says anything."""
    (joined,) = join_containers([parse_cgroup(f"0::{path}\n")], (answer(A)._replace(told_by=told_by),))
    assert (joined.name, joined.verified) == (("web", True) if verified else (None, False))


OVER_TCP = ToldBy("docker (tcp://10.0.0.9:2376)", None, True)


def test_an_engine_over_tcp_of_whose_containers_nothing_is_here_makes_none() -> None:
    """It is another host's: its `web` must not stand beside the one of this host."""
    own, other = answer(A)._replace(told_by=SYSTEM), answer(B)._replace(told_by=OVER_TCP)
    assert join_containers([parse_cgroup(f"0::/docker/{A}\n")], (other, own)) == (own,)
    assert join_containers([], (other, own)) == (own,)
    gone = answer(B, "old")
    assert join_containers([], (other,), gone=(gone,)) == (gone,)


@pytest.mark.parametrize("source", ["docker", "bundles"])
def test_an_engine_over_tcp_is_this_host_s_where_anything_shows_one_of_its_containers(source: str) -> None:
    """Then those without a cgroup count as well."""
    seen, unseen = (answer(id_)._replace(told_by=OVER_TCP) for id_ in (A, B))
    assert join_containers([parse_cgroup(f"0::/docker/{A}\n")], (unseen, seen)) == (seen, unseen)
    local = answer(A)._replace(source=source, told_by=SYSTEM._replace(uid=None if source == "bundles" else 0))
    assert [one.id for one in join_containers([], (seen, unseen, local))] == [A, B]


def test_a_sandboxed_container_of_an_engine_over_tcp_is_shown_by_its_shim() -> None:
    shim = answer(A, None)._replace(source="bundles", sandboxed="kata", labels=None)
    (joined,) = join_containers([], (shim, answer(A)._replace(told_by=OVER_TCP)))
    assert (joined.name, joined.sandboxed) == ("web", "kata")


def test_the_containers_of_one_engine_are_not_in_each_other() -> None:
    """Who is in one of them took the id of another, which shows no process just now."""
    identity = parse_cgroup(f"0::/docker/{A}/docker/{B}\n")
    inner, outer = (answer(id_)._replace(told_by=SYSTEM) for id_ in (B, A))
    joined = join_containers([identity], (inner, outer))
    assert [(one.id, one.verified) for one in joined] == [(A, True), (B, False)]
    other = inner._replace(told_by=SYSTEM._replace(subject="docker (inner)"))
    assert [one.verified for one in join_containers([identity], (other, outer))] == [True, True]


def test_a_container_that_has_ended_names_nobody_in_another_container() -> None:
    identity = parse_cgroup(f"0::/docker/{A}/docker/{B}\n")
    assert [one.verified for one in join_containers([identity], (), kept=(answer(B),))] == [False, False]


def test_a_user_s_cgroup_that_is_called_like_a_pod_is_not_of_it() -> None:
    pod = Pod(UID, "web-7d9c", "shop")
    forged = parse_cgroup(f"0::/user.slice/user@1000.service/pod{UID}/{B}\n")
    joined = {one.id: one for one in join_containers([forged], (sandbox(A, pod),))}
    assert joined[B].pod == Pod(UID)


def test_the_labels_of_an_image_make_no_pod() -> None:
    forged = answer(A, pod=Pod(UID, "etcd", "kube-system"))._replace(
        container_name="etcd", sandbox=True, labels={"a": "b"}
    )
    (joined,) = join_containers([parse_cgroup(f"0::/docker/{A}\n")], (forged,))
    assert (joined.pod, joined.container_name, joined.sandbox) == (None, None, False)
    (in_pod,) = join_containers([parse_cgroup(f"0::/kubepods/pod{UID}/{A}\n")], (forged,))
    assert in_pod.pod == Pod(UID, "etcd", "kube-system")


def test_of_two_records_of_one_id_the_first_with_a_name_wins() -> None:
    answers = (answer(A, None), answer(A, "first"), answer(A, "second"))
    assert [container.name for container in join_containers([], answers)] == ["first"]


def test_a_name_that_is_still_to_come_is_pending() -> None:
    (container,) = join_containers([parse_cgroup(f"0::/docker/{A}\n")], (answer(A, None),))
    assert (container.name, container.name_state, container.verified) == (None, NameState.PENDING, True)


def test_the_id_of_lxc_and_nspawn_is_the_name() -> None:
    texts = ["0::/lxc/101/ns\n", "0::/machine.slice/machine-web.scope/payload\n"]
    named = [(c.id, c.name, c.name_state, c.verified) for c in join_containers(map(parse_cgroup, texts), ())]
    assert named == [("101", "101", NameState.KNOWN, False), ("web", "web", NameState.KNOWN, False)]


IDS = st.sampled_from([A, B, C])
IDENTITIES = st.builds(
    CgroupIdentity,
    st.none() | IDS,
    st.none() | st.sampled_from(Runtime),
    st.none() | st.just(UID),
    st.lists(IDS, max_size=2).map(tuple),
    st.none(),
    st.none() | st.text(max_size=2),
)


@given(st.lists(IDENTITIES), st.randoms(use_true_random=False))
def test_the_order_of_the_processes_does_not_matter(identities: list[CgroupIdentity], random: object) -> None:
    shuffled = list(identities)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    joined = join_containers(identities, ())
    assert joined == join_containers(shuffled, ())
    assert [container.id for container in joined] == sorted({container.id for container in joined})


def told_by(subject: str, container: Container, uid: int = 0, pid: int = 7) -> Container:
    """A record as a source tells it that was found at a socket of that user."""
    return container._replace(told_by=ToldBy(subject, uid, named=False, pid=Pid(pid)))


def test_a_container_is_in_no_other_one_of_its_runtime_however_deep() -> None:
    """Who is in A may make any cgroups below it: also one by an id that means nothing, and C's below that."""
    identity = parse_cgroup(f"0::/docker/{A}/docker/{B}/docker/{C}\n")
    known = [told_by("docker", answer(A)), told_by("docker", answer(C, "shop"))]
    assert {one.id: one.name for one in join_containers([identity], known)} == {A: "web", B: None, C: None}


def test_a_runtime_that_was_started_anew_is_the_same_one() -> None:
    identity = parse_cgroup(f"0::/docker/{A}/docker/{B}\n")
    kept, known = told_by("docker", answer(A), pid=6), told_by("docker", answer(B, "shop"))
    texts = [parse_cgroup(f"0::/docker/{A}\n"), identity]
    assert {one.id: one.name for one in join_containers(texts, [known], [kept])} == {A: "web", B: None}


def test_of_what_a_container_calls_a_user_s_below_itself_that_user_s_runtime_tells_nothing() -> None:
    path = f"/docker/{A}/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{B}.scope"
    known = [told_by("docker", answer(A)), told_by("podman", answer(B, "shop"), uid=1000)]
    joined = join_containers([parse_cgroup(f"0::{path}\n")], known)
    assert [(one.id, one.name, one.verified) for one in joined] == [(A, "web", True), (B, None, False)]


def test_what_is_in_a_container_of_a_user_s_is_that_user_s() -> None:
    path = f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope/docker/{B}"
    known = [told_by("docker", answer(A), uid=1000), told_by("inner", answer(B, "shop"), uid=1000)]
    assert [one.name for one in join_containers([parse_cgroup(f"0::{path}\n")], known)] == ["web", "shop"]
