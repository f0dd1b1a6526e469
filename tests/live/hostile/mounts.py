"""What a hostile process does with mounts, in a user and a mount namespace of its own."""

import os
import socket
from contextlib import suppress

from tests.live.hostile import calls, fuse
from tests.live.hostile.acts import MOST_PLACES, Hostile, make_name

MOUNT_FLOOD = 150
NAMED = "/run/netns"


class Mounting(Hostile):
    """Such a process. It keeps its old root directory only as far as it mounts nothing over it."""

    def make_file(self, directory: str, name: str) -> str:
        path = os.path.join(directory, name)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644))
        return path

    def mount_netns(self, path: str) -> None:
        calls.mount("/proc/thread-self/ns/net", path, "", calls.MS_BIND)
        self.places.append(path)

    def act_mount_netns(self) -> None:
        if len(self.places) < MOST_PLACES:
            name = os.fsdecode(make_name(self.rng, 20)).replace("/", "") or "x"
            depth = "/".join(["deep"] * self.rng.choice((0, 1, 20)))
            directory = os.path.join(self.world.tree, f"d{len(self.places)}", depth)
            os.makedirs(directory, exist_ok=True)
            self.mount_netns(self.make_file(directory, name))

    def act_mount_many(self) -> None:
        if len(self.places) < MOST_PLACES:
            file = self.make_file(self.world.tree, "many")
            for _ in range(MOUNT_FLOOD):
                self.mount_netns(file)

    def act_forge_name(self) -> None:
        """A netns of its own under the name that an honest one has."""
        calls.mount("forged", "/run", "tmpfs")
        os.mkdir(NAMED)
        for name in self.world.names:
            self.mount_netns(self.make_file(NAMED, name))
        os.mkdir(self.world.tree)

    def act_cover(self) -> None:
        """Put links to what is not its own where a netns was mounted."""
        place = self.any_place()
        directory = os.path.dirname(place)
        calls.mount("cover", directory, "tmpfs")
        target = self.rng.choice((self.world.trap, self.world.bait, "/proc/1/ns/net", "/proc/self/ns/net", "loop"))
        os.symlink(target, os.path.join(directory, os.path.basename(place)))

    def act_cover_by_link_above(self) -> None:
        """The same, by a link in the place of a directory above."""
        directory = os.path.dirname(self.any_place())
        above = os.path.dirname(directory)
        calls.mount("cover", above, "tmpfs")
        os.symlink(os.path.dirname(self.world.trap), os.path.join(above, os.path.basename(directory)))

    def act_cover_by_fifo(self) -> None:
        place = self.any_place()
        calls.mount("cover", os.path.dirname(place), "tmpfs")
        os.mkfifo(place)

    def act_cover_by_fuse(self) -> None:
        directory = os.path.dirname(self.any_place())
        self.serve_fuse(fuse.mount_fuse(self.world.device, directory))

    def act_unmount(self) -> None:
        if self.places:
            calls.unmount(self.places.pop(self.rng.randrange(len(self.places))))

    def act_leave_mount_namespace(self) -> None:
        """A child that keeps this one, while this process goes on in a copy."""
        self.act_fork()
        calls.unshare(calls.CLONE_NEWNS)

    def act_change_root(self) -> None:
        """A child that calls another directory its root."""

        def live() -> None:
            os.chroot(self.world.tree)
            self.make_several()

        self.fork(live)

    def act_mount_proc(self) -> None:
        def live() -> None:
            calls.unshare(calls.CLONE_NEWPID | calls.CLONE_NEWNS)
            self.fork(lambda: calls.mount("proc", "/proc", "proc"))

        self.fork(live)

    def act_keep_by_mount_only(self) -> None:
        """A netns with a listener in flight, which nothing but a mount leads to."""
        old = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            calls.unshare(calls.CLONE_NEWNET)
            with suppress(OSError):
                self.act_mount_netns()
                self.keep(socket.create_server(("0.0.0.0", 0)))
        finally:
            calls.setns(old, calls.CLONE_NEWNET)
            os.close(old)
