"""What a dockerd that hangs, dies and comes back costs: names for a while; no socket, no owner, no container id.

The containers go on without it (`--live-restore`). One story is lived through and recorded: scans
one after another, and beside them two users who keep one Runtimes for all of it. As soon as the
engine is back a container gets a new name, so that nobody passes for well informed who remembers.
The tests look at the record.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from statistics import median
from threading import Event, Thread
from typing import NamedTuple

import pytest

from nsagent.runtimes.docker import DockerSource
from nsagent.runtimes.runtimes import Runtimes
from tests.live.capabilities import Capability, require, trials
from tests.live.deadlines import until
from tests.live.docker_bed import DockerBed, Made
from tests.live.leftovers import list_processes_in_cgroup
from tests.live.nsagent_cli import Scan, run_scan
from tests.live.rows import Row, read_ss_rows

pytestmark = pytest.mark.timeout(trials(default=600, full=3600))

ROUNDS = trials(default=2, full=20)
HANG_SECONDS = float(trials(default=5, full=60))
AWAY_SECONDS = float(trials(default=2, full=15))
BUDGET_SECONDS = 2.0
NOISE_SECONDS = 1.0
BACK_SECONDS = 5.0
PAUSE_SECONDS = 0.25
EVENT_SECONDS = 1.0
WAIT_SECONDS = 60.0


class Look(NamedTuple):
    """One scan, or one pass of a user: when it was, and the names that it had by container id."""

    began: float
    ended: float
    names: Mapping[str, str | None]
    scan: Scan | None = None


class Outage(NamedTuple):
    """When the engine was away and in which way, and what the containers are called after it."""

    way: str
    gone_at: float
    back_at: float
    named_at: float
    """When it had given a container its new name, and answered soon: a machine may be too busy for that at first."""
    names: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.way} for {self.back_at - self.gone_at:.1f} s"


class Town(NamedTuple):
    """Containers on each kind of network, and what was there of them before the story began."""

    bed: DockerBed
    containers: tuple[Made, ...]
    rows: Mapping[int, list[Row]]
    members: Mapping[int, str]

    @property
    def names(self) -> dict[str, str]:
        """The name of each container."""
        return {made.id: made.name for made in self.containers}


class Story(NamedTuple):
    """What was recorded while the engine went and came back."""

    town: Town
    scans: list[Look]
    users: Mapping[str, list[Look]]
    outages: list[Outage]


@pytest.fixture(scope="module")
def town(token: str) -> Iterator[Town]:
    require(Capability.ROOT, Capability.NETNS, Capability.NSENTER, Capability.SS, Capability.IPV6)
    require(Capability.SETPRIV, Capability.DOCKERD, Capability.IPTABLES, Capability.BUSYBOX)
    bed = DockerBed(token, name="restored", options=["--live-restore"])
    try:
        bed.start()
        containers = settle(bed)
        members = {pid: made.id for made in containers for pid in list_processes_in_cgroup(made.id)}
        rows = {made.netns_inode: read_ss_rows(f"/proc/{made.pid}/ns/net") for made in containers}
        yield Town(bed, containers, rows, members)
    finally:
        bed.close()


def settle(bed: DockerBed) -> tuple[Made, ...]:
    """Containers that listen, one with a further process, and a connection that lasts."""
    web = bed.run("web", "bridge", ["httpd", "-f", "-p", "8101"])
    others = [
        bed.run("side", "container:web", ["httpd", "-f", "-p", "8102"]),
        bed.run("plain", "host", ["httpd", "-f", "-p", "8103"]),
        bed.run("lonely", "none", ["httpd", "-f", "-p", "8104"]),
    ]
    bed.execute(web, ["nc", "-l", "-p", "8105", "-e", "sleep", "100000"])
    until(lambda: count_rows(web, "listen") == 3, "the containers listen")
    client = bed.run("client", "bridge", ["sh", "-c", f"sleep 100000 | nc {bed.address(web)} 8105"])
    until(lambda: count_rows(client, "established") == 1, "the client is connected")
    return web, *others, client


def count_rows(made: Made, state: str) -> int:
    return sum(row.state == state for row in read_ss_rows(f"/proc/{made.pid}/ns/net"))


@pytest.fixture(scope="module")
def story(town: Town) -> Story:
    told = Story(town, [], {"a user who asks in each pass": [], "a user who follows events": []}, [])
    over = Event()
    keepers = [Thread(target=keep_asking, args=(town, told.users["a user who asks in each pass"], over, False))]
    keepers += [Thread(target=keep_asking, args=(town, told.users["a user who follows events"], over, True))]
    threads = [Thread(target=keep_scanning, args=(town, told.scans, over)), *keepers]
    for thread in threads:
        thread.start()
    try:
        live_through(told)
    finally:
        over.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)
    return told


def live_through(story: Story) -> None:
    """Every outage of every round; all have the names again before the next one begins, if they ever will."""
    ways: Mapping[str, tuple[Callable[[DockerBed], AbstractContextManager[None]], float]] = {
        "stopped": (DockerBed.stopped, HANG_SECONDS),
        "killed": (killed, AWAY_SECONDS),
        "ended": (ended, AWAY_SECONDS),
    }
    bed, names = story.town.bed, story.town.names
    renamed = story.town.containers[-1]
    wait_for_names(story, names, since=time.monotonic())
    for _ in range(ROUNDS):
        for way, (away, seconds) in ways.items():
            gone_at = time.monotonic()
            with away(bed):
                time.sleep(seconds)
                until(lambda since=gone_at: has_look(story.scans, since), "a scan meets it")  # type: ignore[misc]
            back_at = time.monotonic()
            names = {**names, renamed.id: f"{renamed.name}-{len(story.outages)}"}
            bed.client.api.rename(renamed.id, names[renamed.id])
            until(lambda: answers_soon(bed), "the engine answers soon")
            story.outages.append(Outage(way, gone_at, back_at, time.monotonic(), names))
            wait_for_names(story, names, since=back_at)


def answers_soon(bed: DockerBed) -> bool:
    """Whether a list is there in a part of the time that a scan waits for it."""
    began = time.monotonic()
    bed.client.api.containers(all=True)
    return time.monotonic() - began < BUDGET_SECONDS / 4


@contextmanager
def killed(bed: DockerBed) -> Iterator[None]:
    bed.kill()
    yield
    bed.restart()


@contextmanager
def ended(bed: DockerBed) -> Iterator[None]:
    bed.end()
    yield
    bed.restart()


def wait_for_names(story: Story, names: Mapping[str, str], *, since: float) -> None:
    """Until two looks in a row of each that began after `since` have them all; the tests say if it took too long."""

    def is_settled(looks: list[Look]) -> bool:
        return len(looks) >= 2 and all(look.began > since and has_names(look, names) for look in looks[-2:])

    with suppress(TimeoutError):
        until(
            lambda: all(map(is_settled, [story.scans, *story.users.values()])), "names are back", seconds=WAIT_SECONDS
        )


def has_look(looks: list[Look], since: float) -> bool:
    """Whether one has begun after that, and ended."""
    return any(look.began > since for look in looks)


def has_names(look: Look, names: Mapping[str, str]) -> bool:
    return {id_: look.names.get(id_) for id_ in names} == names


def keep_scanning(town: Town, looks: list[Look], over: Event) -> None:
    """One scan after the other, as a person would run them."""
    while not over.wait(PAUSE_SECONDS):
        began = time.monotonic()
        scan = run_scan(*town.bed.runtime_option)
        names = {one["id"]: one["name"] for one in scan.containers}
        looks.append(Look(began, time.monotonic(), names, scan))


def keep_asking(town: Town, looks: list[Look], over: Event, follow: bool) -> None:
    """One pass after the other with the same Runtimes, as a long-lived user does."""
    source = DockerSource(town.bed.url, BUDGET_SECONDS)
    runtimes = Runtimes([source], BUDGET_SECONDS, clock=time.monotonic, follow=follow)
    try:
        while not over.wait(PAUSE_SECONDS):
            began = time.monotonic()
            runtimes.start()
            answers = runtimes.collect()
            names = {str(one.id): one.name for one in answers.containers}
            looks.append(Look(began, time.monotonic(), names))
    finally:
        runtimes.close()


def late_names(looks: list[Look], story: Story) -> list[str]:
    """The outages after which names took more than 5 s, a line each.

    To that come a look that began too early, and the one that has them: what they take is the machine's.
    """
    allowed = BACK_SECONDS + 2 * median(look.ended - look.began for look in looks)
    lines: list[str] = []
    ends = [outage.gone_at for outage in story.outages[1:]] + [float("inf")]
    for outage, next_gone_at in zip(story.outages, ends, strict=True):
        after = [look for look in looks if outage.back_at < look.ended < next_gone_at]
        named = [look for look in after if has_names(look, outage.names)]
        if not named:
            lines.append(f"{outage}: no names until the next one")
        elif named[0].ended - outage.named_at > allowed:
            lines.append(f"{outage}: names {named[0].ended - outage.named_at:.1f} s after it had answered soon")
    return lines


def during(look: Look, outages: list[Outage]) -> bool:
    """Whether a look met the engine away, if only for a part of it."""
    return any(look.began < outage.back_at and look.ended > outage.gone_at for outage in outages)


def test_the_story_has_scans_in_each_outage_and_after_it(story: Story) -> None:
    assert len(story.outages) == 3 * ROUNDS
    for outage in story.outages:
        assert any(outage.gone_at < look.began and look.ended < outage.back_at for look in story.scans), str(outage)
    assert all(story.users.values())


def test_no_scan_misses_a_socket_or_an_owner(story: Story) -> None:
    """Every row of every netns is the one of ss before the first outage, with its holders."""
    expected = dict(story.town.rows)
    for scan in (look.scan for look in story.scans if look.scan is not None):
        assert {number: scan.rows_of_netns(number) for number in expected} == expected


def test_no_scan_misses_the_container_of_a_socket(story: Story) -> None:
    for scan in (look.scan for look in story.scans if look.scan is not None):
        for socket in scan.of_netns(*story.town.rows):
            containers = {owner["pid"]: owner["container_id"] for owner in socket["owners"]}
            assert containers == {pid: story.town.members[pid] for pid in containers}
            assert socket["container_id"] == containers[socket["owners"][0]["pid"]]


def test_a_scan_has_a_name_or_says_that_it_is_unknown(story: Story) -> None:
    names = [story.town.names, *(outage.names for outage in story.outages)]
    for scan in (look.scan for look in story.scans if look.scan is not None):
        found = {one["id"]: (one["name"], one["name_state"]) for one in scan.containers}
        for made in story.town.containers:
            assert found[made.id] in ((None, "unknown"), *((one[made.id], "known") for one in names))


def test_without_its_engine_a_scan_takes_at_most_two_seconds_more(story: Story) -> None:
    """In each outage one at least: a busy machine has its moments, but what waits for an engine waits each time."""
    usual = max(look.ended - look.began for look in story.scans if not during(look, story.outages))
    for outage in story.outages:
        shortest = min(look.ended - look.began for look in story.scans if during(look, [outage]))
        assert shortest <= usual + BUDGET_SECONDS + NOISE_SECONDS, f"{outage}: {shortest:.2f} s, else {usual:.2f} s"


def test_a_scan_has_the_names_within_five_seconds_of_the_return(story: Story) -> None:
    assert late_names(story.scans, story) == []


@pytest.mark.parametrize("user", ["a user who asks in each pass", "a user who follows events"])
def test_a_long_lived_user_has_the_names_within_five_seconds_of_the_return(story: Story, user: str) -> None:
    assert late_names(story.users[user], story) == []


@pytest.mark.parametrize("follow", [False, True])
def test_a_rename_shows_in_the_next_pass_but_one_at_the_latest(town: Town, follow: bool) -> None:
    names = ["before", "between", "after"]
    made = town.bed.run(names[0], "none", ["sleep", "100000"])
    try:
        runtimes = Runtimes(
            [DockerSource(town.bed.url, BUDGET_SECONDS)], BUDGET_SECONDS, clock=time.monotonic, follow=follow
        )
        with closing(runtimes):
            for name in names:
                if name != names[0]:
                    town.bed.client.api.rename(made.id, name)
                first = name_in_pass(runtimes, made)
                time.sleep(EVENT_SECONDS)
                second = name_in_pass(runtimes, made)
                assert second == name
                assert first in names
    finally:
        town.bed.client.api.remove_container(made.id, force=True)


def name_in_pass(runtimes: Runtimes, made: Made) -> str | None:
    """What one pass says that a container is called."""
    runtimes.start()
    names = {str(one.id): one.name for one in runtimes.collect().containers}
    return names.get(made.id)
