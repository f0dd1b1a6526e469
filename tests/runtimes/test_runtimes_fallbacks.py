"""Sources that are asked only for what those before them leave without a name."""

import time
from collections.abc import Callable, Sequence

import pytest

from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.model.container import Container, NameState, Pod
from nsagent.model.ids import ContainerId
from nsagent.runtimes.runtimes import Runtimes
from nsagent.runtimes.source import MakeSources
from tests.runtimes.stand_in import Clock, StandIn, fails, hangs, knows, names

Behaviour = Callable[[StandIn], tuple[Container, ...]]
A, B, C = map(ContainerId, "abc")


class Group:
    """Makes the same stand-ins each time, and counts how often."""

    def __init__(self, *sources: StandIn) -> None:
        self.sources = sources
        self.made = 0

    def __call__(self) -> Sequence[StandIn]:
        self.made += 1
        return self.sources


def collect(runtimes: Runtimes, *wanted: ContainerId) -> tuple[list[str | None], tuple[str, ...]]:
    """The names and the sources that were asked."""
    runtimes.start()
    answers = runtimes.collect(lambda: wanted)
    return names(answers.containers), answers.sources


def engines_of(first: Sequence[StandIn], *fallbacks: MakeSources, deadline_seconds: float = 2.0) -> Runtimes:
    groups: list[MakeSources] = [Group(*first), *fallbacks] if first else [*fallbacks]
    return Runtimes((), deadline_seconds, clock=time.monotonic, groups=groups)


def test_none_is_asked_nor_made_where_all_have_a_name() -> None:
    fallback = Group(StandIn("two", knows("b")))
    assert collect(engines_of([StandIn("one", knows("a"))], fallback), A) == (["a"], ("one",))
    assert fallback.made == 0


def test_none_is_asked_where_no_name_is_wanted() -> None:
    fallback = Group(StandIn("two", knows("b")))
    assert collect(engines_of([StandIn("one", fails)], fallback)) == ([], ("one",))
    assert fallback.made == 0


@pytest.mark.parametrize("first", [knows(), fails], ids=["knows too little", "fails"])
def test_one_group_after_the_other_is_asked_for_what_has_no_name(first: object) -> None:
    second, third = Group(StandIn("two", knows("a"))), Group(StandIn("three", knows("c")))
    runtimes = engines_of([StandIn("one", first)], second, third)  # type: ignore[arg-type]
    assert collect(runtimes, A) == (["a"], ("one", "two"))
    assert third.made == 0


def test_a_container_without_a_name_yet_is_asked_for_elsewhere() -> None:
    def knows_no_name(source: StandIn) -> tuple[Container, ...]:
        return (Container(A, None, NameState.PENDING, None, None, True, source.subject),)

    runtimes = engines_of([StandIn("one", knows_no_name)], Group(StandIn("two", knows("a"))))
    assert collect(runtimes, A) == ([None, "a"], ("one", "two"))


def test_all_groups_are_asked_at_half_of_the_deadline_once_one_is_slow() -> None:
    runtimes = engines_of(
        [StandIn("one", hangs)],
        Group(StandIn("two", knows("b"))),
        Group(StandIn("three", knows("a"))),
        deadline_seconds=1.0,
    )
    began = time.monotonic()
    runtimes.start()
    answers = runtimes.collect(lambda: {A})
    assert 0.95 < time.monotonic() - began < 10
    assert names(answers.containers) == ["b", "a"]
    assert [(gap.subject.id, gap.detail) for gap in answers.gaps] == [("one", "no answer within 1 s")]
    runtimes.close()


def test_without_a_source_the_first_group_is_asked_at_once() -> None:
    assert collect(engines_of([], Group(StandIn("two", knows("b"))))) == (["b"], ("two",))


def test_what_is_asked_in_every_pass_is_asked_beside_and_spares_no_group() -> None:
    """Shims tell of containers, and much less of each than an engine does."""
    always = StandIn("shims", knows("a"), named=False)
    groups = [Group(StandIn("docker", knows())), Group(StandIn("cri", knows("a")))]
    runtimes = Runtimes([always], clock=time.monotonic, groups=groups)
    assert collect(runtimes, A) == (["a", "a"], ("shims", "docker", "cri"))


def test_what_is_named_spares_the_groups_that_it_makes_needless() -> None:
    groups = [Group(StandIn("docker", knows())), Group(StandIn("cri", knows("a")))]
    runtimes = Runtimes([StandIn("podman", knows("a"))], clock=time.monotonic, groups=groups)
    assert collect(runtimes, A) == (["a"], ("podman", "docker"))


def test_a_group_that_is_asked_after_the_deadline_has_a_little_time_all_the_same() -> None:
    """A pass over a large host takes longer than names may."""
    clock = Clock()
    runtimes = Runtimes(
        (), 2.0, clock=clock, groups=[Group(StandIn("docker", knows())), Group(StandIn("logs", knows("a")))]
    )
    runtimes.start()
    time.sleep(0.1)
    clock.now += 10
    assert names(runtimes.collect(lambda: {A}).containers) == ["a"]


def test_the_sources_of_a_group_are_made_once() -> None:
    fallback = Group(StandIn("two", knows("a"), knows("b")))
    runtimes = engines_of([StandIn("one", knows(), knows())], fallback)
    assert [collect(runtimes, C)[0], collect(runtimes, C)[0]] == [["a"], ["b"]]
    assert fallback.made == 1


def test_who_has_answered_is_asked_again_and_nobody_else() -> None:
    runtimes = engines_of([StandIn("one", fails)], Group(StandIn("two", knows("a"), knows("b"))))
    collect(runtimes, A)
    assert runtimes.ask_again().sources == ("two",)


def test_a_fallback_that_hangs_is_ended_with_the_rest() -> None:
    hung = StandIn("two", hangs)
    runtimes = engines_of([StandIn("one", knows())], Group(hung), deadline_seconds=0.2)
    collect(runtimes, A)
    runtimes.close()
    assert hung.abandoned.wait(60)


def tells(image: str | None, labels: dict[str, str] | None, *, sandbox: bool = False) -> Behaviour:
    """Answer with a named container of a pod."""
    return lambda source: (
        Container(
            A, "a", NameState.KNOWN, None, image, True, source.subject, labels=labels, pod=Pod(None), sandbox=sandbox
        ),
    )


def lacks_extra(source: StandIn) -> tuple[Container, ...]:
    raise RuntimeUnavailable("pip install it", Reason.MISSING_EXTRA)


@pytest.mark.parametrize(
    ("told", "labels_wanted", "asked"),
    [
        (tells("web:1", None), False, ("bundles",)),
        (tells("web:1", {}), True, ("bundles",)),
        (tells("web:1", None), True, ("bundles", "cri")),
        (tells(None, None), False, ("bundles", "cri")),
        (tells(None, None, sandbox=True), False, ("bundles",)),
        (knows("a"), False, ("bundles",)),
        (knows(), False, ("bundles", "logs", "cri")),
    ],
    ids=["all is told", "labels are told", "labels", "an image", "a pause container's image", "no pod", "names"],
)
def test_the_last_group_is_asked_for_images_of_pods_and_labels_too(
    told: Behaviour, labels_wanted: bool, asked: tuple[str, ...]
) -> None:
    """The links to logs, which tell neither, are passed over then."""
    runtimes = Runtimes(
        (),
        clock=time.monotonic,
        groups=[Group(StandIn("bundles", told)), Group(StandIn("logs", knows()))],
        details=Group(StandIn("cri", knows("a"))),
        labels_wanted=labels_wanted,
    )
    assert collect(runtimes, A)[1] == asked


@pytest.mark.parametrize(
    ("told", "labels_wanted", "named", "gaps"),
    [
        (tells(None, None), False, False, ()),
        (tells(None, None), False, True, ("cri",)),
        (tells("web:1", None), True, False, ("cri",)),
        (knows(), False, False, ("cri",)),
    ],
    ids=["an image", "named", "labels", "names"],
)
def test_a_missing_extra_is_told_where_names_or_labels_are_missing_for_it(
    told: Behaviour, labels_wanted: bool, named: bool, gaps: tuple[str, ...]
) -> None:
    runtimes = Runtimes(
        (),
        clock=time.monotonic,
        groups=[Group(StandIn("bundles", told))],
        details=Group(StandIn("cri", lacks_extra, named=named)),
        labels_wanted=labels_wanted,
    )
    runtimes.start()
    answers = runtimes.collect(lambda: {A})
    assert tuple(gap.subject.id for gap in answers.gaps) == gaps
    assert {gap.reason for gap in answers.gaps} <= {Reason.MISSING_EXTRA}
