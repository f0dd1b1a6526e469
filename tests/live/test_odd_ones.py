"""The odd processes are as odd as the matrix takes them for: seen in /proc, without nsagent."""

import os
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.live.closed_bed import ClosedBed
from tests.live.deadlines import until
from tests.live.odd_bed import OddOne
from tests.live.odd_matrix import CANNOT_EXIST, CASES, EXPECTED, EXPECTED_DEEP, read_cell
from tests.live.unprivileged import UID


class Look(NamedTuple):
    """The odd holder in the /proc of its bed."""

    bed: ClosedBed
    made: OddOne

    @property
    def directory(self) -> str:
        return f"{self.bed.root}/proc/{self.made.processes['H']}"

    def status(self, field: str) -> str:
        with open(f"{self.directory}/status", encoding="ascii") as lines:
            return next(line.split()[1] for line in lines if line.startswith(f"{field}:"))

    def links(self, path: str) -> set[str]:
        """Where the links in a directory lead."""
        directory = f"{self.directory}/{path}"
        return {os.readlink(f"{directory}/{name}") for name in os.listdir(directory)}

    def netns_of_threads(self) -> set[int]:
        tasks = f"{self.directory}/task"
        return {os.stat(f"{tasks}/{tid}/ns/net").st_ino for tid in os.listdir(tasks)}


def is_unreadable_inside(look: Look) -> bool:
    try:
        look.bed.run("readlink", f"/proc/{look.made.processes['H']}/ns/net")
    except RuntimeError:
        return True
    return False


def owns_sockets_in_thread_alone(look: Look) -> bool:
    listener = f"socket:[{look.made.sockets['L'].inode}]"
    return listener in look.links(f"task/{look.made.threads['T']}/fd") - look.links("fd")


ODDITIES: dict[str, Callable[[Look], bool]] = {
    "ordinary": lambda look: (look.status("State"), look.status("Threads"), look.status("Uid")) == ("S", "1", "0"),
    "dead_leader": lambda look: (look.status("State"), look.status("Threads")) == ("Z", "2"),
    "thread_netns": lambda look: len(look.netns_of_threads()) == 2,
    "thread_fds": owns_sockets_in_thread_alone,
    "zombie": lambda look: (look.status("State"), look.status("Threads")) == ("Z", "1"),
    "non_dumpable": lambda look: (look.status("Uid"), os.stat(f"{look.directory}/environ").st_uid) == (str(UID), 0),
    "user_namespace": lambda look: os.readlink(f"{look.directory}/ns/user") != os.readlink("/proc/self/ns/user"),
    "vfork_parent": lambda look: look.status("State") == "D",
    "unptraceable": is_unreadable_inside,
}


@pytest.mark.parametrize("odd", ODDITIES)
def test_an_odd_process_is_odd(open_bed: Callable[..., ClosedBed], program: Callable[[str], str], odd: str) -> None:
    bed = open_bed(without=("sys_ptrace",)) if odd == "unptraceable" else open_bed()
    look = Look(bed, OddOne(bed, program("odd"), odd, "moved"))
    until(lambda: ODDITIES[odd](look), f"the process is as odd as {odd}")


def test_only_one_odd_process_is_odd_in_a_way(closed_bed: ClosedBed, program: Callable[[str], str]) -> None:
    """The ordinary one is none of the others, so that these checks can fail."""
    look = Look(closed_bed, OddOne(closed_bed, program("odd"), "ordinary", "moved"))
    until(lambda: ODDITIES["ordinary"](look), "the process sleeps")
    others = ODDITIES.keys() - {"ordinary", "thread_fds"}
    assert [odd for odd in others if ODDITIES[odd](look)] == []


def test_the_matrix_is_whole() -> None:
    """Every odd process has a line for every case, and what is missing has a reason."""
    for table in (*EXPECTED.values(), *EXPECTED_DEEP.values()):
        assert all(read_cell(table, case) for case in CASES)
    assert EXPECTED.keys() == ODDITIES.keys()
    assert {case for odd, case in CANNOT_EXIST if odd == "kernel_thread"} == set(CASES) - {"moved", "mount_only"}
