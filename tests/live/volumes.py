"""Volumes of a pod, made on a node as a kubelet makes them.

Source: kubelet's pkg/volume: hostpath, configmap with util/atomic_writer.go, and emptydir.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Mapping

from tests.live.manifest import Fields, Manifest, known, read_quantity
from tests.live.node_bed import NodeBed

CONFIG_MAP_MODE = 0o644
DATA = "..data"


def make_volumes(bed: NodeBed, manifest: Manifest, uid: str) -> dict[str, str]:
    """Where each volume of a pod is on the node, by its name."""
    made: dict[str, str] = {}
    for volume in manifest.volumes:
        name, (kind,) = volume["name"], volume.keys() - {"name"}
        directory = f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~{kind.lower()}/{name}"
        made[name] = _MAKERS[kind](bed, manifest, volume[kind], directory)
    return made


def write_config_map(directory: str, files: Mapping[str, str], mode: int = CONFIG_MAP_MODE) -> None:
    """Put these files in the place of those before, at once: ..data links to a directory, and then to another one."""
    before = os.path.realpath(os.path.join(directory, DATA))
    content = f"..{uuid.uuid4().hex}"
    os.makedirs(os.path.join(directory, content))
    for name, text in files.items():
        path = os.path.join(directory, content, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        if not os.path.islink(link := os.path.join(directory, name)):
            os.symlink(os.path.join(DATA, name), link)
    new = os.path.join(directory, f"{DATA}_tmp")
    os.symlink(content, new)
    os.rename(new, os.path.join(directory, DATA))
    if os.path.basename(before) != DATA:
        shutil.rmtree(before)


def _use_host_path(bed: NodeBed, _: Manifest, source: Fields, __: str) -> str:
    path = known(source, {"path", "type"})["path"]
    seen = f"{bed.root}{path}"
    if source["type"] == "DirectoryOrCreate":
        os.makedirs(seen, 0o755, exist_ok=True)
    assert source["type"] in ("Directory", "DirectoryOrCreate")
    assert os.path.isdir(seen), path
    return str(path)


def _make_config_map(bed: NodeBed, manifest: Manifest, source: Fields, directory: str) -> str:
    known(source, {"name", "defaultMode"})
    mode = source.get("defaultMode", CONFIG_MAP_MODE)
    write_config_map(f"{bed.root}{directory}", manifest.config_maps[source["name"]], mode)
    return directory


def _make_empty_dir(bed: NodeBed, _: Manifest, source: Fields, directory: str) -> str:
    known(source, {"medium", "sizeLimit"})
    os.makedirs(f"{bed.root}{directory}")
    if source.get("medium") == "Memory":
        size = int(read_quantity(source["sizeLimit"]))
        bed.run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory)
    os.chmod(f"{bed.root}{directory}", 0o777)  # noqa: S103 - as a kubelet does
    return directory


_MAKERS: Mapping[str, Callable[[NodeBed, Manifest, Fields, str], str]] = {
    "hostPath": _use_host_path,
    "configMap": _make_config_map,
    "emptyDir": _make_empty_dir,
}
