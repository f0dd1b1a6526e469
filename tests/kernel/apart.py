"""Work in a thread of its own: the rights that it gives back are gone with it."""

import threading
from collections.abc import Callable


def run_apart(work: Callable[[], None]) -> None:
    """Run this in such a thread; raises what it raises."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as err:  # noqa: BLE001 - raised again by whoever waits.
            failed.append(err)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
