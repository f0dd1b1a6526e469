"""What the image is locked to: all that nsagent needs, in versions that it takes, each by its hashes."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent.parent
IMAGE = ROOT / "manifests" / "image"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")


def read_lock(name: str) -> list[tuple[Requirement, list[str]]]:
    """Each requirement of a lock, and its hashes; lines that go on end in a backslash."""
    text = (IMAGE / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return [(Requirement(line.split(" --hash=")[0]), re.findall(r"--hash=(\S+)", line)) for line in lines]


def find_versions(name: str, python: str, machine: str) -> dict[str, Version]:
    """What pip installs of a lock on that Python and machine."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
    }
    chosen = [one for one, _ in read_lock(name) if one.marker is None or one.marker.evaluate(environment)]
    return {canonicalize_name(one.name): Version(str(one.specifier).removeprefix("==")) for one in chosen}


def list_runtime_requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    return [Requirement(text) for text in (*PROJECT["dependencies"], *extras["agent"], *extras["cri"])]


def list_build_requirements() -> list[Requirement]:
    lines = (IMAGE / "build-requirements.in").read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("name", ["requirements.txt", "build-requirements.txt"])
def test_every_package_has_one_version_and_its_hashes(name: str) -> None:
    lock = read_lock(name)
    assert len(lock) > 10
    for one, hashes in lock:
        assert [each.operator for each in one.specifier] == ["=="]
        assert hashes
        assert [each for each in hashes if not re.fullmatch(r"sha256:[0-9a-f]{64}", each)] == []


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_all_that_nsagent_needs_is_there_in_a_version_that_it_takes(python: str, machine: str) -> None:
    versions = find_versions("requirements.txt", python, machine)
    for one in list_runtime_requirements():
        assert versions[canonicalize_name(one.name)] in one.specifier, one


@pytest.mark.parametrize("python", PYTHONS)
def test_so_is_what_the_image_is_made_with(python: str) -> None:
    versions = find_versions("build-requirements.txt", python, MACHINES[0])
    needed = list_build_requirements()
    assert {one.name for one in needed} == {"cyclonedx-bom", "hatchling"}
    for one in needed:
        assert versions[canonicalize_name(one.name)] in one.specifier, one


def test_what_builds_nsagent_is_what_the_project_asks_for() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert asked == [str(one) for one in list_build_requirements() if one.name == "hatchling"]
