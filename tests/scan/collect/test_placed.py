"""Who inherits the container of an ancestor; whole passes with such containers are a matter of tests.live."""

from collections.abc import Iterator, Mapping

import pytest

from nsagent.model.ids import Pid
from nsagent.scan.collect.placed import inherit

MANY = 4_000


class Counted(Mapping[Pid, Pid]):
    """The parents of processes; counts how often that of one is asked for."""

    def __init__(self, parents: Mapping[Pid, Pid]) -> None:
        self._parents = parents
        self.asked = 0

    def __getitem__(self, pid: Pid) -> Pid:
        self.asked += 1
        return self._parents[pid]

    def __contains__(self, pid: object) -> bool:
        return pid in self._parents

    def __iter__(self) -> Iterator[Pid]:
        return iter(self._parents)

    def __len__(self) -> int:
        return len(self._parents)


def pids(numbers: Mapping[int, int]) -> dict[Pid, Pid]:
    return {Pid(pid): Pid(parent) for pid, parent in numbers.items()}


@pytest.mark.parametrize(
    ("parents", "own", "expected"),
    [
        ({10: 1, 11: 10, 12: 11}, {10: "a"}, {10: "a", 11: "a", 12: "a"}),
        ({12: 11, 11: 10, 10: 1}, {10: "a"}, {12: "a", 11: "a", 10: "a"}),
        ({10: 1, 11: 10, 12: 11, 13: 12}, {10: "a", 12: "b"}, {10: "a", 11: "a", 12: "b", 13: "b"}),
        ({10: 1, 11: 10, 20: 1, 21: 20}, {20: "a"}, {20: "a", 21: "a"}),
        ({10: 12, 11: 10, 12: 11, 13: 12}, {}, {}),
        ({10: 12, 11: 10, 12: 11, 13: 12}, {11: "a"}, {10: "a", 11: "a", 12: "a", 13: "a"}),
        ({11: 10, 12: 11}, {10: "a"}, {}),
        ({10: 10}, {}, {}),
    ],
)
def test_a_process_has_what_its_nearest_ancestor_has(
    parents: dict[int, int], own: dict[int, str], expected: dict[int, str]
) -> None:
    assert inherit(pids(parents), {Pid(pid): told for pid, told in own.items()}) == expected


@pytest.mark.parametrize("own", [{}, {Pid(1): "a"}])
def test_in_a_chain_each_process_is_come_by_once(own: dict[Pid, str]) -> None:
    chain = Counted(pids({pid: pid - 1 for pid in range(1, MANY + 1)}))
    assert inherit(chain, own) == dict.fromkeys(chain if own else (), "a")
    assert chain.asked <= MANY
