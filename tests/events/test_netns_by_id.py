"""Which netns an id means: by notices and snapshots that come in any order."""

from collections.abc import Mapping

import pytest

from nsagent.events.netns_by_id import NetnsById

OLD, NEW = {100: "old"}, {100: "new", 101: "other"}


@pytest.fixture
def ids() -> NetnsById[str]:
    """One in which the id 5 means `old`."""
    return learn(NetnsById(), 5, OLD)


def learn(ids: NetnsById[str], nsid: int, by_inode: Mapping[int, str]) -> NetnsById[str]:
    """The netns with the inode 100 was met by this id in a pass that saw these netns."""
    ids.meet(nsid, 100)
    ids.learn(by_inode)
    return ids


def read_on(ids: NetnsById[str]) -> None:
    """All that waits is read and found."""
    ids.begin()
    ids.end()


def test_an_id_means_the_netns_that_was_met_by_it_once_the_snapshot_is_known() -> None:
    ids: NetnsById[str] = NetnsById()
    ids.meet(5, 100)
    assert ids.find(5) is None
    ids.learn(OLD)
    assert (ids.find(5), ids.find(6)) == ("old", None)


def test_a_netns_that_the_snapshot_lacks_is_not_known() -> None:
    assert learn(NetnsById(), 5, {101: "other"}).find(5) is None


def test_what_no_pass_meets_any_more_is_forgotten(ids: NetnsById[str]) -> None:
    assert learn(ids, 6, NEW).find(5) is None


def test_a_netns_that_is_gone_is_named_until_all_is_read_that_was_told_before(ids: NetnsById[str]) -> None:
    ids.begin()
    ids.free(5)
    assert (ids.find(5), ids.has_left) == ("old", True)
    ids.end()
    assert (ids.find(5), ids.has_left) == ("old", True)
    read_on(ids)
    assert (ids.find(5), ids.has_left) == (None, False)


def test_an_id_that_was_given_out_anew_names_nobody_until_all_is_read(ids: NetnsById[str]) -> None:
    ids.free(5)
    ids.give(5)
    assert ids.find(5) is None
    learn(ids, 5, NEW)
    assert ids.find(5) is None
    read_on(ids)
    assert ids.find(5) == "new"


def test_one_that_was_unknown_names_nobody_else_either_until_all_is_read() -> None:
    """What waits may be of the netns that nobody knew."""
    ids: NetnsById[str] = NetnsById()
    ids.free(5)
    ids.give(5)
    learn(ids, 5, NEW)
    assert ids.find(5) is None
    read_on(ids)
    assert ids.find(5) == "new"


def test_who_met_a_netns_before_its_end_was_known_does_not_name_it(ids: NetnsById[str]) -> None:
    ids.meet(6, 100)
    ids.free(6)
    ids.give(6)
    ids.learn(NEW)
    read_on(ids)
    assert ids.find(6) is None


def test_the_last_word_of_a_netns_is_still_known_after_the_next_snapshot(ids: NetnsById[str]) -> None:
    ids.free(5)
    ids.learn({})
    assert ids.find(5) == "old"
    read_on(ids)
    assert ids.find(5) is None


def test_an_id_that_is_given_for_the_first_time_is_in_no_doubt() -> None:
    ids: NetnsById[str] = NetnsById()
    ids.give(5)
    assert learn(ids, 5, OLD).find(5) == "old"


def test_after_a_loss_nobody_is_named_until_all_is_read_and_a_pass_has_met_them(ids: NetnsById[str]) -> None:
    ids.begin()
    ids.lose()
    assert (ids.find(5), ids.has_left) == (None, True)
    ids.end()
    assert learn(ids, 5, NEW).find(5) is None
    read_on(ids)
    assert (ids.find(5), ids.has_left) == ("new", False)
