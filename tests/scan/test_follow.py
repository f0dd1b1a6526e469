"""Many snapshots one after the other, in some of which something could not be seen."""

import pytest

from nsagent.errors import Reason
from nsagent.model.facts import ProcessCounts
from nsagent.model.gap import AlikeGaps, Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.net import Protocol
from nsagent.model.snapshot import Netns, Snapshot
from nsagent.scan.diff import diff_snapshots
from nsagent.scan.follow import follow
from tests.scan.snapshots import HOST, WEB, container, listener, make_netns, process, snapshot

NEW = 4026532777
SERVER = process(10, "httpd")
UNREAD = make_netns(NEW, engine=None)
READ = make_netns(NEW)
HERE: tuple[Netns, ...] = (make_netns(HOST), make_netns(WEB))


def gaps_of(number: int, protocol: Protocol | None = None) -> tuple[AlikeGaps, ...]:
    kind = Kind.NETNS if protocol is None else Kind.TABLE
    return merge_gaps([Gap(Stage.NETNS, Subject(kind, str(number), protocol), Reason.FAILED, "EIO")])


def tell(*snapshots: Snapshot) -> list[list[str]]:
    """The kinds of the changes with each snapshot but the first."""
    told, before = [], follow(None, snapshots[0])
    for after in snapshots[1:]:
        told.append([change.kind.value for change in diff_snapshots(before, after)])
        before = follow(before, after)
    return told


def test_what_listens_in_a_netns_that_could_not_be_read_when_it_came_is_new_once_it_is_read() -> None:
    served = snapshot(listener(80, SERVER, netns=NEW), netns=(*HERE, READ))
    unread = snapshot(netns=(*HERE, UNREAD), gaps=gaps_of(NEW))
    assert tell(snapshot(), unread, unread, served, served) == [[], [], ["new_listener"], []]
    assert tell(snapshot(), snapshot(netns=(*HERE, UNREAD)), served) == [[], ["new_listener"]]


def test_what_was_never_seen_before_is_not_new() -> None:
    served = snapshot(listener(80, SERVER, netns=NEW), netns=(*HERE, READ))
    assert tell(snapshot(netns=(*HERE, UNREAD), gaps=gaps_of(NEW)), served) == [[]]


@pytest.mark.parametrize("protocol", [None, Protocol.TCP])
def test_what_is_gone_when_its_netns_is_read_again_is_told_then_and_what_stayed_is_not(
    protocol: Protocol | None,
) -> None:
    stays, goes = listener(80, SERVER, netns=WEB), listener(81, SERVER, netns=WEB, cookie=2, inode=8)
    unread = snapshot(gaps=gaps_of(WEB, protocol))
    told = tell(snapshot(stays, goes), unread, unread, snapshot(stays), snapshot(stays))
    assert told == [[], [], ["listener_gone"], []]


def test_interfaces_that_could_not_be_read_hide_no_row() -> None:
    unread = merge_gaps([Gap(Stage.LINKS, Subject(Kind.NETNS, str(WEB)), Reason.FAILED, "EIO")])
    served = snapshot(listener(80, SERVER, netns=WEB), gaps=unread)
    assert tell(snapshot(gaps=unread), served, snapshot(gaps=unread)) == [["new_listener"], ["listener_gone"]]
    assert follow(snapshot(), served) == served


@pytest.mark.parametrize("protocol", [None, Protocol.TCP])
def test_what_could_not_be_read_of_a_netns_that_its_key_alone_tells_is_as_it_was_seen_last(
    protocol: Protocol | None,
) -> None:
    """As for who may not read its inode: rows have its key, negative, and gaps `key:` and the key."""
    netns = (*HERE, make_netns(NEW)._replace(inode=None, key=NEW))
    kind = Kind.NETNS if protocol is None else Kind.TABLE
    gaps = merge_gaps([Gap(Stage.NETNS, Subject(kind, f"key:{NEW}", protocol), Reason.FAILED, "EIO")])
    stays, goes = listener(80, SERVER, netns=-NEW), listener(81, SERVER, netns=-NEW, cookie=2, inode=8)
    whole, unread = snapshot(stays, goes, netns=netns), snapshot(netns=netns, gaps=gaps)
    assert tell(whole, unread, unread, snapshot(stays, netns=netns)) == [[], [], ["listener_gone"]]
    assert diff_snapshots(unread, whole) == ()
    followed = follow(whole, unread)
    assert followed.sockets == (stays, goes)
    assert followed.coverage.gaps == ()


def test_a_key_is_not_taken_for_the_inode_of_another_netns() -> None:
    netns = (*HERE, make_netns(NEW)._replace(inode=None, key=WEB))
    goes = listener(80, SERVER, netns=-WEB)
    assert tell(snapshot(goes, netns=netns), snapshot(netns=netns, gaps=gaps_of(WEB))) == [["listener_gone"]]


def test_a_table_of_another_protocol_is_as_it_was_seen_last() -> None:
    tcp = listener(80, SERVER, netns=WEB)
    unread = snapshot(tcp, gaps=gaps_of(WEB, Protocol.UDP))
    assert tell(snapshot(tcp), unread, snapshot(), snapshot()) == [[], ["listener_gone"], []]


def test_what_is_new_in_a_table_that_was_read_in_part_is_told_once() -> None:
    old, new = listener(80, SERVER, netns=WEB), listener(81, SERVER, netns=WEB, cookie=2, inode=8)
    in_part = snapshot(old, new, gaps=gaps_of(WEB, Protocol.TCP))
    assert tell(snapshot(old), in_part, in_part, snapshot(old, new)) == [["new_listener"], [], []]


def test_nothing_of_another_boot_is_kept() -> None:
    before = snapshot(listener(80, SERVER, netns=WEB), boot_id="other")
    unread = snapshot(gaps=gaps_of(WEB))
    assert follow(before, unread) is unread


def test_a_snapshot_that_saw_everything_is_its_own_successor() -> None:
    after = snapshot(listener(80, SERVER))
    assert follow(snapshot(), after) is after


def test_a_process_that_hangs_in_every_pass_hides_nothing_that_is_new() -> None:
    hung = {"processes": ProcessCounts(5, 4, 0, 0, 1)}
    web = container("web")
    server = process(20, "httpd", container=web, start_ticks=500)
    old, new = process(10, start_ticks=400), (process(10, start_ticks=400), server)
    before = snapshot(**hung)._replace(processes=(old,))  # type: ignore[arg-type]
    after = snapshot(listener(80, server, netns=NEW), netns=(*HERE, READ), containers=[web], **hung)._replace(  # type: ignore[arg-type]
        processes=new,
    )
    assert tell(before, after, after) == [["container_come", "new_listener"], []]


def test_behind_a_process_that_hangs_what_is_no_younger_may_have_been_there() -> None:
    hung = {"processes": ProcessCounts(5, 4, 0, 0, 1)}
    server = process(20, "httpd", start_ticks=400)
    before = snapshot(**hung)._replace(processes=(process(10, start_ticks=400),))  # type: ignore[arg-type]
    after = snapshot(listener(80, server, netns=NEW), netns=(*HERE, READ), **hung)._replace(processes=(server,))  # type: ignore[arg-type]
    assert tell(before, after) == [[]]
