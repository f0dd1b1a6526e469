"""What a look at /proc takes for a process that is there."""

from itertools import count

from nsagent.events.running import Look, Running, look_at_all
from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Pid
from nsagent.model.process_event import Ids
from tests.kernel.proc_tree import ProcTree

STATUS = "Tgid:\t7\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"


def test_who_ended_is_left_out_and_who_is_not_read_is_told(tree: ProcTree) -> None:
    """A first thread that has ended while others run, a zombie, one of which nothing can be made, and a plain one."""
    for pid, state, threads in ((7, "Z", 2), (8, "Z", 1), (9, "S", 1), (10, "S", 1)):
        tree.process(pid, "app", state=state, threads=threads, start_ticks=pid)
        tree.write(f"{pid}/status", STATUS)
    for tid in (7, 71):
        tree.write(f"7/task/{tid}/stat", "")
    tree.write("9/stat", "nothing")
    clock = count(1000)
    assert look_at_all(ProcFs(tree.path), lambda: next(clock)) == Look(
        1000,
        {
            Pid(7): Running(1001, Pid(1), frozenset({71}), 7, "app", 0, Ids(1, 2), Ids(5, 6), left=True),
            Pid(10): Running(1004, Pid(1), frozenset(), 10, "app", 0, Ids(1, 2), Ids(5, 6)),
        },
        frozenset({Pid(9)}),
    )
