"""The CPU time that a function takes of this thread, which a busy machine does not change."""

import sys
import time
from collections.abc import Callable


def cpu_seconds(function: Callable[[], object]) -> float:
    """What it takes when nobody traces which lines are run, as a measurement of coverage does."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        started = time.thread_time()
        function()
        return time.thread_time() - started
    finally:
        sys.settrace(tracer)
