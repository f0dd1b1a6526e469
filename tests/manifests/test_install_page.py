"""What docs/install.md says of a cluster: with its commands the nodes get the image that was built, and probes pass."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from nsagent.agent.config_file import ConfigFile, Identity, load_config
from tests.docs import blocks, run, shell_commands
from tests.manifests.made import MANIFESTS
from tests.manifests.rules import Manifest, find_problems, parse_objects
from tests.manifests.tools import KUBECTL, ROOT

PAGE: Final = "install.md"
TEXTS: Final = [text for page, text in blocks("text") if page == PAGE]
COMMANDS: Final = [command.line for command in shell_commands() if command.page == PAGE and "manifests" in command.line]
REGISTRY: Final = "registry.example"


def read_image(objects: list[Manifest]) -> str:
    (daemonset,) = [each for each in objects if each["kind"] == "DaemonSet"]
    return str(daemonset["spec"]["template"]["spec"]["containers"][0]["image"])


def find_pushed() -> str:
    """The image that the page has pushed."""
    (image,) = re.findall(r"^docker push (\S+)$", "".join(TEXTS), re.MULTILINE)
    return str(image).replace("REGISTRY", REGISTRY)


@pytest.mark.parametrize("line", COMMANDS)
def test_what_is_to_be_applied_has_the_image_that_was_pushed(line: str) -> None:
    objects = parse_objects(run(line.replace("REGISTRY", REGISTRY)).stdout)
    assert (read_image(objects), find_problems(objects)) == (find_pushed(), [])


def test_nothing_is_to_be_applied_as_it_stands() -> None:
    assert COMMANDS
    assert [line for text in TEXTS for line in text.splitlines() if "kubectl apply" in line] == []


@pytest.mark.parametrize("file", ["install.yaml", "profiles/observer.yaml"])
def test_the_head_of_a_manifest_says_the_same(file: str) -> None:
    (line,) = re.findall(r"^# +(sed .*) \| kubectl apply -f -$", (MANIFESTS / file).read_text(), re.MULTILINE)
    done = run(f"cd manifests && {line.replace('REGISTRY', REGISTRY)}")
    assert read_image(parse_objects(done.stdout)) == find_pushed()


@pytest.mark.parametrize("key", ["priorityClassName", "mountPropagation"])
def test_a_manifest_without_what_some_clusters_refuse_is_whole(key: str) -> None:
    (command,) = re.findall(rf"`(sed '/{key}[^`]*)`", (ROOT / "docs" / PAGE).read_text())
    text = run(f"{command} manifests/install.yaml").stdout
    assert (key in text, find_problems(parse_objects(text))) == (False, [])


@pytest.mark.usefixtures("helm")
def test_a_kustomization_has_the_image_and_a_config_with_which_probes_pass(tmp_path: Path) -> None:
    (kustomization,) = [text for text in TEXTS if text.startswith("# kustomization.yaml\n")]
    (config,) = re.findall(r"^cp (\S+) config\.yaml$", "".join(TEXTS), re.MULTILINE)
    (tmp_path / "kustomization.yaml").write_text(kustomization.replace("REGISTRY", REGISTRY))
    (tmp_path / "config.yaml").write_text((ROOT / config).read_text() + "# Mine.\n")
    base = tmp_path / "manifests" / "profiles" / "base.yaml"
    base.parent.mkdir(parents=True)
    base.write_text((MANIFESTS / "profiles" / "base.yaml").read_text())
    done = subprocess.run([KUBECTL, "kustomize", tmp_path], capture_output=True, text=True, timeout=60, check=True)
    objects = parse_objects(done.stdout)
    (text,) = [each["data"]["config.yaml"] for each in objects if each["kind"] == "ConfigMap"]
    http = load_config(ConfigFile("config.yaml", text.encode(), Identity(0, 0, 0, 0, "")), {"POD_IP": "fd00::3"}).http
    assert (read_image(objects), text.endswith("# Mine.\n")) == (find_pushed(), True)
    assert http is not None
    assert http.listen == "[fd00::3]:9469"
