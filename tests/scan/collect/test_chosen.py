"""Which containers a pass is about, and whether they still are what was meant."""

from collections.abc import Sequence

import pytest

from nsagent.errors import EXIT_NOT_FOUND, Ambiguous, Changed, NotFound, Reason, RuntimeUnavailable
from nsagent.model.container import Container, NameState, Pod, ToldBy
from nsagent.model.gap import Kind
from nsagent.model.ids import ContainerId, NetnsId, PodUid
from nsagent.query.filter import Filter
from nsagent.runtimes.runtimes import Answers, Runtimes
from nsagent.runtimes.source import LeftOut
from nsagent.scan.collect.chosen import check_names, choose, list_nameless
from nsagent.scan.collect.netns import MetNetns
from tests.gaps import unnamed
from tests.runtimes.stand_in import Clock, StandIn
from tests.scan.facts import reading

A, B, C = (ContainerId(digit * 64) for digit in "abc")
READINGS = [
    reading(10, {3: 7}, netns=100, cgroup=f"0::/docker/{A}\n"),
    reading(11, {3: 8}, netns=None, key=200, cgroup=f"0::/docker/{A}/init.scope\n"),
    reading(12, {3: 9}, netns=300, cgroup=f"0::/docker/{B}\n"),
    reading(13, cgroup="0::/system.slice/sshd.service\n", netns=400),
    reading(14, cgroup="0::/lxc/101\n", netns=500),
]
WEB = Filter(containers=("web",))


def record(id_: ContainerId, name: str, pod: Pod | None = None) -> Container:
    return Container(id_, name, NameState.KNOWN, None, None, True, "docker" if pod is None else "cri", pod=pod)


def answers(*containers: Container) -> Answers:
    return Answers(containers, (), ("docker",), ())


def engines_that_said(first: Sequence[Container], then: Sequence[Container] | None) -> tuple[Runtimes, Answers]:
    """Runtimes that were asked once, and what they answered; None is a failure at the second question."""

    def again(_: StandIn) -> tuple[Container, ...]:
        if then is None:
            raise RuntimeUnavailable("broken")
        return tuple(then)

    runtimes = Runtimes([StandIn("docker", lambda _: tuple(first), again, named=False)], clock=Clock())
    runtimes.start()
    return runtimes, runtimes.collect()


def test_the_processes_and_netns_of_a_container_are_all_that_its_cgroups_tell() -> None:
    chosen = choose(WEB, READINGS, answers(record(A, "web"), record(B, "db")))
    assert chosen.ids == {A}
    assert [one.pid for one in chosen.readings] == [10, 11]
    met = [MetNetns(inode, NetnsId(4, inode), None, None) for inode in (100, 300, 400)]
    met.append(MetNetns(0, None, 200, None))
    assert [one.inode or one.key for one in chosen.list_netns(met)] == [100, 200]


def test_a_container_without_processes_is_chosen_and_is_nowhere() -> None:
    chosen = choose(WEB, READINGS, answers(record(C, "web")))
    assert (chosen.ids, chosen.readings) == (frozenset({C}), ())


def test_who_bears_the_id_of_a_container_that_shows_no_process_is_not_chosen_by_its_name() -> None:
    path = f"/user.slice/user-1000.slice/user@1000.service/docker-{C}.scope"
    forger = reading(15, {3: 9}, netns=600, cgroup=f"0::{path}\n", uid=1000)
    chosen = choose(WEB, [*READINGS, forger], answers(record(C, "web")))
    assert (chosen.ids, chosen.readings) == (frozenset({C}), ())


def test_an_unknown_name_is_told_with_what_was_asked() -> None:
    with pytest.raises(NotFound, match=r"no container 'web' \(looked in: cgroup paths, docker\)"):
        choose(WEB, READINGS, answers())


def test_two_of_one_name_are_ambiguous() -> None:
    with pytest.raises(Ambiguous):
        choose(WEB, READINGS, answers(record(A, "web"), record(B, "web")))


def test_names_are_wanted_of_containers_that_are_not_called_by_their_id() -> None:
    assert list_nameless(READINGS) == {A, B}


def test_a_name_that_stays_is_no_news() -> None:
    runtimes, before = engines_that_said([record(A, "web")], [record(A, "web"), record(B, "new")])
    assert check_names(WEB, READINGS, before, runtimes) == before


def test_a_name_that_is_given_to_another_container_is_told() -> None:
    runtimes, before = engines_that_said([record(A, "web")], [record(A, "old"), record(B, "web")])
    with pytest.raises(Changed) as raised:
        check_names(WEB, READINGS, before, runtimes)
    assert str(raised.value) == ("'web' was aaaaaaaaaaaa when the pass began and is bbbbbbbbbbbb at its end: ask again")
    assert raised.value.exit_status == EXIT_NOT_FOUND


def test_a_container_that_was_made_anew_under_its_name_is_told() -> None:
    runtimes, before = engines_that_said([record(A, "web")], [record(C, "web")])
    with pytest.raises(Changed, match="is cccccccccccc at its end"):
        check_names(WEB, READINGS, before, runtimes)


def test_a_container_that_is_gone_is_told() -> None:
    runtimes, before = engines_that_said([record(A, "web")], [])
    with pytest.raises(Changed, match="'web' was aaaaaaaaaaaa when the pass began and is gone at its end"):
        check_names(WEB, READINGS, before, runtimes)


def test_a_name_that_means_one_more_by_now_is_still_that_of_the_first() -> None:
    runtimes, before = engines_that_said([record(A, "web")], [record(A, "web"), record(B, "web")])
    assert check_names(WEB, READINGS, before, runtimes) == before


def test_an_engine_that_does_not_answer_again_is_a_gap() -> None:
    runtimes, before = engines_that_said([record(A, "web")], None)
    assert check_names(WEB, READINGS, before, runtimes).gaps == (unnamed("docker", "broken", Reason.FAILED),)


def test_a_record_that_is_left_out_of_both_answers_does_not_keep_names_from_being_looked_at() -> None:
    """Anybody whose container has long labels could have that."""

    class Sparing(StandIn):
        left_out = (LeftOut(Reason.TOO_LARGE, C),)

    source = Sparing("docker", lambda _: (record(A, "web"),), lambda _: (record(B, "web"),))
    runtimes = Runtimes([source], clock=Clock())
    runtimes.start()
    before = runtimes.collect()
    assert [(gap.subject.kind, gap.reason, gap.detail) for gap in before.gaps] == [
        (Kind.RECORDS, Reason.TOO_LARGE, C[:12])
    ]
    with pytest.raises(Changed):
        check_names(WEB, READINGS, before, runtimes)


def test_a_pod_that_was_made_anew_is_told() -> None:
    old, new = (Pod(PodUid(uid), "db-0", "shop") for uid in ("1" * 32, "2" * 32))
    runtimes, before = engines_that_said([record(A, "app", old)], [record(B, "app", new)])
    with pytest.raises(Changed):
        check_names(Filter(pods=("shop/db-0",)), READINGS, before, runtimes)


@pytest.mark.parametrize("wanted", [Filter(kube_namespaces=("shop",)), Filter(containers=(A,))], ids=["-n", "id"])
def test_what_no_engine_needs_to_tell_is_not_lost_when_it_goes(wanted: Filter) -> None:
    """Of a Kubernetes namespace pods come and go; an id is in the cgroup paths."""
    runtimes, before = engines_that_said([record(A, "web", Pod(None, "web", "shop"))], [])
    assert check_names(wanted, READINGS, before, runtimes) == before


def test_a_log_of_a_container_that_has_ended_chooses_nobody_in_another_container() -> None:
    """Kubelets keep the logs of containers that have ended, and tell their ids."""
    logs, pod = ToldBy("logs (/var/log/containers)", None, named=False), Pod(PodUid("1-2"), "shop-0", "shop")
    ended = record(C, "shop", pod)._replace(verified=False, source="logs", told_by=logs)
    evil = record(A, "evil", Pod(PodUid("3-4"), "evil", "x"))
    forger = reading(15, {3: 9}, netns=600, cgroup=f"0::/kubepods/besteffort/pod{A[:32]}/{A}/{C}\n")
    known = answers(evil, evil._replace(verified=False, source="logs", told_by=logs), ended)
    with pytest.raises(NotFound):
        choose(Filter(pods=("shop-0",)), [forger], known)
