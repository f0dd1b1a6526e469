"""What is to be applied is a base for kustomize, of the kubectl of today and of Debian's, which is some years old."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.manifests.made import MANIFESTS
from tests.manifests.rules import Manifest, find_problems, parse_objects
from tests.manifests.tools import KUBECTL, OLD_KUBECTL

pytestmark = pytest.mark.usefixtures("helm")

IMAGES = [{"name": "nsagent", "newName": "registry.example/nsagent", "newTag": "9"}]
PATCH = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "nsagent", "namespace": "nsagent"},
    "spec": {"template": {"spec": {"tolerations": [], "priorityClassName": "mine"}}},
}


def build(kubectl: Path, directory: Path, kustomization: object) -> list[Manifest]:
    """What this kubectl makes of the base with that in the kustomization."""
    base = directory / "base"
    base.mkdir()
    (base / "install.yaml").write_text((MANIFESTS / "install.yaml").read_text())
    (base / "kustomization.yaml").write_text("resources: [install.yaml]\n")
    (directory / "patch.yaml").write_text(yaml.safe_dump(PATCH))
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    done = subprocess.run(
        [kubectl, "kustomize", str(directory)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return parse_objects(done.stdout)


WAYS: dict[Path, dict[str, object]] = {
    KUBECTL: {"resources": ["base"], "images": IMAGES, "patches": [{"path": "patch.yaml"}], "namespace": "watch"},
    # It would leave the Namespace itself as it is.
    OLD_KUBECTL: {"bases": ["base"], "images": IMAGES, "patchesStrategicMerge": ["patch.yaml"]},
}


# Debian's is there where apt has it: nothing is skipped where it is not.
@pytest.mark.parametrize("kubectl", [KUBECTL, *[OLD_KUBECTL] * OLD_KUBECTL.is_file()], ids=lambda path: path.name)
def test_a_kustomization_changes_what_it_is_to_change(kubectl: Path, tmp_path: Path) -> None:
    objects = build(kubectl, tmp_path, WAYS[kubectl])
    assert find_problems(sorted(objects, key=lambda each: each["kind"] != "Namespace")) == []
    (daemonset,) = [each for each in objects if each["kind"] == "DaemonSet"]
    pod = daemonset["spec"]["template"]["spec"]
    assert (daemonset["metadata"]["namespace"], pod["containers"][0]["image"], pod["priorityClassName"]) == (
        WAYS[kubectl].get("namespace", "nsagent"),
        "registry.example/nsagent:9",
        "mine",
    )
    assert len(objects) == len(parse_objects((MANIFESTS / "install.yaml").read_text()))
