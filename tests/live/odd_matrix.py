"""What a scan says of each odd process in each cross-netns case: rows, owners, verdicts, flags, netns.

A line is a cell: the case; the rows; the netns A and B. The names are those of programs/odd.c:
socket L is a listener, K a client's end, W the end that waits for accept(2). `L@A H/B` is row L in
the table of netns A with process H of netns B as an owner; `H:T` is its thread T, which has an fd
table of its own. A row without owner has its verdict, and `->H` where it is charged. `A process=1`
is what led to a netns and how many processes live in it; a netns that is not named is not listed.
"""

from typing import Final, NamedTuple

CASES: Final = ("moved", "passed", "mount_only", "socket_only", "in_flight", "inherited", "shared", "unaccepted")


class Cell(NamedTuple):
    """What is expected of one combination."""

    rows: tuple[str, ...]
    netns: tuple[str, ...]


ORDINARY: Final = """
moved       | L@A H/B netns_mismatch                                             | A process=1, B process=1
passed      | L@A H/B netns_mismatch                                             | A process=1, B process=1
mount_only  | L@A H/B netns_mismatch                                             | A mount=0, B process=1
socket_only | L@A H/B netns_mismatch                                             | A socket=0, B process=1
in_flight   | L@A in_flight                                                      | A process=1, B process=1
inherited   | L@A H/B P/A netns_mismatch                                         | A process=1, B process=1
shared      | L@A C/A E/A H/A                                                    | A process=3
unaccepted  | L@A H/B netns_mismatch; W@A accept_queue->H; K@A K/A               | A process=1, B process=1
"""

DEAD_LEADER: Final = ORDINARY
"""The sockets of the thread that lives on are those of the process, and so is its netns."""

THREAD_NETNS: Final = """
moved       | L@A H/M netns_mismatch                                             | A process=1
passed      | L@A H/M netns_mismatch                                             | A process=1
mount_only  | L@A H/M netns_mismatch                                             | A mount=0
socket_only | L@A H/M netns_mismatch                                             | A socket=0, B thread=0
in_flight   | L@A in_flight                                                      | A process=1
inherited   | L@A H/A P/A                                                        | A process=2
shared      | L@A C/A E/A H/M netns_mismatch                                     | A process=2
unaccepted  | L@A H/M netns_mismatch; W@A accept_queue->H; K@A K/A               | A process=1
"""
"""The leader stays in M, or where its parent is: an owner's netns is its process's.

Netns B, in which there is a thread and no socket, is looked for only where a socket leads there.
"""

THREAD_NETNS_DEEP: Final = """
moved       | L@A H/M netns_mismatch                                             | A process=1, B thread=0
passed      | L@A H/M netns_mismatch                                             | A process=1, B thread=0
mount_only  | L@A H/M netns_mismatch                                             | A mount=0, B thread=0
socket_only | L@A H/M netns_mismatch                                             | A socket=0, B thread=0
in_flight   | L@A in_flight                                                      | A process=1, B thread=0
inherited   | L@A H/A P/A                                                        | A process=2, B thread=0
shared      | L@A C/A E/A H/M netns_mismatch                                     | A process,thread=2
unaccepted  | L@A H/M netns_mismatch; W@A accept_queue->H; K@A K/A               | A process=1, B thread=0
"""

THREAD_FDS: Final = """
moved       | L@A H:T/B netns_mismatch                                           | A process=1, B process=1
passed      | L@A H:T/B netns_mismatch                                           | A process=1, B process=1
mount_only  | L@A H:T/B netns_mismatch                                           | A mount=0, B process=1
socket_only | L@A H:T/B netns_mismatch                                           | A socket=0, B process=1
in_flight   | L@A in_flight                                                      | A process=1, B process=1
inherited   | L@A H:T/B P/A netns_mismatch                                       | A process=1, B process=1
shared      | L@A C/A E/A H:T/A                                                  | A process=3
unaccepted  | L@A H:T/B netns_mismatch; W@A accept_queue->H; K@A K/A             | A process=1, B process=1
"""
"""The thread lives where its process does: it leads nowhere else."""

ZOMBIE: Final = """
moved       |                                                                    | A process=1
passed      |                                                                    | A process=1
mount_only  |                                                                    | A mount=0
socket_only |                                                                    |
in_flight   | L@A in_flight                                                      | A process=1
inherited   | L@A P/A                                                            | A process=1
shared      | L@A C/A E/A                                                        | A process=2
unaccepted  |                                                                    | A process=1
"""
"""Whoever exits closes: what nobody else holds is gone, and its clients are reset."""

NON_DUMPABLE: Final = ORDINARY
USER_NAMESPACE: Final = ORDINARY

VFORK_PARENT: Final = """
moved       | L@A H/B netns_mismatch                                             | A process=1, B process=2
passed      | L@A H/B netns_mismatch                                             | A process=1, B process=2
mount_only  | L@A H/B netns_mismatch                                             | A mount=0, B process=2
socket_only | L@A H/B netns_mismatch                                             | A socket=0, B process=2
in_flight   | L@A in_flight                                                      | A process=1, B process=2
inherited   | L@A H/B P/A netns_mismatch                                         | A process=1, B process=2
shared      | L@A C/A E/A H/A                                                    | A process=4
unaccepted  | L@A H/B netns_mismatch; W@A accept_queue->H; K@A K/A               | A process=1, B process=2
"""
"""In D state; the child that it waits for is where it is, and holds nothing."""

UNPTRACEABLE: Final = """
moved       | L@A hidden                                                         | A process=1
passed      | L@A hidden                                                         | A process=1
mount_only  | L@A hidden                                                         | A mount=0
socket_only |                                                                    |
in_flight   | L@A hidden                                                         | A process=1
inherited   | L@A P/A                                                            | A process=1
shared      | L@A C/A E/A                                                        | A process=3
unaccepted  | L@A hidden; W@A accept_queue; K@A K/A                              | A process=1
"""
"""Scanned without CAP_SYS_PTRACE: neither the fds nor the ns/net of H are told, so that B has no inode."""

CANNOT_EXIST: Final = {
    ("kernel_thread", "passed"): "a kernel thread has no fd to receive",
    ("kernel_thread", "socket_only"): "a socket of the kernel's own does not keep its netns",
    ("kernel_thread", "in_flight"): "a kernel thread has no fd to send",
    ("kernel_thread", "inherited"): "a kernel thread passes no fds on",
    ("kernel_thread", "shared"): "a kernel thread passes no fds on",
    ("kernel_thread", "unaccepted"): "no listener of the kernel's own is to be had without a network file system",
}
"""The other two cells of the kernel's own are in test_kernel_sockets.py."""

EXPECTED: Final = {
    "ordinary": ORDINARY,
    "dead_leader": DEAD_LEADER,
    "thread_netns": THREAD_NETNS,
    "thread_fds": THREAD_FDS,
    "zombie": ZOMBIE,
    "non_dumpable": NON_DUMPABLE,
    "user_namespace": USER_NAMESPACE,
    "vfork_parent": VFORK_PARENT,
    "unptraceable": UNPTRACEABLE,
}

EXPECTED_DEEP: Final = {
    "dead_leader": DEAD_LEADER,
    "thread_netns": THREAD_NETNS_DEEP,
    "thread_fds": THREAD_FDS,
}
"""With --deep, for those whom it concerns."""


def read_cell(table: str, case: str) -> Cell:
    """One line of a table."""
    for line in table.strip().splitlines():
        name, rows, netns = (part.strip() for part in line.split("|"))
        if name == case:
            return Cell(_split(rows, ";"), _split(netns, ","))
    raise KeyError(case)


def _split(text: str, separator: str) -> tuple[str, ...]:
    """The entries, sorted; `process,thread=2` keeps its comma, which no space follows."""
    return tuple(sorted(part.strip() for part in text.split(f"{separator} ") if part.strip()))
