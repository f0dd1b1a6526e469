"""Random small topologies: a plan from a seed, and building it with real actors."""

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.live.actors import Actor, Held
from tests.live.netns_bed import MadeNetns, NetnsBed

MOST_NETNS, MOST_ACTORS, MOST_STEPS = 3, 3, 8
FIXED_PORTS = range(20000, 20016)
UIDS = (0, 0, 1000, 65534)


class Town(NamedTuple):
    """The netns of one topology and the actors in them."""

    netns: list[MadeNetns]
    actors: list[Actor]


class Builder:
    """Builds one topology; every choice comes from `choose`, so a seed repeats it."""

    def __init__(self, bed: NetnsBed, seed: int, directory: str) -> None:
        self.bed = bed
        self.choose = random.Random(seed)
        self.directory = directory
        self.passed = 0

    def build(self) -> Town:
        """1 to 3 netns, named and not, each with 1 to 3 actors that made a few sockets each."""
        places: list[tuple[MadeNetns, list[Actor]]] = []
        for _ in range(self.choose.randint(1, MOST_NETNS)):
            netns, first = self.bed.stage() if self.choose.random() < 0.5 else self.bed.anonymous()
            others = [self.bed.actor(netns) for _ in range(self.choose.randint(0, MOST_ACTORS - 1))]
            places.append((netns, [first, *others]))
        for _, actors in places:
            for actor in actors:
                for _ in range(self.choose.randint(1, MOST_STEPS)):
                    self.choose.choice(self.steps())(actor, self.choose.choice(actors))
        made = [netns for netns, _ in places]
        everybody = [actor for _, actors in places for actor in actors]
        self.mix(made, everybody, [actor for _, actors in places for actor in actors[1:]])
        for actor in everybody:
            self.demote(actor)
        return Town(made, everybody)

    def steps(self) -> list[Callable[[Actor, Actor], object]]:
        """What an actor may do, the second being an actor in the same netns."""
        return [
            self.listen,
            self.connect,
            self.connect_ipv6,
            self.connect_mapped,
            self.leave_unaccepted,
            self.overfill,
            self.half_close,
            self.close_early,
            self.wait_out,
            self.use_udp,
            self.use_udp_ipv6,
            self.share,
        ]

    def listen(self, actor: Actor, _: Actor) -> None:
        """Listeners; a fixed port makes equal addresses in several netns."""
        family, address, v6only = self.choose.choice(
            [
                ("ipv4", "127.0.0.1", None),
                ("ipv4", "0.0.0.0", None),
                ("ipv6", "::1", None),
                ("ipv6", "::", False),
                ("ipv6", "::", True),
            ]
        )
        port = self.choose.choice([0, self.choose.choice(FIXED_PORTS)])
        try:
            actor.listen(address, port, family=family, v6only=v6only, backlog=self.choose.randint(1, 200))
        except RuntimeError as error:
            if "Address already in use" not in str(error):
                raise

    def connect(self, actor: Actor, client: Actor) -> None:
        actor.pair(actor.listen(), client)

    def connect_ipv6(self, actor: Actor, client: Actor) -> None:
        actor.pair(actor.listen("::1", family="ipv6"), client, address="::1", family="ipv6")

    def connect_mapped(self, actor: Actor, client: Actor) -> None:
        """An IPv4 or a mapped IPv6 client of a dual-stack listener."""
        family, address = self.choose.choice([("ipv4", "127.0.0.1"), ("ipv6", "::ffff:127.0.0.1")])
        actor.pair(actor.listen("::", family="ipv6", v6only=False), client, address=address, family=family)

    def leave_unaccepted(self, actor: Actor, client: Actor) -> None:
        listener = actor.listen()
        for _ in range(self.choose.randint(1, 3)):
            client.connect("127.0.0.1", listener.port)

    def overfill(self, actor: Actor, client: Actor) -> None:
        """A full accept queue leaves the next client in SYN_SENT."""
        listener = actor.listen(backlog=1)
        for _ in range(2):
            client.connect("127.0.0.1", listener.port)
        client.connect("127.0.0.1", listener.port, wait=False)

    def half_close(self, actor: Actor, client: Actor) -> None:
        client.shutdown(actor.pair(actor.listen(), client).client)

    def close_early(self, actor: Actor, client: Actor) -> None:
        """One end is gone (an ownerless FIN_WAIT2), the other still held (CLOSE_WAIT)."""
        client.drop(actor.pair(actor.listen(), client).client)

    def wait_out(self, actor: Actor, client: Actor) -> None:
        pair = actor.pair(actor.listen(), client)
        client.drop(pair.client)
        actor.drop(pair.server)

    def use_udp(self, actor: Actor, _: Actor) -> None:
        device = self.choose.choice([None, "lo"])
        held = actor.udp(self.choose.choice(["127.0.0.1", "0.0.0.0"]), device=device)
        if self.choose.random() < 0.5:
            actor.connect_udp(held, "127.0.0.1", self.choose.choice(FIXED_PORTS))

    def use_udp_ipv6(self, actor: Actor, _: Actor) -> None:
        address, remote = self.choose.choice([("::1", "::1"), ("::", "::1"), ("::", "::ffff:127.0.0.1")])
        held = actor.udp(address, family="ipv6")
        if self.choose.random() < 0.5:
            actor.connect_udp(held, remote, self.choose.choice(FIXED_PORTS))

    def share(self, actor: Actor, _: Actor) -> None:
        held = actor.listen()
        if self.choose.random() < 0.5:
            actor.dup(held)
        for _child in range(self.choose.randint(1, 2)):
            actor.fork()

    def mix(self, netns: list[MadeNetns], actors: list[Actor], movers: list[Actor]) -> None:
        """Some sockets are passed on, and some processes move to another netns.

        The first actor of each netns stays: engine proc reads a netns through a process in it.
        """
        if self.choose.random() < 0.5:
            giver, taker = self.choose.choice(actors), self.choose.choice(actors)
            if giver is not taker:
                self.give(giver, giver.udp(), taker)
        targets = [place for place in netns if place.name is not None]
        if targets and movers and self.choose.random() < 0.3:
            mover = self.choose.choice(movers)
            mover.ask("enter_netns", path=self.choose.choice(targets).path)

    def demote(self, actor: Actor) -> None:
        """Some actors go on as an ordinary user, and make two more sockets as that."""
        if uid := self.choose.choice(UIDS):
            actor.ask("become", uid=uid)
            actor.listen()
            actor.udp()

    def give(self, giver: Actor, held: Held, taker: Actor) -> None:
        self.passed += 1
        giver.pass_to(taker, held, f"{self.directory}/channel-{self.passed}")
