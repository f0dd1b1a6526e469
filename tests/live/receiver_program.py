"""Opens sockets that share a port, sends something to it, and says which of them the kernel has given it to.

Run as a script, with the paths of two netns, near and far, that a veth pair of these names joins. One JSON request is
on stdin: `sets`, a list of lists of sockets, and `probes`, a list of [netns, address, interface]. Its answer on stdout
is the inodes of the sockets of each set (null for one that the kernel refused), and for each set and probe the inodes
of those that got what was sent, null where nobody did.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import socket
import sys
from typing import Any

CLONE_NEWNET = 0x40000000
ATTEMPTS = 3
SECONDS = 20.0
FIRST_PORT = 20000
TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
REUSE = {"addr": socket.SO_REUSEADDR, "port": socket.SO_REUSEPORT}


def enter(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


def resolve(address: str, port: int) -> Any:
    return socket.getaddrinfo(address, port, flags=socket.AI_NUMERICHOST)[0][4]


def open_one(wanted: dict[str, Any], port: int) -> socket.socket | None:
    """A socket of the near netns, listening if that is its way; None where the kernel refuses it."""
    address = wanted["address"]
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, TYPES[wanted["protocol"]])
    try:
        if made.family is socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, wanted["v6only"])
        if wanted["reuse"]:
            made.setsockopt(socket.SOL_SOCKET, REUSE[wanted["reuse"]], 1)
        if wanted["device"]:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, wanted["device"].encode())
        made.bind(resolve(address, port))
        if wanted["remote"]:
            made.connect(resolve(wanted["remote"], 9))
        elif wanted["protocol"] == "tcp":
            made.listen()
    except OSError:
        made.close()
        return None
    made.setblocking(False)
    return made


def wait(sockets: list[socket.socket]) -> list[socket.socket]:
    """Those of which something can be read, once there is one; not by select(2), which knows no high fds."""
    poller = select.poll()
    for one in sockets:
        poller.register(one, select.POLLIN)
    ready = {fd for fd, _ in poller.poll(SECONDS * 1000)}
    return [one for one in sockets if one.fileno() in ready]


def take(waiting: list[socket.socket], client: socket.socket) -> socket.socket | None:
    """Who has got what this client sent; None where it is told that nobody has."""
    ready = wait([*waiting, client])
    got = [one for one in ready if one is not client]
    if len(got) > 1 or not ready:
        raise RuntimeError(f"{len(got)} sockets got it, and there was {'an' if ready else 'no'} answer")
    for one in got:
        if one.type == socket.SOCK_STREAM:
            one.accept()[0].close()
        else:
            one.recv(16)
        return one
    return None


def probe(waiting: list[socket.socket], protocol: str, address: str, port: int) -> socket.socket | None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, TYPES[protocol]) as client:
        client.settimeout(SECONDS)
        try:
            client.connect(resolve(address, port))
            if protocol == "udp":
                client.send(b"x")
        except ConnectionRefusedError:
            return None
        return take(waiting, client)


def list_inodes(sockets: list[socket.socket | None]) -> list[int | None]:
    return [None if one is None else os.fstat(one.fileno()).st_ino for one in sockets]


def main() -> None:
    near, far = sys.argv[1:]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    request = json.loads(sys.stdin.readline())
    enter(near)
    for name in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit", "ipv4/icmp_msgs_burst", "ipv4/icmp_msgs_per_sec"):
        # It is told that nobody waits each time, and the sysctls of all netns are left alone.
        with contextlib.suppress(OSError), open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
            file.write("0" if "ratelimit" in name else "100000")
    made = [
        [open_one(wanted, FIRST_PORT + number) for wanted in sockets] for number, sockets in enumerate(request["sets"])
    ]
    got: list[list[list[int | None]]] = [[] for _ in made]
    for netns, address, _ in request["probes"]:
        enter({"near": near, "far": far}[netns])
        for number, sockets in enumerate(made):
            waiting = [one for one in sockets if one is not None]
            protocol = request["sets"][number][0]["protocol"]
            takers = [probe(waiting, protocol, address, FIRST_PORT + number) for _ in range(ATTEMPTS)]
            got[number].append(list_inodes(takers))
    inodes = [list_inodes(sockets) for sockets in made]
    print(json.dumps({"inodes": inodes, "got": got}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
