"""What a pass adds to what was seen before: which rows are new, and how many are gone. Pure."""

from typing import NamedTuple

from nsagent.model.snapshot import Snapshot
from nsagent.scan.follow import follow
from nsagent.scan.same import is_same_boot, match_netns, match_sockets
from nsagent.scan.sight import Sight


class Seen(NamedTuple):
    """A pass, as it stands beside the one before."""

    whole: Snapshot
    selected: Snapshot
    """The rows that the command is about."""
    lacks: tuple[str, ...]
    """Printable lines: what could not be seen, and what was asked for and is not there."""
    followed: Snapshot
    """What the next pass is compared with: `whole`, and what was known before of what that could not see."""
    come: frozenset[int] = frozenset()
    """Rows that the pass before had not, and would have seen, by id(); none of a first pass."""
    gone: int = 0
    """How many rows of the pass before are not there any more."""
    partial: bool = False
    """Whether it is one that --strict does not take for an answer."""
    error: str = ""
    """Printable: why there is no later pass, "" where this is the last one."""


def add_pass(before: Seen | None, whole: Snapshot, selected: Snapshot, lacks: tuple[str, ...]) -> Seen:
    """The next pass after `before`, None for the first one."""
    if before is None or not is_same_boot(before.followed, whole):
        return Seen(whole, selected, lacks, followed=whole)
    earlier = before.followed
    followed = follow(earlier, whole)
    netns = match_netns(earlier, followed)
    back, sight = {number: old for old, number in netns.items()}, Sight(earlier)
    matched = match_sockets(earlier.sockets, followed.sockets, netns)
    gone = {id(one) for one in matched.gone}
    come = {
        id(one)
        for one in matched.come
        if sight.sees_table(back.get(one.netns), one.row.protocol) or sight.is_before(one)
    }
    return Seen(
        whole,
        selected,
        lacks,
        followed,
        come=frozenset(id(one) for one in selected.sockets if id(one) in come),
        gone=sum(id(one) in gone for one in before.selected.sockets),
    )
