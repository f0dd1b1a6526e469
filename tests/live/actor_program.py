"""A process that makes sockets on request and says exactly what it holds.

Run as a script, never imported by a test: one JSON request a line on stdin, one JSON answer a
line on stdout. It ends with its parent, or when stdin closes. What it reports (pid, fd, inode,
addresses) comes from its own system calls: it is the ground truth of the live tests.
"""

import collections
import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME = 1, 4, 15
CLONE_FILES = 0x400
CLONE_NEWNET = 0x40000000
SO_SNDBUFFORCE = 32
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
SYS_IO_URING_SETUP, SYS_IO_URING_REGISTER, IORING_REGISTER_FILES, IO_URING_PARAMS_BYTES = 425, 427, 2, 120
IORING_REGISTER_RING_FDS, ANY_INDEX = 20, 0xFFFFFFFF
FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

Answer = dict[str, Any]


def call_libc(name: str, *arguments: Any) -> None:
    """Call a function of libc that gives 0; raises OSError with its errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


class Actor:
    """The sockets of this process by fd, and its forked children."""

    def __init__(self) -> None:
        self.sockets: dict[int, socket.socket] = {}
        self.children: list[int] = []
        self.parent_ended, self.parent_alive = os.pipe()

    def keep(self, sock: socket.socket) -> Answer:
        """Hold a socket from now on; returns what it is."""
        self.sockets[sock.fileno()] = sock
        protocol = "tcp" if sock.type == socket.SOCK_STREAM else "udp"
        try:
            remote = list(sock.getpeername()[:2])
        except OSError:
            remote = None
        return {
            "pid": os.getpid(),
            "fd": sock.fileno(),
            "inode": os.fstat(sock.fileno()).st_ino,
            "protocol": protocol,
            "local": list(sock.getsockname()[:2]),
            "remote": remote,
        }

    def bind(
        self, protocol: str, family: str, address: str, port: int, v6only: bool | None, device: str | None
    ) -> socket.socket:
        """A new bound socket; IPV6_V6ONLY and SO_BINDTODEVICE are set before, where asked for."""
        sock = socket.socket(FAMILIES[family], TYPES[protocol])
        if v6only is not None:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
        if device is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.bind((address, port))
        return sock

    def listen(self, backlog: int, **where: Any) -> Answer:
        sock = self.bind("tcp", **where)
        sock.listen(backlog)
        return self.keep(sock)

    def listen_many(self, count: int, **where: Any) -> list[Answer]:
        return [self.listen(backlog=1, **where) for _ in range(count)]

    def udp(self, **where: Any) -> Answer:
        return self.keep(self.bind("udp", **where))

    def hold_scope(self, protocol: str, scope: int) -> Answer:
        """A socket bound to a device that is not there: by a connection that failed, after which TCP can listen."""
        sock = socket.socket(socket.AF_INET6, TYPES[protocol])
        with contextlib.suppress(OSError):
            sock.connect(("fe80::1", 9, 0, scope))
        if protocol == "tcp":
            sock.bind(("::", 0))
            sock.listen()
        return self.keep(sock)

    def bound(self, **where: Any) -> Answer:
        """A TCP socket that is bound and does nothing else: in no table but with bit 13."""
        return self.keep(self.bind("tcp", **where))

    def connect(self, fd: int | None, family: str, address: str, port: int, wait: bool) -> Answer:
        """Connect a new TCP socket, or the held (UDP) socket `fd`."""
        sock = socket.socket(FAMILIES[family], socket.SOCK_STREAM) if fd is None else self.sockets[fd]
        if wait:
            sock.connect((address, port))
        else:
            sock.setblocking(False)
            sock.connect_ex((address, port))
        return self.keep(sock)

    def accept(self, fd: int) -> Answer:
        return self.keep(self.sockets[fd].accept()[0])

    def shutdown(self, fd: int) -> None:
        self.sockets[fd].shutdown(socket.SHUT_WR)

    def close(self, fds: list[int]) -> None:
        for fd in fds:
            self.sockets.pop(fd).close()

    def dup(self, fd: int) -> Answer:
        return self.keep(self.sockets[fd].dup())

    def fork(self) -> int:
        """A child that holds the same sockets at the same fds, until this process ends.

        It waits for the end of a pipe: a parent that has dropped its uid may send it no signal.
        """
        pid = os.fork()
        if pid == 0:
            for fd in (0, 1, self.parent_alive):
                os.close(fd)
            os.read(self.parent_ended, 1)
            os._exit(0)
        self.children.append(pid)
        return pid

    def send_fd(self, fd: int, path: str) -> None:
        """Pass a socket by SCM_RIGHTS to the actor that waits in `receive_fd` at `path`."""
        deadline = time.monotonic() + 60
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            while channel.connect_ex(path) != 0:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"nobody listens at {path}")
                time.sleep(0.01)
            socket.send_fds(channel, [b"x"], [fd])
            channel.recv(1)

    def receive_fd(self, path: str) -> Answer:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            listener.listen(1)
            channel, _ = listener.accept()
            with channel:
                _, fds, _, _ = socket.recv_fds(channel, 1, 1)
                channel.sendall(b"x")
        os.unlink(path)
        return self.keep(socket.socket(fileno=fds[0]))

    def send(self, fd: int, count: int) -> None:
        self.sockets[fd].sendall(bytes(count))

    def listen_shared(self, port: int) -> Answer:
        """A listener that lets others listen on the same port, its own user's beside it, and any once it is closed."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for option in (socket.SO_REUSEPORT, socket.SO_REUSEADDR):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(16)
        return self.keep(sock)

    def connect_from(self, local_port: int, port: int) -> Answer:
        """A connection from a port that others may listen on (SO_REUSEPORT)."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", local_port))
        sock.connect(("127.0.0.1", port))
        return self.keep(sock)

    def make_transparent(self, fd: int) -> None:
        """Let a socket use addresses that are none of this netns, as transparent proxies do."""
        self.sockets[fd].setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)

    def await_data(self, fd: int) -> None:
        """Let a listener complete handshakes only when data come: until then they are in SYN_RECV."""
        self.sockets[fd].setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60)

    def fill(self, fd: int) -> None:
        """Send until nothing more goes; what is closed then is an orphan, as it still has to send."""
        self.sockets[fd].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sockets[fd].send(bytes(1 << 16))

    def leave_in_flight(self, fd: int | None) -> None:
        """Put a socket, or any file, into the queue of a unix socket, and close it."""
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sockets.update((end.fileno(), end) for end in pair)
        socket.send_fds(pair[0], [b"x"], [0 if fd is None else fd])
        if fd is not None:
            self.close([fd])

    def resemble(self, fd: int) -> None:
        """Make a socket like those of tunnels: no multicast loop, and as much room to send as root can give."""
        self.sockets[fd].setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        self.sockets[fd].setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 0x7FFFFFFF)

    def leave_in_ring(self, fd: int, close_ring: bool) -> int:
        """Register a socket with a new io_uring and close its fd; the fd of the ring.

        That is kept, or closed: the thread can then use the ring by the number under which it is registered.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        ring = libc.syscall(SYS_IO_URING_SETUP, 1, ctypes.create_string_buffer(IO_URING_PARAMS_BYTES))
        if ring < 0:
            raise OSError(ctypes.get_errno(), "io_uring_setup")
        if libc.syscall(SYS_IO_URING_REGISTER, ring, IORING_REGISTER_FILES, (ctypes.c_int * 1)(fd), 1) != 0:
            raise OSError(ctypes.get_errno(), "io_uring_register")
        if close_ring:
            update = ctypes.create_string_buffer(struct.pack("=IIQ", ANY_INDEX, 0, ring))
            if libc.syscall(SYS_IO_URING_REGISTER, ring, IORING_REGISTER_RING_FDS, update, 1) != 1:
                raise OSError(ctypes.get_errno(), "io_uring_register of the ring")
            os.close(ring)
        self.close([fd])
        return int(ring)

    def exchange(self, fd: int, text: str) -> None:
        """Send the text and read until the other end closes."""
        self.sockets[fd].sendall(text.encode())
        while self.sockets[fd].recv(1 << 16):
            pass

    def hold_netns(self, path: str) -> int:
        """Keep an fd on the netns at `path`."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def listen_in_thread_netns(self) -> Answer:
        """A listener made by a thread that has moved to a new netns and stays there."""
        answers: list[Answer] = []
        made = threading.Event()

        def live_apart() -> None:
            self.unshare_net()
            raise_loopback()
            where = {"family": "ipv4", "address": "127.0.0.1", "port": 0, "v6only": None, "device": None}
            netns = os.stat("/proc/thread-self/ns/net").st_ino
            answers.append({**self.listen(backlog=1, **where), "netns": netns})
            made.set()
            threading.Event().wait()

        threading.Thread(target=live_apart, daemon=True).start()
        made.wait(60)
        return answers[0]

    def listen_in_thread_apart(self, threads: int) -> Answer:
        """A listener in a netns that nothing leads to but a thread with an fd table of its own, one among many."""
        answers: list[Answer] = []
        made = threading.Event()

        def live_apart() -> None:
            call_libc("unshare", CLONE_FILES | CLONE_NEWNET)
            raise_loopback()
            sock = self.bind("tcp", "ipv4", "127.0.0.1", 0, None, None)
            sock.listen(1)
            netns = os.stat("/proc/thread-self/ns/net").st_ino
            tid = threading.get_native_id()
            answers.append({"inode": os.fstat(sock.fileno()).st_ino, "fd": sock.fileno(), "tid": tid, "netns": netns})
            made.set()
            threading.Event().wait()

        for _ in range(threads):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        threading.Thread(target=live_apart, daemon=True).start()
        made.wait(60)
        return answers[0]

    def open_unbound(self, count: int) -> None:
        """So many sockets that stand in no table."""
        for _ in range(count):
            sock = socket.socket()
            self.sockets[sock.fileno()] = sock

    def listen_vsock(self) -> Answer:
        """A listener of AF_VSOCK."""
        sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        sock.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        sock.listen()
        return self.keep(sock)

    def churn(self, fd: int, peer_port: int, per_second: int) -> Answer:
        """Open and close connections to `peer_port` and serve listener `fd` until a line comes.

        Returns the inodes of all sockets this process had meanwhile and how many it opened.
        """
        return Churn(self.sockets[fd], peer_port, per_second).run()

    def greet(self) -> int:
        """Answered once this process is where it was started for: its PID there."""
        return os.getpid()

    def stop(self) -> None:
        """The line that ends `churn`."""

    def unshare_net(self) -> None:
        call_libc("unshare", CLONE_NEWNET)

    def enter_netns(self, path: str) -> None:
        enter_netns(path)

    def raise_loopback(self) -> None:
        raise_loopback()

    def rename(self, comm: str) -> None:
        """Set the comm; latin-1 text stands for bytes, so that any byte can be given."""
        call_libc("prctl", PR_SET_NAME, ctypes.c_char_p(comm.encode("latin-1")), 0, 0, 0)

    def become(self, uid: int) -> None:
        """Drop to an ordinary uid, staying readable for that uid."""
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        call_libc("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)
        die_with_parent()


class Churn:
    """Short connections at a steady rate, each closed by its client after LIFE_SECONDS."""

    LIFE_SECONDS = 0.05

    def __init__(self, listener: socket.socket, peer_port: int, per_second: int) -> None:
        self.listener = listener
        self.peer_port = peer_port
        self.per_second = per_second
        self.inodes: list[int] = []
        self.clients: collections.deque[tuple[float, socket.socket]] = collections.deque()
        self.served: dict[int, socket.socket] = {}

    def note(self, sock: socket.socket) -> socket.socket:
        self.inodes.append(os.fstat(sock.fileno()).st_ino)
        return sock

    def connect(self) -> socket.socket:
        """A connection to the peer, or what would be one: a stopped peer with a full queue holds up nobody."""
        client = self.note(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", self.peer_port))
        return client

    def run(self) -> Answer:
        started, opened = time.monotonic(), 0
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self.listener, select.POLLIN)
        while True:
            for fd, _ in poll.poll(1):
                if fd == 0:
                    return {"inodes": self.inodes, "opened": opened}
                if fd == self.listener.fileno():
                    accepted = self.note(self.listener.accept()[0])
                    self.served[accepted.fileno()] = accepted
                    poll.register(accepted, select.POLLIN)
                else:
                    poll.unregister(fd)
                    self.served.pop(fd).close()
            now = time.monotonic()
            while self.clients and self.clients[0][0] < now:
                self.clients.popleft()[1].close()
            if opened < (now - started) * self.per_second:
                self.clients.append((now + self.LIFE_SECONDS, self.connect()))
                opened += 1


def die_with_parent() -> None:
    call_libc("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def enter_netns(path: str) -> None:
    """Move this process (one thread) into the netns at `path`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        call_libc("setns", fd, CLONE_NEWNET)
    finally:
        os.close(fd)


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def main() -> None:
    """Answer requests until stdin closes; argv may hold the path of a netns to start in."""
    die_with_parent()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if len(sys.argv) > 1:
        enter_netns(sys.argv[1])
        raise_loopback()
    actor = Actor()
    for line in sys.stdin:
        request = json.loads(line)
        ask: Callable[..., Any] = getattr(actor, request.pop("do"))
        try:
            answer: Answer = {"ok": ask(**request)}
        except OSError as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    os.close(actor.parent_alive)
    for pid in actor.children:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
