"""Waiting that any thread can end."""

import os
import threading
from collections.abc import Iterator

import pytest

from nsagent.events.waiter import Waiter


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def test_it_waits_until_something_can_be_read(same_fds: None, pipe: tuple[int, int]) -> None:
    waiter = Waiter(pipe[:1])
    assert waiter.wait(0)
    os.write(pipe[1], b"x")
    assert waiter.wait(None)
    waiter.close()


def test_whoever_waits_is_woken_by_the_end_and_fds_are_closed_after_the_last(same_fds: None) -> None:
    waiter, told = Waiter(()), list[bool]()
    threads = [threading.Thread(target=lambda: told.append(waiter.wait(None))) for _ in range(2)]
    for thread in threads:
        thread.start()
    waiter.close()
    waiter.close()
    for thread in threads:
        thread.join()
    assert (told, waiter.wait(None)) == ([False] * 2, False)
