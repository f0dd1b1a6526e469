"""What the next of many snapshots is compared with: the last one, and of what that could not see what was known. Pure.

A netns may be unreadable for the length of one pass, as while a runtime is still making its container.
Compared with that pass alone, what begins to listen there would never be new, and what ends never gone.
"""

from dataclasses import replace

from nsagent.model.gap import AlikeGaps
from nsagent.model.ids import tell_netns
from nsagent.model.net import Protocol
from nsagent.model.snapshot import Snapshot
from nsagent.scan.same import is_same_boot, match_netns, match_sockets
from nsagent.scan.sight import Sight, may_hide_rows


def follow(before: Snapshot | None, after: Snapshot) -> Snapshot:
    """`after`, with those rows of `before` that it has not, of tables that `before` alone could see in whole.

    None stands for what was before the first one of all. A netns that came in between, and was not read, had no
    rows: what it has later is new.
    """
    if before is None or not is_same_boot(before, after):
        return after
    earlier, sight = Sight(before), Sight(after)
    netns = match_netns(before, after)
    back = {number: old for old, number in netns.items()}
    unseen = {
        (one.number, protocol)
        for one in after.netns
        for protocol in after.coverage.protocols
        if not sight.sees_table(one.number, protocol) and earlier.sees_table(back.get(one.number), protocol)
    }
    if not unseen:
        return after
    known = [one for one in before.sockets if (netns.get(one.netns), one.row.protocol) in unseen]
    seen = [one for one in after.sockets if (one.netns, one.row.protocol) in unseen]
    kept = [one._replace(netns=netns[one.netns]) for one in match_sockets(known, seen, netns).gone]
    protocols = after.coverage.protocols
    known_tables = {(tell_netns(number), protocol) for number, protocol in unseen}
    whole = {one.number for one in after.netns if all((one.number, each) in unseen for each in protocols)}
    return after._replace(
        sockets=(*after.sockets, *kept),
        netns=tuple(
            one._replace(engine=after.engine) if one.engine is None and one.number in whole else one
            for one in after.netns
        ),
        coverage=after.coverage._replace(
            gaps=tuple(
                left for gap in after.coverage.gaps if (left := _leave_out(gap, known_tables, protocols)) is not None
            ),
        ),
    )


def _leave_out(gap: AlikeGaps, known: set[tuple[str, Protocol]], protocols: tuple[Protocol, ...]) -> AlikeGaps | None:
    """The gap without the tables of which all is known, which are given as gaps tell them; None if nothing is left."""
    if not may_hide_rows(gap):
        return gap
    left = tuple(
        one
        for one in gap.subjects
        if not all((one.id, each) in known for each in (protocols if one.protocol is None else (one.protocol,)))
    )
    return replace(gap, subjects=left) if left else None
