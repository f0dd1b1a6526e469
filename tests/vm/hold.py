"""`hold.py SPEC...`: make sockets, tell systemd that they are there (sd_notify(3)), and keep them.

A SPEC is HOW,PROTOCOL,ADDRESS,PORT[,DEVICE]. HOW is `bind`, `listen`, `pair` (a connection, both ends
held), `queue` (a connection that is never accepted), `unbound`, or `hide` (a socket like those of the kernel, of UDP
bound there, of TCP connected from the port HIDDEN, that only a message in transit holds; the name of a netns to make it
in may take the place of DEVICE); `passed` alone takes what systemd has passed. Of raw and packet sockets PORT is the
number of the protocol.
"""

import ctypes
import os
import signal
import socket
import sys

KINDS = {
    "tcp": (socket.SOCK_STREAM, 0),
    "mptcp": (socket.SOCK_STREAM, 262),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
    "udp": (socket.SOCK_DGRAM, 0),
    "udplite": (socket.SOCK_DGRAM, socket.IPPROTO_UDPLITE),
    "ping": (socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
}
FIRST_PASSED = 3
HIDDEN = 7010
SO_SNDBUFFORCE, CLONE_NEWNET = 32, 0x40000000
MOST = 0x7FFFFFFF


def make(protocol: str, address: str, port: int) -> socket.socket:
    """A socket for that address, not bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if protocol == "packet":
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(port))
    if protocol == "vsock":
        return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    if protocol == "raw":
        return socket.socket(family, socket.SOCK_RAW, port)
    return socket.socket(family, *KINDS[protocol])


def place(protocol: str, address: str, port: int) -> tuple[str | int, int]:
    """What bind(2) and connect(2) of that protocol take."""
    if protocol == "packet":
        return address, port
    return (int(address) if protocol == "vsock" else address), (0 if protocol == "raw" else port)


def grow(made: socket.socket) -> None:
    """Give a UDP socket all that tells those of tunnels from others, as far as root can."""
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    made.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, MOST)


def make_inside(netns: str, protocol: str, address: str, port: int) -> socket.socket:
    """A socket in a netns with a name, in which this process does not stay."""
    libc = ctypes.CDLL(None)
    here, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(f"/run/netns/{netns}", os.O_RDONLY)
    libc.setns(there, CLONE_NEWNET)
    made = make(protocol, address, port)
    libc.setns(here, CLONE_NEWNET)
    os.close(here)
    os.close(there)
    return made


def hide(protocol: str, address: str, port: int, netns: str) -> list[socket.socket]:
    """The ends of the connection that a socket is in transit over."""
    with make_inside(netns, protocol, address, port) if netns else make(protocol, address, port) as made:
        if protocol == "udp":
            made.bind((address, port))
            grow(made)
        else:
            made.bind((address, HIDDEN))
            made.connect((address, port))
        ends = socket.socketpair()
        socket.send_fds(ends[0], [b"x"], [made.fileno()])
    return list(ends)


def hold(how: str, protocol: str, address: str, port_text: str, device: str = "") -> list[socket.socket]:
    """The sockets of one SPEC."""
    port = int(port_text)
    if how == "hide":
        return hide(protocol, address, port, device)
    first = make(protocol, address, port)
    if device:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    if how == "unbound":
        return [first]
    first.bind(place(protocol, address, port))
    if how == "bind":
        return [first]
    first.listen()
    if how == "listen":
        return [first]
    client = make(protocol, address, port)
    client.connect(place(protocol, address, port))
    return [first, client] if how == "queue" else [first, client, first.accept()[0]]


def main() -> None:
    kept = []
    for spec in sys.argv[1:]:
        if spec == "passed":
            kept += [socket.socket(fileno=FIRST_PASSED + number) for number in range(int(os.environ["LISTEN_FDS"]))]
        else:
            kept += hold(*spec.split(","))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    signal.pause()


if __name__ == "__main__":
    main()
