"""Filter expressions against ss(8) itself, with the same words in the same netns."""

import os
import random
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from nsagent.model.snapshot import Snapshot
from nsagent.query.filter import Filter
from nsagent.query.grammar import parse_expression
from nsagent.query.select import select_snapshot
from nsagent.scan.attribute import attribute
from nsagent.scan.capture_file import read_capture
from tests.live.capabilities import PATH, choose_seed, trials
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import run_nsagent, run_scan

STATES = (
    "established", "listening", "unconnected", "time-wait", "close-wait", "fin-wait-2", "all", "connected",
    "synchronized", "bucket", "big",
)  # fmt: skip
ADDRESSES = (
    "127.0.0.1", "127.0.0.2", "127.0.0.0/30", "127/8", "10.0.0.0/8", "[::1]", "[::ffff:127.0.0.1]", "*",
)  # fmt: skip
ZEROS = ("0.0.0.0", "0.0.0.0/0", "[::]", "[::/0]", "[::ffff:0.0.0.0/96]")
"""Behind a not, ss of iproute2 6.1 shows neither the rows that meet such a one nor all of those that do not."""


class Square(NamedTuple):
    """A netns with some of everything that ss and nsagent both show, and what a pass saw of it."""

    netns: MadeNetns
    snapshot: Snapshot
    ports: tuple[int, ...]

    def select(self, text: str) -> set[int]:
        """The cookies of the rows that an expression selects."""
        return self._list_cookies(select_snapshot(self.snapshot, Filter(expression=parse_expression(text))))

    def list_gone(self) -> set[int]:
        """The cookies of the rows that have ended since the pass, as the one in TIME_WAIT does after a minute."""
        return self._list_cookies(self.snapshot) - self.ask_ss()

    def _list_cookies(self, snapshot: Snapshot) -> set[int]:
        return {socket.row.cookie or 0 for socket in snapshot.sockets if socket.netns == self.netns.inode}

    def ask_ss(self, *arguments: str) -> set[int]:
        """The cookies of those that ss shows for this filter; fails for one that it does not take."""
        command = ["nsenter", f"--net={self.netns.path}", "ss", "-tuaneH", *arguments]
        done = subprocess.run(
            command, env={**os.environ, "PATH": PATH}, capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stderr == "", (arguments, done.stderr)
        return {int(cookie, 16) for cookie in re.findall(r" sk:([0-9a-f]+)\b", done.stdout)}


@pytest.fixture
def square(bed: NetnsBed, tmp_path: Path) -> Square:
    netns, actor = bed.stage()
    v4, any4 = actor.listen(), actor.listen("0.0.0.0", 80)
    v6 = actor.listen("::1", family="ipv6")
    dual = actor.listen("::", 8080, family="ipv6", v6only=False)
    only6 = actor.listen("::", 8080 + 1, family="ipv6", v6only=True, device="lo")
    held = [v4, any4, v6, dual, only6]
    for listener, address, family in (
        (v4, "127.0.0.1", "ipv4"),
        (any4, "127.0.0.2", "ipv4"),
        (v6, "::1", "ipv6"),
        (dual, "127.0.0.1", "ipv4"),
        (dual, "::1", "ipv6"),
    ):
        held += actor.pair(listener, address=address, family=family)
    half_closed, closed = actor.pair(any4), actor.pair(v4)
    actor.shutdown(half_closed.client)
    actor.drop(closed.client)
    actor.drop(closed.server)
    held += [actor.udp(), actor.udp("0.0.0.0", 53), actor.udp("::", 5353, family="ipv6", device="lo")]
    held.append(actor.connect_udp(actor.udp(), "127.0.0.1", 53))
    kept = tmp_path / "capture"
    assert run_nsagent("capture", str(kept), "--runtime", "none").status == 0
    return Square(netns, attribute(read_capture(kept)), tuple({each.port for each in held} | {53, 80}))


class Writer:
    """Writes expressions that mean the same to ss of iproute2 6.1 and to nsagent.

    Such an ss takes `and` and `or` from left to right, wants spaces, and no != before an address.
    """

    def __init__(self, chance: random.Random, ports: Sequence[int]) -> None:
        self._chance = chance
        self._ports = ports

    def write(self, depth: int = 3) -> str:
        """An expression of at most so many parentheses in each other."""
        pick = self._chance.choice
        if depth == 0 or self._chance.random() < 0.3:
            return self._write_condition()
        if self._chance.random() < 0.25:
            return f"{pick(('not', '!'))} ( {self.write(depth - 1)} )"
        parts = [f"( {self.write(depth - 1)} )" for _ in range(self._chance.randint(2, 3))]
        return f" {pick(('and', '&', '&&', '', 'or', '|', '||'))} ".join(parts)

    def _write_condition(self) -> str:
        pick = self._chance.choice
        port = pick(self._ports) + pick((0, 0, 0, 1))
        kind = self._chance.randrange(8)
        if kind < 4:
            operator = pick(
                ("=", "==", "eq", "!=", "ne", "neq", "<", "lt", "<=", "le", "leq", ">", "gt", ">=", "ge", "")
            )
            return f"{pick(('sport', 'dport'))} {operator} {pick((':', ''))}{port}"
        if kind < 7:
            address = pick(ADDRESSES)
            end = f"{address}:{pick((port, '*'))}" if "/" not in address and self._chance.random() < 0.3 else address
            return f"{pick(('src', 'dst'))} {pick(('', '= '))}{end}"
        return pick(("dev = lo", "dev lo", "dev != lo"))


def test_an_expression_selects_the_rows_that_ss_shows(square: Square) -> None:
    writer = Writer(random.Random(choose_seed(16)), square.ports)
    sizes = set()
    for _ in range(trials(default=60, full=200)):
        text = writer.write()
        # A dump may miss a row while sockets of others come and go in the hash of the whole host.
        answers = (square.ask_ss(text) for _ in range(3))
        found = square.select(text)
        assert any(answer == found or answer == found - square.list_gone() for answer in answers), text
        sizes.add(len(found))
    assert len(sizes) > 5, "most of these expressions mean nothing"


def test_a_condition_that_ss_cannot_negate_is_that_of_ss(square: Square) -> None:
    """With autobound the kernel asks whether a port was bound by itself, and ss after it for its range."""
    for text in [*(f"{word} {address}" for word in ("src", "dst") for address in ZEROS), "autobound"]:
        wanted = square.ask_ss(text)
        assert square.select(text) == wanted != set(), text


def test_states_in_front_of_an_expression_are_those_of_ss(square: Square) -> None:
    for state in STATES:
        for words in (
            ["state", state],
            ["exclude", state, "exclude", "listening"],
            ["state", "closed", "state", state],
        ):
            if words[:2] == ["exclude", "all"]:
                continue  # Nothing is left, which is an error here.
            expression = "sport >= 80 or dport = 80"
            wanted = square.ask_ss(*words, expression)
            assert square.select(f"{' '.join(words)} {expression}") == wanted, words


def test_a_scan_shows_what_ss_shows(square: Square) -> None:
    writer = Writer(random.Random(choose_seed(17)), square.ports)
    for _ in range(trials(default=3, full=20)):
        text = writer.write()
        scan = run_scan("--netns", str(square.netns.name), text, "--runtime", "none")
        assert {socket["cookie"] for socket in scan.sockets} == square.ask_ss(text), text
