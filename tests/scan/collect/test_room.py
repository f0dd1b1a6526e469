"""How many netns can be held open at a time."""

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nsagent.scan.collect.room import Room
from tests.scan.collect.test_resting_tables import Bed, bed, come_to_rest

__all__ = ["bed"]


@contextmanager
def free_fds(count: int) -> Iterator[None]:
    """So many are left for netns, beside the reserve."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 64 + count, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize(("netns", "ample"), [(1, True), (5, True), (6, False)])
def test_room_is_ample_where_twice_as_many_can_be_held_with_a_socket_in_each(netns: int, ample: bool) -> None:
    with free_fds(22):
        assert Room(threading.Event()).is_ample_for(netns) is ample


def test_where_few_netns_can_be_held_those_at_rest_are_read_as_they_are_met(bed: Bed) -> None:
    come_to_rest(bed)
    with free_fds(8):
        assert bed.make_pass() == bed.look()
