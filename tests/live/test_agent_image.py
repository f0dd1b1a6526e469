"""The image of the DaemonSet: what is in it, what is not, and that its two ways of being built say the same."""

import ast
import json
import os
import re
import shlex
import subprocess
import tarfile
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import pytest

import nsagent
from tests.live.agent_image import NAME, ROOT, BuiltImage
from tests.manifests.test_lock import PYTHONS, find_versions

pytestmark = pytest.mark.timeout(600)

PACKAGES = "usr/local/lib/python3.11/dist-packages"
# Everything that is only imported where it is used, and the parts of Python that Debian splits off.
IMPORTS = (
    "cronsim, docker, grpc, google.protobuf, parsy, prometheus_client, pydantic, pyroute2, typer, urllib3, waitress,"
    " yaml, ctypes, sqlite3, ssl, zoneinfo"
)


def run_inside(image: BuiltImage, program: str) -> str:
    """What a Python program says in the image, with its environment."""
    environment = dict(line.split("=", 1) for line in read_config(image)["config"]["Env"])
    command = ["chroot", str(image.root), "/usr/bin/python3", "-I", "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


def read_config(image: BuiltImage) -> dict[str, Any]:
    """What its docker-archive says of it."""
    with tarfile.open(image.archive) as archive:
        (entry,) = read_json(archive, "manifest.json")
        assert entry["RepoTags"] == [NAME]
        return dict(read_json(archive, entry["Config"]))


def read_json(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    assert file is not None
    return json.load(file)


def read_instructions() -> dict[str, list[str]]:
    """Of the last stage of the Containerfile the words of each instruction."""
    text = (ROOT / "manifests" / "Containerfile").read_text().replace("\\\n", " ")
    stage = text[text.rindex("\nFROM ") + 1 :]
    lines = [line.split(" ", 1) for line in stage.splitlines() if line and not line.startswith("#")]
    return {name: shlex.split(words) for name, words in lines if name != "ENTRYPOINT"} | {
        name: json.loads(words) for name, words in lines if name == "ENTRYPOINT"
    }


def list_installed(image: BuiltImage) -> dict[str, Distribution]:
    return {each.metadata["Name"]: each for each in distributions(path=[str(image.root / PACKAGES)])}


def test_all_that_nsagent_may_import_is_there(agent_image: BuiltImage) -> None:
    assert (
        run_inside(agent_image, f"import nsagent, {IMPORTS}; print(nsagent.__version__)").strip() == nsagent.__version__
    )


def test_it_has_what_is_locked_and_nsagent(agent_image: BuiltImage) -> None:
    locked = find_versions("requirements.txt", PYTHONS[0], os.uname().machine)
    found = {re.sub(r"[-_.]+", "-", name).lower(): one.version for name, one in list_installed(agent_image).items()}
    assert found == {**{name: str(version) for name, version in locked.items()}, "nsagent": nsagent.__version__}


def test_it_has_no_shell_no_package_manager_no_compiler_and_no_manual(agent_image: BuiltImage) -> None:
    directories = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", f"{PACKAGES}/bin")
    programs = {name for one in directories for name in list_directory(agent_image.root / one)}
    assert programs == {"python3", "python3.11"}
    assert not (agent_image.root / PACKAGES / "share").exists()
    assert not [path for path in agent_image.root.rglob("*") if path.stat(follow_symlinks=False).st_mode & 0o6000]


def list_directory(path: Path) -> list[str]:
    return os.listdir(path) if path.is_dir() else []


def test_nothing_is_compiled_when_it_starts(agent_image: BuiltImage) -> None:
    """The root is read-only: a module without its bytecode would be compiled at each start."""
    found = [path.suffix for path in (agent_image.root / PACKAGES / "nsagent").rglob("*.py*")]
    assert found.count(".py") == found.count(".pyc") > 100


def test_zones_and_certificates_are_there(agent_image: BuiltImage) -> None:
    program = "import ssl, zoneinfo; zoneinfo.ZoneInfo('Europe/Berlin'); print(ssl.create_default_context()"
    certificates = ast.literal_eval(run_inside(agent_image, f"{program}.cert_store_stats())"))
    assert certificates["x509_ca"] > 50


def test_the_containerfile_says_the_same_of_it(agent_image: BuiltImage) -> None:
    config, instructions = read_config(agent_image)["config"], read_instructions()
    assert {
        "User": instructions["USER"][0],
        "Env": instructions["ENV"],
        "Entrypoint": instructions["ENTRYPOINT"],
        "WorkingDir": instructions["WORKDIR"][0],
        "Labels": dict(word.split("=", 1) for word in instructions["LABEL"]),
    } == config
    assert config["Labels"]["org.opencontainers.image.version"] == nsagent.__version__


def test_docker_is_sent_what_the_containerfile_copies_and_no_more() -> None:
    text = (ROOT / "manifests" / "Containerfile").read_text()
    copied = set(" ".join(re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)).split())
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert ignored[1] == "*"


def test_its_bill_of_materials_names_every_python_package(agent_image: BuiltImage) -> None:
    bom = json.loads(agent_image.bom.read_text())
    assert (bom["bomFormat"], bom["metadata"]["component"]["name"]) == ("CycloneDX", "nsagent")
    found = {(one["name"], one["version"]) for one in bom["components"]}
    installed = {(name, one.version) for name, one in list_installed(agent_image).items() if name != "nsagent"}
    assert found >= installed
    assert all(
        one["purl"].startswith("pkg:pypi/") for one in bom["components"] if (one["name"], one["version"]) in installed
    )
