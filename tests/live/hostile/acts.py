"""What a hostile process does, one act at a time, each drawn from a list by a seeded random.

Each method `act_...` is one, and what it may not do here raises OSError, which is nothing to it. All that an act
makes ends with the PID namespace that the process is in, or with its mount namespace.
"""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from tests.live.hostile import calls, fuse

MOST_SOCKETS, MOST_NETNS, MOST_PLACES, MOST_CHILDREN, MOST_THREADS = 150, 20, 300, 8, 60
SWAP_SECONDS = 0.3
LONG_SECONDS = 1000.0
NAME_PARTS = (b"\n", b"\x1b]0;owned\x07", b"\x1b[2J", b") R 1 1", b"\t", b"\xff\xfe", b"\\012", b"sshd", b"\r", b"=1+1")
ADDRESSES = {
    socket.AF_INET: ("127.0.0.1", "0.0.0.0", "127.0.0.2"),
    socket.AF_INET6: ("::", "::1", "::ffff:127.0.0.1"),
}

Sockets = list[socket.socket]


class World(NamedTuple):
    """What a hostile process is told of its surroundings.

    `ports` and `ids` are those of honest listeners and containers, `names` those of honest netns. Nobody is to open
    `bait`, a FIFO that everybody could open, nor `trap`, that only root could. `tree` is an empty directory, `device`
    that of FUSE, `delegated` the cgroups that the user may change, `letters` unix addresses of all hostile processes.
    """

    ports: Sequence[int]
    ids: Sequence[str]
    names: Sequence[str]
    bait: str
    trap: str
    tree: str
    device: str
    delegated: Sequence[str]
    letters: Sequence[str]


def make_name(rng: random.Random, length: int) -> bytes:
    """A name that tries to act on a terminal, to end a line or to be the end of a field."""
    return b"".join(rng.choices(NAME_PARTS, k=4))[: rng.randint(1, length)]


class Hostile:
    """One such process, with what it holds."""

    def __init__(self, rng: random.Random, world: World) -> None:
        self.rng = rng
        self.world = world
        self.sockets: Sockets = []
        self.fds: list[int] = []
        self.netns: list[int] = []
        self.places: list[str] = []
        self.children: list[int] = []
        self.threads = 0
        self.bait = os.open(world.bait, os.O_PATH)

    def keep(self, *made: socket.socket) -> None:
        """Hold these, and for each that is too many drop any."""
        self.sockets += made
        while len(self.sockets) > MOST_SOCKETS:
            self.sockets.pop(self.rng.randrange(len(self.sockets))).close()

    def keep_fd(self, fd: int) -> None:
        self.fds.append(fd)
        while len(self.fds) > MOST_SOCKETS:
            os.close(self.fds.pop(self.rng.randrange(len(self.fds))))

    def any_socket(self) -> socket.socket:
        return self.rng.choice(self.sockets) if self.sockets else self.make_bound()

    def any_place(self) -> str:
        return self.rng.choice(self.places) if self.places else self.world.tree

    def make_bound(self, listening: bool = True) -> socket.socket:
        """A new socket at an honest port or any, and at an address that may be that of an honest listener too."""
        rng = self.rng
        family = rng.choice((socket.AF_INET, socket.AF_INET, socket.AF_INET6))
        kind = rng.choice((socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM))
        made = socket.socket(family, kind)
        self.keep(made)
        if rng.random() < 0.5:
            made.setsockopt(socket.SOL_SOCKET, rng.choice((socket.SO_REUSEPORT, socket.SO_REUSEADDR)), 1)
        made.bind((rng.choice(ADDRESSES[family]), rng.choice((0, *self.world.ports))))
        if listening and kind == socket.SOCK_STREAM:
            made.listen(rng.choice((0, 1, 16)))
        return made

    def fork(self, live: Callable[[], None]) -> int:
        """A child that does so and then stays; it ends at the latest with this process. Its PID."""
        pid = os.fork()
        if pid == 0:
            with suppress(BaseException):
                live()
                time.sleep(LONG_SECONDS)
            os._exit(0)
        self.children.append(pid)
        if len(self.children) > MOST_CHILDREN:
            self.end_child()
        return pid

    def end_child(self) -> None:
        pid = self.children.pop(self.rng.randrange(len(self.children)))
        os.kill(pid, signal.SIGKILL)
        if self.rng.random() < 0.8:  # The others stay as zombies.
            os.waitpid(pid, 0)

    def serve_fuse(self, fd: int) -> None:
        """Answer on this in a child, the only one that has it: when that ends, nobody waits for an answer any more."""
        manner = self.rng.choice(list(fuse.Manner))
        self.fork(lambda: fuse.serve(fd, manner))
        os.close(fd)

    def start_thread(self, live: Callable[[], None]) -> None:
        """A thread that does so, and then stays."""

        def run() -> None:
            with suppress(OSError):
                live()
            time.sleep(LONG_SECONDS)

        if self.threads < MOST_THREADS:
            self.threads += 1
            threading.Thread(target=run, daemon=True).start()

    def act_enter_new_netns(self) -> None:
        self.act_hold_netns()
        calls.unshare(calls.CLONE_NEWNET)
        if self.rng.random() < 0.9:
            calls.raise_loopback()
        self.act_hold_netns()

    def act_hold_netns(self) -> None:
        self.netns.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        while len(self.netns) > MOST_NETNS:
            os.close(self.netns.pop(self.rng.randrange(len(self.netns))))

    def act_enter_known_netns(self) -> None:
        if self.netns:
            calls.setns(self.rng.choice(self.netns), calls.CLONE_NEWNET)

    def act_enter_user_namespace(self) -> None:
        def live() -> None:
            calls.enter_user_namespace(0, calls.CLONE_NEWNET)
            calls.raise_loopback()
            self.make_several()

        self.fork(live)

    def act_bind(self) -> None:
        self.make_bound(listening=self.rng.random() < 0.8)

    def act_bind_many(self) -> None:
        for _ in range(self.rng.choice((10, 100))):
            self.make_bound()

    def act_connect(self) -> None:
        """To a listener of its own or of an honest process; whether it is ever accepted is left open."""
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.keep(made)
        made.setblocking(False)
        listener = self.any_socket()
        own = listener.getsockname()[1] if listener.family == socket.AF_INET else 0
        made.connect_ex((self.rng.choice(("127.0.0.1", "127.0.0.2")), self.rng.choice((own, own, *self.world.ports))))

    def act_accept(self) -> None:
        listener = self.any_socket()
        listener.setblocking(False)
        self.keep(listener.accept()[0])

    def act_close(self) -> None:
        for _ in range(self.rng.choice((1, 10, 100))):
            if self.sockets:
                self.sockets.pop(self.rng.randrange(len(self.sockets))).close()

    def act_shutdown(self) -> None:
        self.any_socket().shutdown(socket.SHUT_RDWR)

    def act_duplicate(self) -> None:
        source = self.any_socket().fileno()
        for _ in range(self.rng.choice((10, 100))):
            self.keep_fd(os.dup(source))

    def act_duplicate_thousands(self) -> None:
        """More than it keeps, in a child, for a while."""
        source = self.any_socket().fileno()

        def live() -> None:
            for _ in range(4000):
                os.dup(source)

        self.fork(live)

    def act_swap(self) -> None:
        """One number that is a netns, a socket, or what nobody may open, in turn."""
        if self.netns:
            sources = [self.rng.choice(self.netns), self.any_socket().fileno(), self.bait]
            targets = [os.dup(source) for source in sources]
            for fd in targets:
                self.keep_fd(fd)
            end = time.monotonic() + SWAP_SECONDS
            while time.monotonic() < end:
                for source in sources:
                    for target in targets:
                        os.dup2(source, target)

    def act_send_to_itself(self) -> None:
        """Leave sockets, or netns, in the queue of a unix socket, which may be in a queue itself."""
        first, second = socket.socketpair()
        self.keep(first, second)
        gone = self.any_socket()
        passed = [gone.fileno(), *self.rng.sample(self.netns, min(len(self.netns), 3)), first.fileno()]
        socket.send_fds(first, [b"x"], self.rng.sample(passed, self.rng.randint(1, len(passed))))
        if self.rng.random() < 0.7:
            self.sockets.remove(gone)
            gone.close()

    def act_send_to_another(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as post:
            post.setblocking(False)
            post.connect(self.rng.choice(self.world.letters))
            socket.send_fds(post, [b"x"], [self.any_socket().fileno()])

    def act_open_letter_box(self) -> None:
        box = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.keep(box)
        box.bind(self.rng.choice(self.world.letters))

    def act_read_letters(self) -> None:
        for box in self.sockets:
            if box.family == socket.AF_UNIX and box.getsockname() in self.world.letters:
                box.setblocking(False)
                self.keep(*(socket.socket(fileno=fd) for fd in socket.recv_fds(box, 1, 4)[1]))

    def act_leave_in_ring(self) -> None:
        gone = self.any_socket()
        ring = calls.make_ring([gone.fileno()])
        self.sockets.remove(gone)
        gone.close()
        if self.rng.random() < 0.5:
            calls.register_ring(ring)
            os.close(ring)
        else:
            self.keep_fd(ring)

    def act_hide_in_thread(self) -> None:
        """A listener of a thread with a netns or an fd table of its own, or both; and threads that do nothing."""
        flags = self.rng.choice((calls.CLONE_FILES, calls.CLONE_NEWNET, calls.CLONE_FILES | calls.CLONE_NEWNET))

        comm = make_name(self.rng, 15)

        def live() -> None:
            calls.unshare(flags)
            calls.set_comm(comm)
            socket.create_server(("0.0.0.0", 0)).detach()

        for _ in range(self.rng.choice((0, 0, 20))):
            self.start_thread(lambda: None)
        self.start_thread(live)

    def act_fork(self) -> None:
        self.fork(lambda: None)

    def act_fork_elsewhere(self) -> None:
        """A child with the same sockets, in another netns."""

        def live() -> None:
            calls.unshare(calls.CLONE_NEWNET)
            self.make_several()

        self.fork(live)

    def act_fork_briefly(self) -> None:
        for _ in range(self.rng.randint(1, 20)):
            pid = os.fork()
            if pid == 0:
                with suppress(OSError):
                    self.make_bound()
                os._exit(0)
            os.waitpid(pid, 0)

    def act_fork_pid_namespace(self) -> None:
        def live() -> None:
            calls.unshare(calls.CLONE_NEWPID)
            self.fork(self.make_several)

        self.fork(live)

    def act_end_child(self) -> None:
        if self.children:
            self.end_child()

    def act_stop_child(self) -> None:
        if self.children:
            os.kill(self.rng.choice(self.children), self.rng.choice((signal.SIGSTOP, signal.SIGCONT)))

    def make_several(self) -> None:
        for _ in range(5):
            with suppress(OSError):
                self.act_bind()
                self.act_connect()

    def act_rename(self) -> None:
        calls.set_comm(make_name(self.rng, 15))

    def act_bind_unix(self) -> None:
        """A name that tries to be a line of /proc/net/unix."""
        named = socket.socket(socket.AF_UNIX, self.rng.choice((socket.SOCK_STREAM, socket.SOCK_DGRAM)))
        self.keep(named)
        line = b"\n0000000000000000: 00000002 00000000 00010000 0001 01 1 /run/docker.sock"
        named.bind(b"\0" + self.rng.choice((make_name(self.rng, 30), line)) + os.urandom(3))

    def act_hide_files(self) -> None:
        calls.set_dumpable(self.rng.choice((0, 1)))

    def act_change_cgroup(self) -> None:
        """Into one that bears the id of an honest container, or any name, as deep as one likes."""
        rng, id_ = self.rng, self.rng.choice(self.world.ids)
        names = (f"docker/{id_}", f"docker-{id_}.scope", id_, f"kubepods/pod{id_[:8]}/{id_}", "leaf")
        for top in self.world.delegated:
            path = os.path.join(top, rng.choice(names))
            os.makedirs(path, exist_ok=True)
            with open(os.path.join(path, "cgroup.procs"), "wb") as file:
                file.write(b"0")

    def act_burn(self) -> None:
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            os.getppid()

    def act_lose_leader(self) -> None:
        """A child whose first thread has ended, and which lives on by another."""

        def live() -> None:
            threading.Thread(target=self.make_several_and_stay).start()
            calls.exit_thread()

        self.fork(live)

    def make_several_and_stay(self) -> None:
        self.make_several()
        time.sleep(LONG_SECONDS)

    def act_die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
