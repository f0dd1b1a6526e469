"""Images made of busybox alone, as `docker save` writes them: nothing comes from a registry.

Source: https://github.com/moby/docker-image-spec (the layout with manifest.json, which every
engine still loads) and the OCI image configuration.
"""

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tests.live.capabilities import find_program

APPLETS = ("sh", "httpd", "nc", "sleep", "ip", "cat", "tail", "sort")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class Image(NamedTuple):
    """What to call an image, what it runs if nothing else is said, and the environment of that."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


def make_archive(images: Sequence[Image]) -> bytes:
    """A docker-archive with these images, which share one layer."""
    layer = make_busybox_layer()
    layer_name = f"{hashlib.sha256(layer).hexdigest()}.tar"
    files = {layer_name: layer}
    manifest = []
    for image in images:
        config = _configuration(image, layer)
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        files[config_name] = config
        manifest.append({"Config": config_name, "RepoTags": [image.name], "Layers": [layer_name]})
    files["manifest.json"] = json.dumps(manifest).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _configuration(image: Image, layer: bytes) -> bytes:
    """The OCI configuration of an image with that one layer."""
    machine = platform.machine()
    return json.dumps(
        {
            "architecture": _ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {
                "Env": ["PATH=/bin", *(f"{name}={value}" for name, value in image.environment.items())],
                "Cmd": list(image.command),
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()


def make_busybox_layer() -> bytes:
    """A root file system as a tar: busybox and a few of its names."""
    busybox = find_program("busybox")
    assert busybox is not None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(os.path.realpath(busybox), "bin/busybox")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()
