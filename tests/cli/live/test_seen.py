"""Which rows of a pass are new, and how many are gone, beside what was seen before."""

from nsagent.cli.live.seen import Seen, add_pass
from nsagent.errors import Reason
from nsagent.model.gap import AlikeGaps, Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.net import SocketState
from nsagent.model.snapshot import Snapshot
from nsagent.query.filter import Filter
from nsagent.query.select import select_snapshot
from tests.scan.snapshots import HOST, WEB, listener, make_netns, process, snapshot

SERVER = process(10, "httpd")
STAYS, COMES, GOES = (listener(80 + each, SERVER, netns=WEB, cookie=1 + each, inode=7 + each) for each in range(3))
ALL = Filter()
UNREAD = (make_netns(HOST), make_netns(WEB, engine=None))


def gaps_of_web() -> tuple[AlikeGaps, ...]:
    return merge_gaps([Gap(Stage.NETNS, Subject(Kind.NETNS, str(WEB)), Reason.FAILED, "EIO")])


def follow(*snapshots: Snapshot, wanted: Filter = ALL) -> Seen:
    """What was seen with the last of these passes."""
    seen = None
    for one in snapshots:
        seen = add_pass(seen, one, select_snapshot(one, wanted), ())
    assert seen is not None
    return seen


def test_of_a_first_pass_nothing_is_new() -> None:
    first = snapshot(STAYS)
    assert follow(first) == Seen(first, first, (), first)


def test_what_comes_is_new_for_one_pass_and_what_goes_is_counted_in_one() -> None:
    before, after = snapshot(STAYS, GOES), snapshot(STAYS, COMES)
    assert follow(before, after) == Seen(after, after, (), after, come=frozenset({id(COMES)}), gone=1)
    assert follow(before, after, after) == Seen(after, after, (), after)


def test_only_rows_that_the_table_is_about_are_counted() -> None:
    unconnected = GOES._replace(row=GOES.row._replace(state=SocketState.CLOSE))
    before, after = snapshot(STAYS, unconnected), snapshot(STAYS, COMES)
    seen = follow(before, after, wanted=Filter(ports=frozenset({80})))
    assert (seen.come, seen.gone, len(seen.selected.sockets)) == (frozenset(), 0, 1)


def test_what_could_not_be_seen_for_one_pass_is_neither_gone_nor_new() -> None:
    there, unseen = snapshot(STAYS, GOES), snapshot(netns=UNREAD, gaps=gaps_of_web())
    assert follow(there, unseen).gone == 0
    back = follow(there, unseen, snapshot(STAYS, COMES))
    assert (back.come, back.gone) == (frozenset({id(COMES)}), 0)


def test_what_was_never_seen_before_is_not_new() -> None:
    seen = follow(snapshot(netns=UNREAD, gaps=gaps_of_web()), snapshot(STAYS))
    assert seen.come == frozenset()


def test_after_another_boot_all_begins_anew() -> None:
    after = snapshot(COMES, boot_id="another")
    assert follow(snapshot(STAYS), after) == Seen(after, after, (), after)
