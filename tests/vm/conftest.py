"""The town of the checks, and what one scan of all of it shows."""

import os

import pytest

from tests.live.nsagent_cli import Scan, run_scan
from tests.vm import town


@pytest.fixture(scope="session")
def built() -> None:
    """All situations, once; they change the machine and stay."""
    if not os.path.exists("/bed/command"):
        pytest.fail("this is not the machine of make test-vm", pytrace=False)
    try:
        town.build()
    except (RuntimeError, TimeoutError) as err:
        pytest.exit(f"the situations cannot be made: {err}", returncode=pytest.ExitCode.INTERNAL_ERROR)


@pytest.fixture(scope="session")
def whole(built: None) -> Scan:
    """Every socket of the machine, by the engines' own places."""
    return run_scan("--all")
