"""Ids of netns: given, told of, and free when the netns is gone."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from nsagent.errors import AccessDenied
from nsagent.kernel.capabilities import Capability as Right
from nsagent.kernel.capabilities import give_back_capabilities
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns_id_events import IdNotices, open_id_group, read_id_notices
from nsagent.kernel.netns_ids import NetnsIds
from tests.kernel.apart import run_apart
from tests.kernel.children import IN_NEW_NETNS, Child, start_child
from tests.kernel.formats.test_route_link import GIVEN, TAKEN, make_notice
from tests.kernel.inside import make_inside
from tests.kernel.test_multicast import OVERRUN, queue_of
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until


def test_notices_are_told_in_their_order_and_others_passed_over() -> None:
    queue = queue_of(TAKEN, make_notice(16), GIVEN)
    assert read_id_notices(queue) == IdNotices(((7, False), (7, True)), False)


def test_a_notice_that_was_lost_or_damaged_is_a_loss_and_the_next_one_is_read() -> None:
    for lost in (OVERRUN, b"short"):
        assert read_id_notices(queue_of(lost, GIVEN, drops=(1,))) == IdNotices(((7, True),), True)


def test_more_than_are_read_at_once_count_as_lost() -> None:
    assert read_id_notices(queue_of(*[GIVEN] * 5000)) == IdNotices(((7, True),) * 4096, True)


@contextmanager
def open_netns(child: Child) -> Iterator[int]:
    fd = os.open(f"/proc/{child.pid}/ns/net", os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def test_an_id_is_given_once_and_free_when_nobody_is_in_the_netns(same_fds: None) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with start_child("ready(); wait()", *IN_NEW_NETNS) as here, start_child("ready(); wait()", *IN_NEW_NETNS) as there:
        notices = make_inside(here.pid, open_id_group)
        with make_inside(here.pid, NetnsIds) as ids, closing(notices):
            with open_netns(there) as fd:
                asked = [ids.read_nsid(fd, make_buffer()), *(ids.give_nsid(fd, make_buffer()) for _ in range(2))]
                assert asked == [None, 0, 0]
                assert ids.read_nsid(fd, make_buffer()) == 0
            assert read_id_notices(notices) == IdNotices(((0, True),), False)
            there.end()
            assert until(lambda: read_id_notices(notices).ids, "the netns is gone") == ((0, False),)


def test_who_may_not_give_an_id_is_told_so_and_may_read_one(same_fds: None) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with (
        start_child("ready(); wait()", *IN_NEW_NETNS) as here,
        start_child("ready(); wait()", *IN_NEW_NETNS) as there,
        make_inside(here.pid, NetnsIds) as ids,
        open_netns(there) as fd,
    ):

        def give() -> None:
            give_back_capabilities((Right.SYS_PTRACE, Right.SYS_ADMIN, Right.DAC_READ_SEARCH))
            with pytest.raises(AccessDenied, match="EPERM"):
                ids.give_nsid(fd, make_buffer())

        run_apart(give)
        assert ids.give_nsid(fd, make_buffer()) == 0
