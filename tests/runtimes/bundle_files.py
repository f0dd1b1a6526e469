"""Bundles to read: those of the fixtures, and such as a test writes."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nsagent.model.container import Container, NameState, Runtime
from nsagent.model.ids import ContainerId
from nsagent.runtimes.bundles import BundleSource

FIXTURES = Path(__file__).parents[2] / "fixtures" / "bundles"
RECORDED = FIXTURES / "containerd-1.6/k8s.io/af456ee9e1d7100a0708fd7d6bfbc05045ae4ce483b4054dd90a6cff74c3edcf"
ID = "0123456789abcdef" * 4
OTHER_ID = "fedcba9876543210" * 4
CRI = "io.kubernetes.cri."
CRIO = "io.kubernetes.cri-o."


NERDCTL_STORE = "var/lib/nerdctl/1935db59"


def list_of(directory: Path) -> tuple[Container, ...]:
    """What the bundles in a directory tell; the root of their host is `host` in it."""
    return BundleSource(str(directory), root=str(directory / "host")).list_containers()


def make_as(name: str, namespace: str = "default", id_: str = ID) -> dict[str, str]:
    """What nerdctl annotates of a container."""
    return {"nerdctl/name": name, "nerdctl/state-dir": f"/{NERDCTL_STORE}/containers/{namespace}/{id_}"}


def call(directory: Path, name: str, namespace: str = "default", id_: str = ID) -> Path:
    """The file by which nerdctl calls a container so."""
    path = directory / "host" / NERDCTL_STORE / "names" / namespace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(id_)
    return path


def put(directory: Path, namespace: str | None, annotations: object, id_: str = ID, **files: str) -> Path:
    """A bundle in the layout of containerd, or without a namespace in that of CRI-O; where it is."""
    bundle = directory / id_ / "userdata" if namespace is None else directory / namespace / id_
    bundle.mkdir(parents=True)
    (bundle / "config.json").write_text(json.dumps({"ociVersion": "1.0.2", "annotations": annotations}))
    for name, text in files.items():
        (bundle / name.replace("_", "-")).write_text(text)
    return bundle


def only(directory: Path) -> Container:
    (container,) = list_of(directory)
    return container


def record(name: str | None, runtime: Runtime | None = Runtime.CONTAINERD, id_: str = ID, **told: Any) -> Container:
    state = NameState.UNKNOWN if name is None else NameState.KNOWN
    return Container(ContainerId(id_), name, state, runtime, told.pop("image", None), True, "bundles", **told)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything, if this is root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
