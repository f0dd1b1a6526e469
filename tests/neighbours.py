"""A machine that is busy and somebody else's: `python -m tests.neighbours make test` runs a command in the midst of it.

Beside the command there are two busy loops, processes that come and go, a dockerd at the usual place
with containers that come and go, netns with and without a name, connections that come and go, odd
processes, and mounts under odd names. It needs root, what the live tests need, and a machine without a
Docker of its own. All of it ends with the command, whose exit status this has.

Nothing of it is in a PID or mount namespace, and neither is the command: of processes the kernel tells
only the host, and names of netns are those that the host's mount namespace has.
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from threading import Event, Thread

from tests.live.capabilities import PATH
from tests.live.closed_bed import ClosedBed
from tests.live.docker_bed import DockerBed
from tests.live.leftovers import marked_environment
from tests.live.netns_bed import NAMED_DIRECTORY, MadeNetns, NetnsBed
from tests.live.odd_bed import OddOne
from tests.live.programs import compile_program

USUAL_PLACE = "/run/docker.sock"
BUSY_LOOPS = 2
BUSY = (sys.executable, "-c", "while True: pass")
BRIEF = ("sh", "-c", "while sleep 0.05; do :; done")
NAMED_NETNS = 3
CONNECTIONS_PER_SECOND = 20
CONTAINER_SECONDS = 1.0
ODD_PLACES = ("with a space", "with\ta tab", "with \\040 in it", "netns")
ODD_ONES = (("thread_netns", "moved"), ("dead_leader", "passed"), ("ordinary", "in_flight"), ("ordinary", "unaccepted"))
USUAL_NAMES = ("web", "side", "lonely", "plain")
"""What the tests call their own containers too."""


@contextmanager
def running(command: Sequence[str], token: str) -> Iterator[None]:
    """A process that does nothing else, until the end."""
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, env=marked_environment(token)
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def fill_netns(bed: NetnsBed, directory: str) -> None:
    """Netns with sockets of every kind: named, anonymous, mounted elsewhere, named and not mounted, hidden."""
    for _ in range(NAMED_NETNS):
        netns, actor = bed.stage()
        listener = actor.listen_many(20)[0]
        actor.connect("127.0.0.1", listener.port)
        actor.drop(actor.pair(actor.listen()).client)
        actor.udp()
        mount_netns(netns, directory)
    bed.named()
    _, actor = bed.anonymous()
    actor.ask("rename", comm="\x1b[31m\n) R 1")
    actor.listen("::", family="ipv6")
    actor.ask("listen_in_thread_netns")
    actor.fork()
    hermit = bed.actor()
    kept, keeper = bed.anonymous()
    hermit.ask("hold_netns", path=kept.path)
    bed.end(keeper)


@contextmanager
def stale_name(token: str) -> Iterator[None]:
    """A file among the names of netns that is no netns."""
    path = os.path.join(NAMED_DIRECTORY, f"{token}-stale")
    with open(path, "x", encoding="ascii"):
        pass
    try:
        yield
    finally:
        os.unlink(path)


def mount_netns(netns: MadeNetns, directory: str) -> None:
    """The netns below one more name for each odd place, the last of them covered."""
    top = tempfile.mkdtemp(dir=directory)
    for name in ODD_PLACES:
        place = os.path.join(top, name)
        with open(place, "x", encoding="ascii"):
            pass
        subprocess.run(["mount", "--bind", netns.path, place], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "neighbours", top], check=True)


@contextmanager
def churning(bed: NetnsBed) -> Iterator[None]:
    """Connections that come and go."""
    _, actor = bed.stage()
    listener = actor.listen()
    actor.start("churn", fd=listener.fd, peer_port=listener.port, per_second=CONNECTIONS_PER_SECOND)
    try:
        yield
    finally:
        actor.start("stop")
        actor.finish()
        actor.finish()


@contextmanager
def usual_place(bed: DockerBed) -> Iterator[None]:
    """dockerd where everybody looks for it."""
    os.symlink(bed.url.removeprefix("unix://"), USUAL_PLACE)
    try:
        yield
    finally:
        os.unlink(USUAL_PLACE)


def start_containers(bed: DockerBed) -> None:
    """Containers on each network, one of them paused, one with a further process."""
    web = bed.run(USUAL_NAMES[0], "bridge", ["httpd", "-f", "-p", "8081"], labels={"app": "web"})
    bed.execute(web, ["httpd", "-f", "-p", "8085"])
    bed.run(USUAL_NAMES[1], "container:web", ["httpd", "-f", "-p", "8082"])
    lonely = bed.run(USUAL_NAMES[2], "none", ["httpd", "-f", "-p", "8084"])
    bed.run(USUAL_NAMES[3], "host", ["httpd", "-f", "-p", "8083"])
    bed.client.api.pause(lonely.id)


@contextmanager
def coming_and_going(bed: DockerBed) -> Iterator[None]:
    """One container after the other, each of them removed after a while."""
    over = Event()

    def live() -> None:
        number = 0
        while not over.wait(CONTAINER_SECONDS):
            made = bed.run(f"passing-{number}", "none", ["httpd", "-f", "-p", "8086"])
            over.wait(CONTAINER_SECONDS)
            bed.client.api.remove_container(made.id, force=True)
            number += 1

    thread = Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def neighbours(token: str) -> Iterator[None]:
    """All of them."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{token}-"))
        # What is mounted in there goes with one lazy unmount.
        subprocess.run(["mount", "-t", "tmpfs", "neighbours", directory], check=True)
        stack.callback(subprocess.run, ["umount", "--lazy", directory], check=True)
        program = compile_program("odd", directory)
        bed = stack.enter_context(closing(NetnsBed(token)))
        fill_netns(bed, directory)
        stack.enter_context(stale_name(token))
        stack.enter_context(churning(bed))
        docker_bed = stack.enter_context(closing(DockerBed(token)))
        docker_bed.start()
        stack.enter_context(usual_place(docker_bed))
        start_containers(docker_bed)
        stack.enter_context(coming_and_going(docker_bed))
        for odd, case in ODD_ONES:
            OddOne(stack.enter_context(closing(ClosedBed(token))), program, odd, case)
        for command in (BRIEF, *[BUSY] * BUSY_LOOPS):
            stack.enter_context(running(command, token))
        yield


def main() -> int:
    """Run the command given; its exit status."""
    if os.path.lexists(USUAL_PLACE):
        print(f"{USUAL_PLACE}: there is one already, and nobody's engine is touched", file=sys.stderr)
        return 1
    with neighbours(f"nsn{secrets.token_hex(4)}"):
        started = time.monotonic()
        status = subprocess.run(sys.argv[1:], env={**os.environ, "PATH": PATH}, check=False).returncode
        print(f"exit status {status} after {time.monotonic() - started:.0f} s beside the neighbours", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
