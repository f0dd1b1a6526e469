"""What tests of the manifests need of their machine."""

import pytest

from tests.live.capabilities import Capability, require


@pytest.fixture
def helm() -> None:
    """Skip, or fail where everything is required, without helm and kubectl."""
    require(Capability.HELM)
