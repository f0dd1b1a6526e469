"""Threads that are joined before anybody goes on."""

import threading
from collections.abc import Callable

import pytest

from nsagent.errors import ReadFailed
from nsagent.kernel.threads import run_in_threads


class Broken(Exception):
    """What a job of these tests raises."""


def fail() -> int:
    raise Broken("first")


def wait_for(stop: threading.Event) -> Callable[[], int]:
    """A job that ends when it is told to."""

    def wait() -> int:
        assert stop.wait(60)
        return 1

    return wait


def test_results_come_in_the_order_of_the_functions() -> None:
    second_ran = threading.Event()

    def first() -> str:
        assert second_ran.wait(60)
        return "first"

    def second() -> str:
        second_ran.set()
        return "second"

    assert run_in_threads([first, second], threading.Event()) == ["first", "second"]


def test_every_function_runs_in_a_thread_of_its_own() -> None:
    together = threading.Barrier(3, timeout=60)

    def meet() -> int:
        together.wait()
        return threading.get_ident()

    idents = run_in_threads([meet] * 3, threading.Event())
    assert len({*idents, threading.get_ident()}) == 4


def test_no_functions_give_no_results() -> None:
    assert run_in_threads([], threading.Event()) == []


def test_stop_is_not_set_when_all_goes_well() -> None:
    stop = threading.Event()
    run_in_threads([lambda: 1], stop)
    assert not stop.is_set()


def test_what_a_function_raises_is_raised_and_stops_the_others() -> None:
    stop = threading.Event()
    with pytest.raises(Broken, match="first"):
        run_in_threads([fail, wait_for(stop)], stop)
    assert stop.is_set()


def test_all_threads_have_ended_when_an_error_is_raised() -> None:
    stop = threading.Event()
    before = set(threading.enumerate())
    with pytest.raises(Broken):
        run_in_threads([fail, wait_for(stop), wait_for(stop)], stop)
    assert set(threading.enumerate()) == before


def test_a_thread_that_ends_the_interpreter_is_heard() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run_in_threads([leave], threading.Event())


def test_all_threads_have_ended_when_all_went_well() -> None:
    before = set(threading.enumerate())
    run_in_threads([lambda: 1] * 4, threading.Event())
    assert set(threading.enumerate()) == before


def test_a_thread_that_the_kernel_does_not_give_is_a_failed_read() -> None:
    stop = threading.Event()
    before = threading.stack_size(1 << 46)  # More than an address space has.
    try:
        with pytest.raises(ReadFailed, match="EAGAIN"):
            run_in_threads([lambda: None], stop)
    finally:
        threading.stack_size(before)
    assert stop.is_set()
