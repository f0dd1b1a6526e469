"""`python -m tests.live.hostile.nest SEED LOG WORLD`: hostile processes, each born again when it has ended.

WORLD is the JSON of acts.World with `uid`, `kinds`, and `acts`, a list of names that the acts are drawn from, all if
empty. A line of LOG is written before each act: which process, its how manieth life, and the act. Each life is in a PID
namespace of its own, so that nothing of it is left when it ends. The same seed gives the same kinds and acts; how
these of several processes, and the scans, fall in between each other is the machine's.

Says `ready` when the first of them are born, and ends with all of them when stdin closes.
"""

import json
import os
import random
import resource
import select
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from tests.live.hostile import calls, fuse
from tests.live.hostile.acts import Hostile, World
from tests.live.hostile.mounts import Mounting

PROCESSES = 6
LONGEST_LIFE_SECONDS = 25.0
MOST_ACTS = 400
MOST_PAUSE_SECONDS = 0.04
FDS = 8192
NICE = 10
"""What they do is of interest, not that they can use up every CPU."""
OFTEN_SPARED = 0.8


class Kind(StrEnum):
    """How a life begins."""

    PLAIN = "plain"
    NAMESPACES = "namespaces"
    HELD_BY_FUSE = "held_by_fuse"


class Nest(NamedTuple):
    """What all lives have in common."""

    seed: str
    log: int
    uid: int
    world: World
    kinds: Sequence[Kind]
    acts: Sequence[str]


def write_line(nest: Nest, *words: object) -> None:
    os.write(nest.log, (" ".join(map(str, words)) + "\n").encode())


def cover_by_fuse(nest: Nest) -> int:
    """A netns under a FUSE that root may ask, as a host's fusermount mounts one for a plain user; its fd."""
    tree = nest.world.tree
    calls.unshare(calls.CLONE_NEWNS | calls.CLONE_NEWNET)
    calls.mount("none", "/", "", calls.MS_REC | calls.MS_PRIVATE)
    calls.mount("tree", tree, "tmpfs")
    place = os.path.join(tree, "netns")
    os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
    calls.mount("/proc/self/ns/net", place, "", calls.MS_BIND)
    return fuse.mount_fuse(nest.world.device, tree)


def be_born(nest: Nest, rng: random.Random, kind: Kind) -> Hostile:
    """Become a plain user, with namespaces of its own or without."""
    asked = cover_by_fuse(nest) if kind is Kind.HELD_BY_FUSE else None
    calls.become(nest.uid)
    if kind is Kind.NAMESPACES:
        calls.enter_user_namespace(rng.choice((0, nest.uid)), calls.CLONE_NEWNS | rng.choice((0, calls.CLONE_NEWNET)))
        calls.mount("none", "/", "", calls.MS_REC | calls.MS_PRIVATE)
        mounting = Mounting(rng, nest.world)
        calls.mount("tree", nest.world.tree, "tmpfs")
        return mounting
    made = Hostile(rng, nest.world)
    if asked is not None:
        made.serve_fuse(asked)
    return made


def live(nest: Nest, name: str) -> None:
    """One life, to its end."""
    rng = random.Random(f"{nest.seed}/{name}")
    kind = rng.choice(nest.kinds)
    write_line(nest, name, "born", kind)
    made = be_born(nest, random.Random(f"{nest.seed}/{name}/birth"), kind)
    acts = [act for act in dir(made) if act.startswith("act_") and (not nest.acts or act[4:] in nest.acts)]
    for step in range(rng.randint(MOST_ACTS // 10, MOST_ACTS)):
        act = rng.choice(acts)
        if act == "act_die" and rng.random() < OFTEN_SPARED:
            continue
        made.rng.seed(f"{nest.seed}/{name}/{step}")  # What failed before it changes no act.
        write_line(nest, name, act[4:])
        try:
            getattr(made, act)()
        except OSError as error:
            write_line(nest, name, f"({error.strerror})")
        time.sleep(rng.uniform(0, MOST_PAUSE_SECONDS))


def be_first(nest: Nest, name: str) -> None:
    """PID 1 of the namespace of one life: ends, and with it the rest, when that life has ended or is too long."""
    calls.die_with_parent()
    pid = os.fork()
    if pid == 0:
        try:
            live(nest, name)
        except BaseException as error:  # noqa: BLE001 - the log is all that there is to tell it.
            write_line(nest, name, "failed", repr(error))
        os._exit(0)
    end = time.monotonic() + LONGEST_LIFE_SECONDS
    while time.monotonic() < end:
        ended, _ = os.waitpid(-1, os.WNOHANG)
        if ended == pid:
            break
        time.sleep(0.05)
    os._exit(0)


def bear(nest: Nest, name: str) -> int:
    """A new life in a new PID namespace; the PID of its first process."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    calls.unshare(calls.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        be_first(nest, name)
    calls.setns(own, calls.CLONE_NEWPID)
    os.close(own)
    return pid


def read_nest(seed: str, log: str, text: str) -> Nest:
    given: dict[str, Any] = json.loads(text)
    uid, kinds, acts = given.pop("uid"), [Kind(kind) for kind in given.pop("kinds")], given.pop("acts")
    world = World(*(given[field] for field in World._fields))
    return Nest(seed, os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), uid, world, kinds, acts)


def main() -> None:
    nest = read_nest(*sys.argv[1:])
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FDS, FDS))
    os.set_inheritable(0, False)
    lives = {bear(nest, f"{process}.0"): (process, 0) for process in range(PROCESSES)}
    print("ready", flush=True)
    stdin = select.poll()
    stdin.register(0, select.POLLIN)
    while not stdin.poll(50):
        while lives and (ended := os.waitpid(-1, os.WNOHANG)[0]):
            process, life = lives.pop(ended)
            lives[bear(nest, f"{process}.{life + 1}")] = (process, life + 1)


if __name__ == "__main__":
    main()
