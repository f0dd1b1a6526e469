"""The test's side of an actor: start one, ask it for sockets, end it."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

PROGRAM = os.path.join(os.path.dirname(__file__), "actor_program.py")
ANSWER_SECONDS = 60.0


class Held(NamedTuple):
    """A socket as its holder's own system calls describe it; `remote` is None if unconnected."""

    pid: int
    fd: int
    inode: int
    protocol: str
    local: tuple[str, int]
    remote: tuple[str, int] | None

    @property
    def port(self) -> int:
        """The local port."""
        return self.local[1]


class Pair(NamedTuple):
    """Both ends of an accepted TCP connection."""

    client: Held
    server: Held


def _held(answer: Mapping[str, Any]) -> Held:
    remote = answer["remote"]
    return Held(
        answer["pid"],
        answer["fd"],
        answer["inode"],
        answer["protocol"],
        (answer["local"][0], answer["local"][1]),
        None if remote is None else (remote[0], remote[1]),
    )


class Actor:
    """One running actor process; `close` ends it and its forked children.

    `enter` is put before its command. `pid` is its PID in the PID namespace that it runs in.
    """

    def __init__(self, netns_path: str | None, env: Mapping[str, str], enter: Sequence[str] = ()) -> None:
        command = [*enter, sys.executable, "-I", "-S", PROGRAM, *([netns_path] if netns_path else [])]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(env), bufsize=0, close_fds=True
        )
        self._unread = b""
        self.pid = self._process.pid

    def greet(self) -> None:
        """Wait until it is where it was started for, and answers."""
        self.pid = int(self.ask("greet"))

    def start(self, do: str, **arguments: Any) -> None:
        """Send a request without waiting for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")

    def finish(self) -> Any:
        """The answer to the request last sent; fails the test if there is none in time."""
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS)
            chunk = os.read(self._process.stdout.fileno(), 1 << 16) if ready else b""
            if not chunk:
                raise RuntimeError(f"actor {self.pid} gave no answer (exit status {self._process.poll()})")
            self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"actor {self.pid}: {answer['error']}")
        return answer["ok"]

    def ask(self, do: str, **arguments: Any) -> Any:
        """One request and its answer."""
        self.start(do, **arguments)
        return self.finish()

    def listen(
        self,
        address: str = "127.0.0.1",
        port: int = 0,
        *,
        family: str = "ipv4",
        backlog: int = 16,
        v6only: bool | None = None,
        device: str | None = None,
    ) -> Held:
        """A new TCP listener."""
        return _held(self.ask("listen", backlog=backlog, **_where(address, port, family, v6only, device)))

    def listen_many(self, count: int, address: str = "127.0.0.1") -> list[Held]:
        """That many TCP listeners on ports that the kernel picks."""
        return [_held(one) for one in self.ask("listen_many", count=count, **_where(address, 0, "ipv4", None, None))]

    def listen_shared(self, port: int = 0) -> Held:
        """A new TCP listener on a port that others may listen on too."""
        return _held(self.ask("listen_shared", port=port))

    def udp(
        self,
        address: str = "127.0.0.1",
        port: int = 0,
        *,
        family: str = "ipv4",
        v6only: bool | None = None,
        device: str | None = None,
    ) -> Held:
        """A new bound UDP socket."""
        return _held(self.ask("udp", **_where(address, port, family, v6only, device)))

    def hold_scope(self, protocol: str, scope: int) -> Held:
        """A socket bound to the device with this index, which is not there; of TCP a listener."""
        return _held(self.ask("hold_scope", protocol=protocol, scope=scope))

    def bound(self, address: str = "127.0.0.1") -> Held:
        """A TCP socket that is bound and neither listens nor is connected."""
        return _held(self.ask("bound", **_where(address, 0, "ipv4", None, None)))

    def connect(self, address: str, port: int, *, family: str = "ipv4", wait: bool = True) -> Held:
        """A new TCP connection to a listener; `wait=False` does not wait for it to be established."""
        return _held(self.ask("connect", fd=None, family=family, address=address, port=port, wait=wait))

    def connect_from(self, local_port: int, port: int) -> Held:
        """A new TCP connection from this port, on which others may listen later."""
        return _held(self.ask("connect_from", local_port=local_port, port=port))

    def connect_udp(self, held: Held, address: str, port: int) -> Held:
        """The UDP socket `held`, connected."""
        return _held(self.ask("connect", fd=held.fd, family="", address=address, port=port, wait=True))

    def accept(self, listener: Held) -> Held:
        """The next connection of a listener."""
        return _held(self.ask("accept", fd=listener.fd))

    def pair(
        self, listener: Held, client: "Actor | None" = None, *, address: str = "127.0.0.1", family: str = "ipv4"
    ) -> Pair:
        """A connection of `client` (by default this actor) to this actor's listener, accepted."""
        opened = (client or self).connect(address, listener.port, family=family)
        return Pair(opened, self.accept(listener))

    def dup(self, held: Held) -> Held:
        """The same socket at one more fd."""
        return _held(self.ask("dup", fd=held.fd))

    def shutdown(self, held: Held) -> None:
        """Close the writing half of a connection."""
        self.ask("shutdown", fd=held.fd)

    def drop(self, *held: Held) -> None:
        """Close these fds."""
        self.ask("close", fds=[one.fd for one in held])

    def fork(self) -> int:
        """The pid of a new child that holds the same sockets at the same fds."""
        return int(self.ask("fork"))

    def pass_to(self, receiver: "Actor", held: Held, path: str) -> Held:
        """Hand a copy of a socket to another actor by SCM_RIGHTS; as the receiver holds it."""
        receiver.start("receive_fd", path=path)
        self.ask("send_fd", fd=held.fd, path=path)
        return _held(receiver.finish())

    def close(self) -> None:
        """End the process: by closing its stdin, else by SIGKILL to its pid."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def owners_of(*held: Held) -> dict[int, list[int]]:
    """Which pids hold what these describe, and at which fds: {pid: fds}."""
    fds: dict[int, list[int]] = {}
    for one in held:
        fds.setdefault(one.pid, []).append(one.fd)
    return {pid: sorted(numbers) for pid, numbers in fds.items()}


def by_inode(held: Sequence[Held]) -> dict[int, Held]:
    """The same sockets by inode."""
    return {one.inode: one for one in held}


def _where(address: str, port: int, family: str, v6only: bool | None, device: str | None) -> dict[str, Any]:
    return {"address": address, "port": port, "family": family, "v6only": v6only, "device": device}
