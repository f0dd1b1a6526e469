"""Releases of kernels, as they call themselves."""

import pytest

from nsagent.kernel.formats.release import is_at_least


@pytest.mark.parametrize("release", ["6.8.0", "6.10.3-arch1-1", "7.0-rc1", "6.8.0-45-generic"])
def test_this_release_and_a_later_one_are_at_least_this_one(release: str) -> None:
    assert is_at_least(release, 6, 8)


@pytest.mark.parametrize("release", ["6.7.12", "5.19.0-50-generic", "4.18.0-553.el8_10", "", "linux", None])
def test_an_earlier_release_and_one_that_is_not_known_are_not(release: str | None) -> None:
    assert not is_at_least(release, 6, 8)
