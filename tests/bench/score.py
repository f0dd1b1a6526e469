"""How right a tool is: recall and precision of sockets and of (socket, pid) pairs. Pure."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple


class Row(NamedTuple):
    """A socket as the truth or a tool tells it; what a tool does not tell is not among its fields.

    `inode` is 0 where no descriptor can hold the row. `family` is that of the address shown, an
    IPv4 address of an IPv6 socket is `ipv4` and `mapped`. Without a remote end, `remote_port` is 0
    and `remote_address` the any-address of the socket's family. `pids` are the holders'.
    """

    netns: int
    inode: int = 0
    protocol: str = ""
    family: str = ""
    mapped: bool = False
    state: str = ""
    local_address: str = ""
    local_port: int = 0
    remote_address: str = ""
    remote_port: int = 0
    pids: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many things there are, how many were told, and how many of those are right."""

    expected: int
    found: int
    right: int

    @property
    def recall(self) -> float:
        """The share of what there is that was told; 1 where there is nothing."""
        return self.right / self.expected if self.expected else 1.0

    @property
    def precision(self) -> float:
        """The share of what was told that is right; 1 where nothing was told."""
        return self.right / self.found if self.found else 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """How right a tool was about sockets, and about (socket, pid) pairs."""

    sockets: Ratio
    owners: Ratio


def score_rows(truth: Sequence[Row], told: Sequence[Row], fields: Sequence[str]) -> Score:
    """Compare two sets of rows by `fields`, names of Row; a row told twice is right once."""
    key = attrgetter(*fields)
    return Score(
        sockets=_ratio(map(key, truth), map(key, told)),
        owners=_ratio(
            ((key(row), pid) for row in truth for pid in row.pids),
            ((key(row), pid) for row in told for pid in row.pids),
        ),
    )


def _ratio(expected: Iterable[Hashable], found: Iterable[Hashable]) -> Ratio:
    there, told = Counter(expected), Counter(found)
    return Ratio(expected=there.total(), found=told.total(), right=(there & told).total())
