"""The sources of names in the places where there are any, and which of them are asked when."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from nsagent.errors import UsageError
from nsagent.runtimes.places import KINDS_OF_DIRECTORIES, Place, PlaceState, SourceKind, list_places
from nsagent.runtimes.runtimes import Runtimes
from nsagent.runtimes.source import Source, Sources

TIMEOUT_SECONDS: Final = 2.0
"""How long one wait for a runtime may last: no longer than the deadline of them all."""

_ORDER: Final = (
    frozenset({SourceKind.DOCKER, SourceKind.PODMAN}),
    frozenset({SourceKind.BUNDLES}),
    frozenset({SourceKind.LOGS}),
    frozenset({SourceKind.CRI}),
)


def discover_runtimes(
    option: str | None,
    environ: Mapping[str, str],
    root: str = "/",
    *,
    clock: Callable[[], float],
    deadline_seconds: float = TIMEOUT_SECONDS,
    labels_wanted: bool = False,
    follow: bool = False,
) -> Runtimes:
    """The sources to ask, in the order in which their names count; see list_places and Runtimes.

    What is named is asked at once. Of what was found Docker's API comes first, then bundles, the
    names of logs and CRI, each where those before leave a container without a name. CRI, whose
    client is the dearest, is asked too for images that the others do not tell, and for labels
    where they are wanted. The shims beside bundles tell which containers have a network stack of
    their own: they are asked where bundles are not asked at once, which tell that as well. What comes
    to be there later is asked from then on: an engine may be started, or installed, after this program.
    """
    found = _Found(option, environ, root)

    def find_more() -> Sources | None:
        return _arrange(found.places, root, labels_wanted=labels_wanted) if found.look_again() else None

    at_once, groups, details = _arrange(found.places, root, labels_wanted=labels_wanted)
    return Runtimes(
        at_once,
        deadline_seconds,
        clock=clock,
        groups=groups,
        details=details,
        labels_wanted=labels_wanted,
        follow=follow,
        find_more=find_more,
    )


def discover_ended(
    option: str | None, environ: Mapping[str, str], root: str = "/", *, clock: Callable[[], float]
) -> Runtimes:
    """The runtimes that tell of containers which do not run, too, each with its state; all are asked at once."""
    places = (place for place in list_places(option, environ, root) if place.state is PlaceState.ASKED)
    telling = [place for place in places if place.kind not in KINDS_OF_DIRECTORIES]
    return Runtimes([make_source(place, ended=True) for place in telling], TIMEOUT_SECONDS, clock=clock)


class _Found:
    """The `places` that are asked."""

    def __init__(self, option: str | None, environ: Mapping[str, str], root: str) -> None:
        self._list = partial(list_places, option, environ, root)
        self.places = [place for place in self._list() if place.state is PlaceState.ASKED]

    def look_again(self) -> bool:
        """Whether there are more by now.

        What is gone is still asked, so that this is told, unless another one of its kind has come. Takes 0.3 ms.
        """
        try:
            now = {(place.kind, place.address): place for place in self._list()}
        except UsageError:  # What the option names leads in a circle by now.
            return False
        known = {(place.kind, place.address): place for place in self.places}
        there = {key: place for key, place in now.items() if place.state is PlaceState.ASKED}
        if not (more := {kind for kind, _ in there.keys() - known.keys()}):
            return False
        gone = [key for key in known if (key not in now or now[key].state is PlaceState.ABSENT) and key[0] not in more]
        self.places = [*there.values(), *(known[key] for key in gone)]
        return True


def _arrange(places: Sequence[Place], root: str, *, labels_wanted: bool) -> Sources:
    """Which of them are asked when."""
    named = [place for place in places if place.named]
    groups = [[place for place in places if not place.named and place.kind in kinds] for kinds in _ORDER]
    docker, bundles, logs, cri = groups
    shims = _make_shim_sources(bundles) if docker else []
    if labels_wanted and not docker:
        # They will be asked for: at once, then.
        groups, cri = [[*bundles, *cri], logs], []
    return Sources(
        [*shims, *_make_sources(named, root)],
        [partial(_make_sources, group, root) for group in groups if group and group is not cri],
        partial(_make_sources, cri, root) if cri else None,
    )


def _make_sources(places: Iterable[Place], root: str) -> list[Source]:
    return [make_source(place, root) for place in places]


def _make_shim_sources(places: Iterable[Place]) -> list[Source]:
    """What tells of sandboxes beside these bundles."""
    from nsagent.runtimes.shims import ShimSource

    return [ShimSource(place.address, named=False) for place in places]


def make_source(place: Place, root: str = "/", *, ended: bool = False) -> Source:
    """The source of a place; each kind is imported only where it is asked, as it costs milliseconds.

    `root` is where the root directory of the host is seen. With `ended` one that can tells of
    containers that do not run too.
    """
    kind, address, named = place.kind, place.address, place.named
    if kind is SourceKind.CRI:
        from nsagent.runtimes.cri import CriSource

        return CriSource(address, TIMEOUT_SECONDS, named=named, ended=ended)
    if kind is SourceKind.BUNDLES:
        from nsagent.runtimes.bundles import BundleSource

        return BundleSource(address, named=named, root=root)
    if kind is SourceKind.LOGS:
        from nsagent.runtimes.kubelet_logs import LogLinkSource

        return LogLinkSource(address, named=named)
    from nsagent.runtimes.docker import DockerSource

    return DockerSource(address, TIMEOUT_SECONDS, kind.value, named=named, tls=dict(place.tls), ended=ended)
