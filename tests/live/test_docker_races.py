"""Containers that come, go, freeze and change their names while they are scanned: never a wrong one.

Each container listens on a port that no other ever gets, so the port of a row tells whose it is.
In each race one thing happens to a container at some moment of a scan. What is then true for
certain, and what only may be true, follows from the times at which Docker was asked and answered.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

import pytest

from tests.live.capabilities import trials
from tests.live.deadlines import until
from tests.live.docker_bed import DockerBed, Made
from tests.live.nsagent_cli import Ran, Scan, Socket, run_nsagent

pytestmark = pytest.mark.timeout(trials(default=600, full=1800))

RACES = trials(default=20, full=200)
FIRST_PORT = 27000
MOST_HOUSES, FEWEST_HOUSES = 5, 3
NAMES = ("ada", "bob", "cyd", "dot", "eve", "fay")
NETWORKS = ("none", "host", "bridge", "container")
SCAN_SECONDS = 0.3
"""About what a scan takes: what happens to a container happens at some moment of it."""


@dataclass
class Named:
    """One name of a container: certainly its own in the inner span, by no means outside of the outer one."""

    text: str
    may_since: float
    since: float = inf
    until: float = inf
    may_until: float = inf


@dataclass
class House:
    """One container: it certainly listens in the inner span, and by no means outside of the outer one."""

    port: int
    may_since: float
    made: Made | None = None
    since: float = inf
    until: float = inf
    may_until: float = inf
    paused: bool = False
    names: list[Named] = field(default_factory=list)


class Race(NamedTuple):
    """One scan, what happened meanwhile, and the name that was asked for, if any."""

    what: str
    wanted: str | None
    began: float
    ended: float
    ran: Ran

    @property
    def scan(self) -> Scan:
        """The answer, if there is one."""
        assert self.ran.status == 0, f"{self.what}: exit {self.ran.status}: {self.ran.stderr}"
        return Scan(json.loads(self.ran.stdout))

    def is_within(self, span: House | Named) -> bool:
        """Whether that was certainly so during the whole scan."""
        return span.since <= self.began and self.ended <= span.until

    def meets(self, span: House | Named) -> bool:
        """Whether that may have been so at some moment of the scan."""
        return span.may_since <= self.ended and self.began <= span.may_until


class Street:
    """The containers of all races, and what may happen to them."""

    def __init__(self, bed: DockerBed, choose: random.Random) -> None:
        self.bed = bed
        self.choose = choose
        self.houses: list[House] = []

    @property
    def standing(self) -> list[House]:
        """The containers that are there now."""
        return [house for house in self.houses if house.may_until == inf]

    def name_of(self, house: House) -> str:
        """What a container is called now."""
        return house.names[-1].text

    def free_name(self) -> str:
        """A name that no container has now; most had it before."""
        taken = {self.name_of(house) for house in self.standing}
        return self.choose.choice([name for name in NAMES if name not in taken])

    def list_events(self) -> list[tuple[str, str, Callable[[], None]]]:
        """What may happen next: what it is, a name that it concerns, and doing it."""
        standing = self.standing
        house = self.choose.choice(standing)
        name, free = self.name_of(house), self.free_name()
        events: list[tuple[str, str, Callable[[], None]]] = []
        if len(standing) < MOST_HOUSES:
            network = self.choose_network()
            events.append((f"create {free} on {network}", free, lambda: self.create(free, network)))
        if len(standing) > FEWEST_HOUSES:
            events.append((f"kill {name}", name, lambda: self.remove(house)))
        events.append((f"create {name} anew", name, lambda: self.replace(house)))
        events.append((f"rename {name} to {free}", self.choose.choice([name, free]), lambda: self.rename(house, free)))
        other = self.choose.choice([one for one in standing if one is not house])
        events.append((f"swap {name} and {self.name_of(other)}", name, lambda: self.swap(house, other)))
        events.append((f"{'unpause' if house.paused else 'pause'} {name}", name, lambda: self.toggle(house)))
        return events

    def choose_network(self) -> str:
        """A network of a new container; that of another one if it is `container:ID`."""
        network = self.choose.choice(NETWORKS)
        hosts = [house.made.id for house in self.standing if house.made is not None and not house.paused]
        if network != "container":
            return network
        return f"container:{self.choose.choice(hosts)}" if hosts else "none"

    def create(self, name: str, network: str) -> None:
        now = time.monotonic()
        house = House(FIRST_PORT + len(self.houses), now, names=[Named(name, now)])
        self.houses.append(house)
        made = house.made = self.bed.run(name, network, ["httpd", "-f", "-p", str(house.port)])
        house.names[-1].since = time.monotonic()
        until(lambda: is_listening(made, house.port), f"{name} listens")
        house.since = time.monotonic()

    def remove(self, house: House) -> None:
        assert house.made is not None
        house.until = house.names[-1].until = time.monotonic()
        self.bed.client.api.remove_container(house.made.id, force=True)
        house.may_until = house.names[-1].may_until = time.monotonic()

    def replace(self, house: House) -> None:
        name, network = self.name_of(house), self.choose.choice(["none", "host", "bridge"])
        self.remove(house)
        self.create(name, network)

    def rename(self, house: House, name: str) -> None:
        assert house.made is not None
        began = time.monotonic()
        house.names[-1].until = began
        self.bed.client.api.rename(house.made.id, name)
        ended = time.monotonic()
        house.names[-1].may_until = ended
        house.names.append(Named(name, began, ended))

    def swap(self, house: House, other: House) -> None:
        first, second = self.name_of(house), self.name_of(other)
        self.rename(house, "passing")
        self.rename(other, first)
        self.rename(house, second)

    def toggle(self, house: House) -> None:
        assert house.made is not None
        (self.bed.client.api.unpause if house.paused else self.bed.client.api.pause)(house.made.id)
        house.paused = not house.paused


def is_listening(made: Made, port: int) -> bool:
    """Whether some socket of the netns of a container has this port."""
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{made.pid}/net/{table}", encoding="ascii") as rows:
            if f":{port:04X} " in rows.read():
                return True
    return False


@pytest.fixture(scope="module")
def street(docker_bed: DockerBed) -> Iterator[Street]:
    made = Street(docker_bed, random.Random(9))
    for network in ("bridge", "host", "none", made.choose_network()):
        made.create(made.free_name(), network)
    yield made
    docker_bed.remove_all()


@pytest.fixture(scope="module")
def races(street: Street) -> list[Race]:
    """All races; every second one asks for a container by its name."""
    return [run_race(street, by_name=bool(number % 2)) for number in range(RACES)]


def run_race(street: Street, *, by_name: bool) -> Race:
    what, name, happen = street.choose.choice(street.list_events())
    arguments = ["scan", "-o", "json", *street.bed.runtime_option, *(["-c", name] if by_name else [])]
    moment = street.choose.uniform(0, SCAN_SECONDS)

    def wait_and_happen() -> None:
        time.sleep(moment)
        happen()

    with ThreadPoolExecutor(1) as beside:
        began = time.monotonic()
        happening = beside.submit(wait_and_happen)
        ran = run_nsagent(*arguments)
        ended = time.monotonic()
    happening.result()
    return Race(what, name if by_name else None, began, ended, ran)


@pytest.fixture
def scans(races: list[Race]) -> list[Race]:
    """The races that asked for everything."""
    return [race for race in races if race.wanted is None]


@pytest.fixture
def searches(races: list[Race]) -> list[Race]:
    """The races that asked for a name."""
    return [race for race in races if race.wanted is not None]


def rows_by_port(race: Race, street: Street) -> Mapping[int, list[Socket]]:
    """The rows of the containers of all times, by the port that tells whose they are."""
    places = {(house.made.netns_inode, house.port): house.port for house in street.houses if house.made is not None}
    rows: dict[int, list[Socket]] = {port: [] for port in places.values()}
    for socket in race.scan.sockets:
        place = (socket["netns"], socket["local"]["port"])
        if place in places:
            rows[places[place]].append(socket)
    return rows


def check_rows(race: Race, house: House, rows: list[Socket]) -> None:
    """The rows of one container have it and no other; there is one if it was there during the whole scan."""
    certain = race.is_within(house)
    assert len(rows) == 1 if certain else len(rows) <= race.meets(house), (race.what, house, rows)
    for row in rows:
        assert house.made is not None
        mine = {house.made.id} if certain else {house.made.id, None}
        assert row["container_id"] in mine, (race.what, house, row)
        assert {owner["container_id"] for owner in row["owners"]} <= mine, (race.what, house, row)
        assert [owner["pid"] for owner in row["owners"]] in ([[house.made.pid]] if certain else [[], [house.made.pid]])


def test_a_row_has_its_own_container_and_no_other(scans: list[Race], street: Street) -> None:
    for race in scans:
        rows = rows_by_port(race, street)
        for house in street.houses:
            check_rows(race, house, rows[house.port])


def test_a_container_has_a_name_that_it_had_during_the_scan(races: list[Race], street: Street) -> None:
    names = {house.made.id: house.names for house in street.houses if house.made is not None}
    for race in (race for race in races if race.ran.status == 0):
        for container in race.scan.containers:
            possible = {named.text for named in names.get(container["id"], []) if race.meets(named)}
            assert container["name"] in {None, *possible}, (race.what, container)


def test_a_container_that_keeps_its_name_during_the_scan_has_it(scans: list[Race], street: Street) -> None:
    """Where Docker has answered in its two seconds: on a busy machine not in every scan."""
    answered = [race for race in scans if race.ran.is_answered]
    assert answered
    for race in answered:
        found = {container["id"]: container["name"] for container in race.scan.containers}
        for house in (house for house in street.houses if race.is_within(house)):
            assert house.made is not None
            for named in filter(race.is_within, house.names):
                assert found[house.made.id] == named.text, race.what


def test_a_name_chooses_the_sockets_of_one_that_had_it_or_nothing(searches: list[Race], street: Street) -> None:
    for race in searches:
        if race.ran.status == 4:
            continue
        bearers = {house.port: house for house in street.houses if is_bearer(race, house)}
        ports = {socket["local"]["port"] for socket in race.scan.sockets}
        assert len(ports) <= 1, race.what
        assert ports <= bearers.keys(), (race.what, ports)
        for port in ports:
            check_rows(race, bearers[port], list(race.scan.sockets))


def test_a_name_that_one_container_keeps_finds_it(searches: list[Race], street: Street) -> None:
    answered = [race for race in searches if race.ran.is_answered]
    assert answered
    for race in answered:
        for house in filter(race.is_within, street.houses):
            if any(named.text == race.wanted and race.is_within(named) for named in house.names):
                ports = [socket["local"]["port"] for socket in race.scan.sockets]
                assert ports == [house.port], race.what


def test_a_name_that_nobody_had_during_the_scan_exits_4(searches: list[Race], street: Street) -> None:
    for race in searches:
        if not any(is_bearer(race, house) for house in street.houses):
            assert (race.ran.status, race.ran.stdout) == (4, b""), race.what


def is_bearer(race: Race, house: House) -> bool:
    """Whether a container may have had the wanted name at some moment of the scan."""
    return any(named.text == race.wanted and race.meets(named) for named in house.names)
