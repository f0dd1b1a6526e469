"""`nsagent manifests`: what it prints is what is committed."""

from pathlib import Path

import pytest

from nsagent.cli.manifests import Profile
from nsagent.errors import EXIT_USAGE
from tests.cli.conftest import Ran, Run

ROOT = Path(__file__).parent.parent.parent
PROFILES = ROOT / "manifests" / "profiles"


def test_each_file_is_that_of_a_profile() -> None:
    assert {file.stem for file in PROFILES.iterdir()} == set(Profile)


@pytest.mark.parametrize("profile", Profile)
def test_a_profile_is_printed_as_it_is_committed(run_cli: Run, profile: Profile) -> None:
    assert run_cli("manifests", profile) == Ran(0, (PROFILES / f"{profile}.yaml").read_text(), "")


def test_base_is_the_usual_one_and_a_name_is_taken_in_any_case(run_cli: Run) -> None:
    assert run_cli("manifests") == run_cli("manifests", "BASE") == run_cli("manifests", "base")


def test_an_unknown_profile_is_told_with_those_there_are(run_cli: Run) -> None:
    ran = run_cli("manifests", "full")
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert "'full' is not one of 'base', 'observer', 'events'" in ran.err
