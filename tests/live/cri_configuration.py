"""What configures the containerd of a bed, and the network of its pods.

Source: containerd-config.toml(5), and the bridge and host-local plugins of CNI.
"""

import json
import os
from typing import NamedTuple

from tests.live.capabilities import find_cni_directory

PAUSE_IMAGE = "docker.io/nsagent-live/pause:1"
SUBNET = "10.214.0.0/16"

CONFIG = """\
version = 2
root = "{root}"
state = "{state}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_directory}"
    conf_dir = "{directory}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    # Needs no file system in particular, where overlayfs does not lie on another one.
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


class Places(NamedTuple):
    """Where the node of a bed has what a node has: as containerd sees it."""

    root: str
    """Of containerd: images, and the root file systems of containers."""
    state: str
    """Of containerd: bundles are below."""
    socket: str
    log: str
    """With the directories `pods` and `containers`."""


def write_configuration(directory: str, places: Places) -> None:
    """The configuration of containerd and of CNI, into the directory of a bed."""
    os.makedirs(f"{directory}/cni")
    with open(f"{directory}/config.toml", "w", encoding="utf-8") as file:
        file.write(
            CONFIG.format(
                directory=directory,
                root=places.root,
                state=places.state,
                socket=places.socket,
                pause_image=PAUSE_IMAGE,
                cni_directory=find_cni_directory(),
            )
        )
    ranges = [[{"subnet": SUBNET}]]
    ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "ipam": ipam}
    with open(f"{directory}/cni/10-pods.conflist", "w", encoding="utf-8") as file:
        json.dump({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}, file)
