"""The situations of the machine: units of every kind, what the kernel holds itself, odd protocols, containers.

Nothing is ended or removed: the machine ends with its checks.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.live.deadlines import until
from tests.live.images import make_busybox_layer
from tests.live.nsagent_cli import NSAGENT

HOLD: Final = (sys.executable, str(Path(__file__).with_name("hold.py")))
IMAGE: Final = "localhost/nsagent-vm:1"
PLAIN_UID: Final = 65534
STREET, TUNNELS = "street", "tunnels"
"""Netns with a name: one with sockets of every protocol, one with the kernel's alone."""

UNITS: Final[dict[int, tuple[str, tuple[str, ...]]]] = {
    7001: ("vm-plain.service", ()),
    7002: ("vm-dynamic.service", ("DynamicUser=yes",)),
    7003: ("vm-users.service", ("PrivateUsers=yes", "ProtectSystem=strict")),
    7004: ("vm-network.service", ("PrivateNetwork=yes",)),
    7005: ("vm-proc.service", ("ProtectProc=invisible", "ProcSubset=pid", "User=nobody")),
    7006: ("vm-template@one.service", ("Slice=vm-slice.slice",)),
}
"""The unit that listens on each port, and what is set for it."""

ACTIVATED, WAITING = 7007, 7008
"""Ports of sockets that PID 1 holds: with the service that was started, and without."""

SPECS: Final = (
    *("pair,sctp,127.0.0.1,5000", "pair,sctp,::1,5001", "listen,sctp,::,5002"),
    *("pair,mptcp,127.0.0.1,6000", "pair,tcp,127.0.0.1,6001", "pair,tcp,::1,6002"),
    *("bind,udp,127.0.0.1,6003", "bind,udplite,127.0.0.1,6004", "bind,ping,127.0.0.1,77"),
    *("bind,raw,127.0.0.1,1", "bind,raw,::1,58", "bind,packet,lo,3", "unbound,tcp,127.0.0.1,0"),
)
QUEUE: Final = 6005
"""The port on which a plain user's listener does not accept."""

KERNEL_PORTS: Final = {"vxlan": 4789, "geneve": 6081, "fou": 5555, "l2tp": 1701, "wireguard": 51820}
BESIDE: Final = 51821
"""The port beside WireGuard's of a socket that looks like its own."""
NFS, VRF, VSOCK = 2049, 7009, 1024
CONNECTIONS: Final = 2
"""Of the NFS client with its server."""
PODMAN = "unix:///run/podman/podman.sock"
CONTAINERS: Final = {"docker-web": 8001, "podman-web": 8002}


def run(*command: str) -> str:
    """What a command says; raises RuntimeError with its complaint."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def start_unit(name: str, specs: Sequence[str], *properties: str, before: Sequence[str] = ()) -> None:
    """A service that holds sockets; it has them when this returns."""
    options = [f"--property={each}" for each in ("Type=notify", "NotifyAccess=all", *properties)]
    run("systemd-run", "--quiet", f"--unit={name}", *options, "--", *before, *HOLD, *specs)


def as_service(*properties: str) -> list[str]:
    """nsagent as a service of systemd with these properties, whose output and status are one's own."""
    options = [f"--property={each}" for each in properties]
    return ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", *options, "--", *NSAGENT]


def build() -> None:
    """Make all of it."""
    for port, (unit, properties) in UNITS.items():
        start_unit(unit, [f"listen,tcp,127.0.0.1,{port}"], *properties)
    activate()
    run("ip", "link", "add", "red", "type", "vrf", "table", "10")
    run("ip", "link", "set", "red", "up")
    run("modprobe", "vsock_loopback")
    start_unit("vm-vrf", [f"listen,tcp,0.0.0.0,{VRF},red", f"pair,vsock,1,{VSOCK}"])
    run("ip", "netns", "add", STREET)
    run("ip", "-n", STREET, "link", "set", "lo", "up")
    run("ip", "netns", "exec", STREET, "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
    inside = ("ip", "netns", "exec", STREET)
    start_unit("vm-street", SPECS, before=inside)
    start_unit("vm-queue", [f"queue,tcp,127.0.0.1,{QUEUE}"], before=(*inside, "setpriv", f"--reuid={PLAIN_UID}", "--"))
    dig_tunnels()
    serve_nfs()
    run_containers()


def activate() -> None:
    """A socket unit whose service was started, and one whose was not; PID 1 goes on holding both."""
    for port, name in ((ACTIVATED, "vm-activated"), (WAITING, "vm-waiting")):
        run(
            *("systemd-run", "--quiet", f"--unit={name}", f"--socket-property=ListenStream=127.0.0.1:{port}"),
            *("--property=Type=notify", "--", *HOLD, "passed"),
        )
    run("systemctl", "start", "vm-activated.service")


def dig_tunnels() -> None:
    """What the kernel holds itself, in a netns without a process, and a socket beside it that nobody seems to hold."""
    run("modprobe", "--all", "fou", "l2tp_netlink")
    run("ip", "netns", "add", TUNNELS)
    ip = ("ip", "-n", TUNNELS)
    ports = KERNEL_PORTS
    run(*ip, "link", "set", "lo", "up")
    run(*ip, *f"link add vx type vxlan id 7 dstport {ports['vxlan']} local 127.0.0.1".split())
    run(*ip, *f"link add gnv type geneve id 7 remote 127.0.0.1 dstport {ports['geneve']}".split())
    run(*ip, *["link", "add", "wg", "type", "wireguard"])
    run("ip", "netns", "exec", TUNNELS, "wg", "set", "wg", "listen-port", str(ports["wireguard"]))
    for device in ("vx", "gnv", "wg"):
        run(*ip, "link", "set", device, "up")
    run(*ip, *f"fou add port {ports['fou']} ipproto 47".split())
    tunnel = "l2tp add tunnel tunnel_id 1 peer_tunnel_id 1 encap udp local 127.0.0.1 remote 127.0.0.1"
    run(*ip, *f"{tunnel} udp_sport {ports['l2tp']} udp_dport 1702".split())
    start_unit("vm-beside", [f"hide,udp,0.0.0.0,{BESIDE},{TUNNELS}"])


def serve_nfs() -> None:
    """An NFS server in the kernel, in the host's netns, and a client; without rpcbind, so of version 4 alone.

    Beside the client's two connections there is one that nobody is seen to hold.
    """
    run("modprobe", "nfsd")
    if not os.path.ismount("/proc/fs/nfsd"):
        run("mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd")
    run("rpc.nfsd", "-N", "3", "1")
    run("systemd-run", "--quiet", "--unit=vm-mountd", "--", "rpc.mountd", "-F", "-N", "2", "-N", "3")
    run("mount", "-t", "tmpfs", "none", "/srv")
    run("exportfs", "-o", "rw,insecure,fsid=0", "*:/srv")
    run("mount", "-t", "nfs4", "-o", f"nconnect={CONNECTIONS}", "127.0.0.1:/", "/mnt")
    start_unit("vm-client", [f"hide,tcp,127.0.0.1,{NFS}"])


def run_containers() -> None:
    """One of Docker and one of podman, on their bridges, by the engines as the distribution configures them."""
    run("systemctl", "start", "docker.service")
    # That of podman.service ends when it has been idle for 5 s.
    service = ("podman", "system", "service", "--time=0", PODMAN)
    run("systemd-run", "--quiet", "--unit=vm-podman", "--property=RuntimeDirectory=podman", "--", *service)
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        archive.write(make_busybox_layer())
        archive.flush()
        for engine in ("docker", "podman"):
            run(engine, "import", archive.name, IMAGE)
            name = f"{engine}-web"
            run(engine, "run", "--detach", "--name", name, IMAGE, "httpd", "-f", "-p", str(CONTAINERS[name]))
    for name, port in CONTAINERS.items():
        until(lambda name=name, port=port: is_listening(name, port), f"{name} listens")  # type: ignore[misc]


def is_listening(name: str, port: int) -> bool:
    """Whether that container listens on its port."""
    pid = run(name.partition("-")[0], "inspect", "--format", "{{.State.Pid}}", name).strip()
    return f":{port:04X} " in Path(f"/proc/{pid}/net/tcp6").read_text() + Path(f"/proc/{pid}/net/tcp").read_text()
