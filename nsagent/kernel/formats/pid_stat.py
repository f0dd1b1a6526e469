"""/proc/PID/stat: one line of 52 fields.

Source: proc_pid_stat(5), fs/proc/array.c do_task_stat().
"""

from typing import NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.numbers import parse_decimal
from nsagent.model.ids import Pid

PF_KTHREAD = 0x00200000
"""Bit of `flags`: a kernel thread (include/linux/sched.h)."""

PF_EXITING = 0x4
"""Bit of `flags`: it exits."""


class PidStat(NamedTuple):
    """The fields that nsagent needs.

    `comm` has surrogate escapes for bytes that are not UTF-8. `state` is one letter; Z and X are
    dead leaders, whose threads may live (`num_threads` counts the leader too). `start_ticks` is
    in clock ticks since boot.
    """

    comm: str
    state: str
    flags: int
    num_threads: int
    start_ticks: int

    @property
    def is_dead(self) -> bool:
        """It has exited: fds, netns and memory are gone, for a leader perhaps not those of its threads."""
        return self.state in ("Z", "X")

    @property
    def has_left(self) -> bool:
        """It is dead, or on its way, and no thread stays behind: what is not there any more is gone with it.

        PID 1 of a PID namespace may be on its way for long, without fds and netns: it waits for all others.
        """
        return self.is_dead or (bool(self.flags & PF_EXITING) and self.num_threads == 1)

    @property
    def is_kernel_thread(self) -> bool:
        """It holds no fds and has no cgroup of its own."""
        return bool(self.flags & PF_KTHREAD)


def parse_pid_stat(line: bytes) -> PidStat:
    """The facts of one stat line; raises FormatError.

    comm stands in parentheses unescaped and may itself hold `) R 1 `: the last `)` ends it.
    """
    start = line.find(b"(")
    end = line.rfind(b")")
    fields = line[end + 2 :].split()
    if start < 0 or end < start or len(fields) < 20:
        raise FormatError("a line of /proc/PID/stat", line)
    try:
        return PidStat(
            comm=line[start + 1 : end].decode("utf-8", "surrogateescape"),
            state=fields[0].decode("ascii"),
            flags=parse_decimal(fields[6], 32),
            num_threads=parse_decimal(fields[17], 32),
            start_ticks=parse_decimal(fields[19], 64),
        )
    except ValueError as err:
        raise FormatError("a line of /proc/PID/stat", line) from err


def parse_parent(line: bytes) -> Pid:
    """Whose child it is, 0 where that is not seen in the PID namespace of the procfs; raises FormatError."""
    fields = line[line.rfind(b")") + 2 :].split(maxsplit=2)
    try:
        return Pid(parse_decimal(fields[1], 32))
    except (IndexError, ValueError) as err:
        raise FormatError("a line of /proc/PID/stat", line) from err


def parse_start_stack(line: bytes) -> int:
    """The address of the bottom of its stack, which execve(2) chooses anew; raises FormatError.

    A fork has that of its parent. 0 where it may not be read: that takes CAP_SYS_PTRACE over the process.
    """
    try:
        return parse_decimal(line[line.rfind(b")") + 2 :].split(maxsplit=26)[25], 64)
    except (IndexError, ValueError) as err:
        raise FormatError("a line of /proc/PID/stat", line) from err
