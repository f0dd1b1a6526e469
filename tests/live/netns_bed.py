"""Netns with actors in them, made for one test and gone after it."""

import os
import secrets
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from tests.live.actors import Actor
from tests.live.capabilities import PATH
from tests.live.leftovers import marked_environment

NAMED_DIRECTORY = "/run/netns"


class MadeNetns(NamedTuple):
    """A netns of the bed; `name` is None if only a process keeps it; `path` opens it."""

    inode: int
    name: str | None
    path: str


class NetnsBed:
    """Makes netns and actors; `close` ends every actor and deletes every name it made.

    In a closed bed, `enter` is put before each command, and `root` before each path looked at.
    """

    def __init__(self, token: str, *, enter: Sequence[str] = (), root: str = "") -> None:
        self._token = token
        self._enter = enter
        self._root = root
        self._names: list[str] = []
        self._actors: list[Actor] = []

    def path_in_test(self, path: str) -> str:
        """A path of the bed as the test can open it."""
        return self._root + path

    def named(self, ending: str = "") -> MadeNetns:
        """A new netns with a name in /run/netns that ends so, and no process; its loopback is down."""
        name = f"{self._token}-{secrets.token_hex(4)}{ending}"
        run_ip("netns", "add", name, enter=self._enter)
        self._names.append(name)
        path = os.path.join(NAMED_DIRECTORY, name)
        return MadeNetns(os.stat(self.path_in_test(path)).st_ino, name, path)

    def anonymous(self) -> tuple[MadeNetns, Actor]:
        """A new netns without a name, its loopback up, and the actor that keeps it."""
        actor = self.actor()
        actor.ask("unshare_net")
        actor.ask("raise_loopback")
        path = f"/proc/{actor.pid}/ns/net"
        return MadeNetns(os.stat(self.path_in_test(path)).st_ino, None, path), actor

    def actor(self, netns: MadeNetns | None = None) -> Actor:
        """A new actor that is already in that netns, its loopback up, or else in the netns of the test."""
        actor = Actor(netns.path if netns else None, marked_environment(self._token), self._enter)
        self._actors.append(actor)
        actor.greet()
        return actor

    def stage(self) -> tuple[MadeNetns, Actor]:
        """A named netns with one actor that is ready: the usual start of a test."""
        netns = self.named()
        return netns, self.actor(netns)

    def end(self, actor: Actor) -> None:
        """End one actor before its time."""
        self._actors.remove(actor)
        actor.close()

    def delete(self, netns: MadeNetns) -> None:
        """Delete a name before its time."""
        assert netns.name is not None
        self._names.remove(netns.name)
        run_ip("netns", "delete", netns.name, enter=self._enter)

    def close(self) -> None:
        """End and delete all that is left."""
        while self._actors:
            self._actors.pop().close()
        while self._names:
            run_ip("netns", "delete", self._names.pop(), enter=self._enter)


def run_ip(*arguments: str, enter: Sequence[str] = ()) -> None:
    """Run ip(8); raises with its own message."""
    done = subprocess.run(
        [*enter, "ip", *arguments],
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
