"""What holds for every test, on whatever machine and however it was started.

Hypothesis makes the same examples in each run, so that no run is red by chance; others and more in
`make fuzz`. What a fuzz finds becomes an @example of its test.
"""

import gc
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

# Who is started in the background of a shell ignores SIGINT (sh(1), lists), and so would all that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On a busy machine an example may take any time, and so may making it.
_ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("fixed", _ANY_MACHINE, derandomize=True)
settings.register_profile("fuzz", _ANY_MACHINE, max_examples=2000, print_blob=True)
settings.load_profile("fixed")

TESTS = Path(__file__).parent
LONGEST = (
    # First of all, as it builds an image that others wait for.
    "live/test_agent_image.py",
    "live/test_docker_engine_down.py",
    "live/test_load.py",
    "live/test_agent_soak.py",
    "kernel/formats/test_damage.py",
    "live/test_cri.py",
    "live/test_hostile_fuzz.py",
    "live/test_agent_pod.py",
    "live/test_docker_races.py",
    "config/test_fuzz.py",
    "live/test_agent.py",
    "live/test_docker_in_docker.py",
    "live/test_forged_ids.py",
    "test_docs.py",
    "live/test_faults.py",
    "live/test_docker.py",
    "live/test_history.py",
    "live/test_agreement.py",
    "live/test_replay.py",
    "live/test_podman.py",
    "live/test_odd_matrix.py",
    "cli/test_streams.py",
    "live/test_rights.py",
    "agent/test_history.py",
    "live/test_sockets.py",
    "scan/collect/test_live.py",
)
"""The modules that take longest, those that wait among those that compute; `make pytest` gives out whole modules."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: whoever takes one at the end would work on alone, while others have nothing to do.

    What examples of chance reach is not counted as covered: a line is, of which some test knows that it is reached.
    To trace them would double what they take.
    """
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.no_cover)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Ten thousand tests are no garbage: Python need not go through them each time it looks for some."""
    gc.collect()
    gc.freeze()
