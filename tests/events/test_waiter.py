"""Waiting that any thread can end."""

import asyncio
import os
import select
import threading
from collections.abc import Callable, Iterator

import pytest

from nsagent.errors import EventsUnavailable, Reason
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


def test_nobody_waits_for_what_somebody_else_has_read(same_fds: None) -> None:
    waiter, told = Waiter(()), list[bool]()
    thread = threading.Thread(target=lambda: told.append(waiter.wait(None)))
    thread.start()
    waiter.set_ready(True)
    thread.join()
    assert (told, waiter.wait(None)) == ([True], True)
    waiter.set_ready(True)
    waiter.set_ready(False)
    readable = select.poll()
    readable.register(waiter.fileno(), select.POLLIN)
    assert readable.poll(0) == []
    waiter.close()
    waiter.set_ready(False)


def test_tasks_wait_beside_each_other_and_are_told_of_the_end(same_fds: None) -> None:
    async def wait() -> list[bool]:
        waiter = Waiter(())
        assert await waiter.wait_async(0)
        tasks = [asyncio.create_task(waiter.wait_async(600.0)) for _ in range(2)]
        await asyncio.sleep(0)
        waiter.close()
        return [*await asyncio.gather(*tasks), await waiter.wait_async(600.0)]

    assert asyncio.run(wait()) == [False] * 3


@pytest.mark.parametrize("left", [0, 1])
def test_without_fds_it_cannot_be_had_and_leaves_none(
    same_fds: None, few_fds: Callable[[int], None], left: int
) -> None:
    few_fds(left)
    with pytest.raises(EventsUnavailable, match="events cannot be waited for: EMFILE") as caught:
        Waiter(())
    assert (caught.value.reason, caught.value.errno) == (Reason.FAILED, "EMFILE")
