"""Netns to which nothing but a mount leads: opened once all processes were walked.

Those in the own mount namespace are opened here; in all others somebody else decides what lies at a path, so a child
looks there (kernel.lookups), if there is any such netns.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.kernel.files import translate_errno
from nsagent.kernel.lookups import Lookup
from nsagent.kernel.nsfs import open_netns
from nsagent.kernel.procfs import ProcessDir
from nsagent.model.gap import Gap, Kind, Stage, Subject, make_gap
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.mount_views import TRUSTED_BYTES, MountView

MOST_LOOKUPS: Final = 1024
"""How many netns are looked up in foreign mount namespaces, each in up to _MOST_VIEWS of these."""

_MOST_VIEWS: Final = 3
_MOST_POINTS: Final = 4
"""How many mount points of a netns are tried in one mount namespace: some may be covered."""


class _Mounted(NamedTuple):
    """A netns that is mounted somewhere, and nothing else led to it."""

    inode: int
    view: MountView

    @property
    def points(self) -> list[str]:
        """The mount points that are tried."""
        return self.view.points[self.inode][:_MOST_POINTS]

    def make_lookup(self, open_process: Callable[[], ProcessDir]) -> Lookup:
        """The question where it is."""
        return Lookup(self.view.key, self.inode, open_process, self.points)


def follow_mounts(context: PassContext) -> None:
    """Hold and name the netns that are mounted; gaps tell of those that cannot be reached."""
    registry = context.registry
    views = registry.take_mounts()
    missed = dict(_open_own(context, _list_unmet(context, views)))
    missed |= _look_up(context, _list_unmet(context, views))
    for view in views:
        unmet = {
            inode: missed[_Mounted(inode, view)]
            for inode in view.points
            if not registry.name_mounted(inode, view) and (inode, view) in missed
        }
        if unmet:
            still = _list_mounted(context, view)
            context.gaps.add(_tell(view, {inode: err for inode, err in unmet.items() if inode in still}))


def _list_unmet(context: PassContext, views: list[MountView]) -> list[_Mounted]:
    """The netns that are not met yet, by turns from each view, so that none with many of them keeps others waiting."""
    unmet = [
        (rank, _Mounted(inode, view))
        for view in views
        for rank, inode in enumerate(each for each in view.points if not context.registry.has_met(each))
    ]
    return [each for _, each in sorted(unmet, key=lambda ranked: ranked[0])]


def _open_own(context: PassContext, unmet: Iterable[_Mounted]) -> Iterator[tuple[_Mounted, NotRead | Gone]]:
    """Hold what is mounted in the own mount namespace; those that cannot be, and why."""
    for each in unmet:
        if not context.live:
            yield each, Gone("a mount of another time")
        elif each.view.own and (err := _open_paths(context, each.inode, each.points)) is not None:
            yield each, err


def _open_paths(context: PassContext, inode: int, paths: Iterable[str]) -> NotRead | Gone | None:
    """Hold the netns at the first of these paths at which it is; None if it is at one, or why not."""
    failure: NotRead | Gone | None = None
    for path in paths:
        try:
            context.registry.hold_mounted(open_netns(path), inode, path)
        except OSError as err:
            failure = translate_errno(err, path)
        except (Gone, NotRead) as err:
            failure = err
        else:
            return None
    return failure


def _look_up(context: PassContext, unmet: Iterable[_Mounted]) -> Iterator[tuple[_Mounted, NotRead | Gone]]:
    """Hold what is mounted in foreign mount namespaces; those that cannot be, and why."""
    times: Counter[int] = Counter()
    wanted: list[_Mounted] = []
    for each in unmet if context.live else ():
        if each.view.own:
            continue
        times[each.inode] += 1
        if len(times) > MOST_LOOKUPS:
            yield each, NotRead("one more mount", Reason.TOO_MANY)
        elif times[each.inode] <= _MOST_VIEWS:
            wanted.append(each)
    if not wanted:
        return
    lookups = [each.make_lookup(partial(_open_process, context, each.view)) for each in wanted]
    with closing(context.open_each(lookups)) as answers:
        for index, answer in answers:
            if not isinstance(answer, int):
                yield wanted[index], answer
                continue
            try:
                context.registry.hold_mounted(answer, wanted[index].inode)
            except (Gone, NotRead) as err:
                yield wanted[index], err


def _open_process(context: PassContext, view: MountView) -> ProcessDir:
    """A process that has the mounts of a view; raises as opening the last one does."""
    *others, last = view.pids
    for pid in others:
        try:
            return context.procfs.open_process(pid)
        except (Gone, NotRead):
            continue
    return context.procfs.open_process(last)


def _list_mounted(context: PassContext, view: MountView) -> Collection[int]:
    """The netns that are mounted there still, as far as is known: what was unmounted meanwhile is missed by nobody."""
    try:
        with _open_process(context, view) as process:
            return process.read_netns_mounts(TRUSTED_BYTES).points
    except Gone:
        return ()
    except (NotRead, FormatError):
        return view.points


def _tell(view: MountView, missed: Mapping[int, NotRead | Gone]) -> Iterator[Gap]:
    """Gaps for these netns of a view: each by its mount point in the own mount namespace, else counted."""
    subject = Subject(Kind.MOUNTS, str(view.pids[0]))
    alike: Counter[Gap] = Counter()
    for inode, err in missed.items():
        if view.own:
            subject = Subject(Kind.MOUNT, view.points[inode][0])
        if isinstance(err, Gone):
            alike[Gap(Stage.NETNS, subject, Reason.UNREACHABLE)] += 1
        else:
            alike[make_gap(Stage.NETNS, subject, err)] += 1
    return (replace(gap, count=count) for gap, count in alike.items())
