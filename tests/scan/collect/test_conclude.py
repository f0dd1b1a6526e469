"""What a pass knows of the whole host at its end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from nsagent.errors import Reason
from nsagent.model.gap import Gap, Kind, Stage, Subject
from tests.kernel.children import start_child
from tests.live.capabilities import Capability, require
from tests.live.made_cgroups import V2, find_hierarchies
from tests.scan.collect.passes import run_pass

LISTENS = """
ready()
held = []
for line in sys.stdin:
    held.append(socket.create_server(("127.0.0.1", 0)))
    ready("listens")
"""


@contextmanager
def make_nested(top: str, levels: int) -> Iterator[list[int]]:
    """Fds on cgroups in each other, the outermost first, whose names are as long as may be."""
    name = f"nsagent-{os.getpid()}".ljust(250, "-")
    above = [os.open(top, os.O_RDONLY)]
    try:
        for _ in range(levels):
            os.mkdir(name, dir_fd=above[-1])
            above.append(os.open(name, os.O_RDONLY, dir_fd=above[-1]))
        yield above
    finally:
        while len(above) > 1:
            os.close(above.pop())
            os.rmdir(name, dir_fd=above[-1])
        os.close(above.pop())


def enter(cgroup: int, pid: int) -> None:
    fd = os.open("cgroup.procs", os.O_WRONLY, dir_fd=cgroup)
    os.write(fd, str(pid).encode())
    os.close(fd)


def test_a_cgroup_whose_path_is_too_long_is_a_gap_and_those_of_others_are_known() -> None:
    require(Capability.ROOT)
    with make_nested(find_hierarchies()[V2], 18) as cgroups, start_child(LISTENS) as child:
        for cgroup in (cgroups[1], cgroups[-1]):
            enter(cgroup, child.pid)
            child.say("listen")
        enter(cgroups[0], child.pid)  # Of a process there nothing is told, not even its cgroup.
        number = os.fstat(cgroups[1]).st_ino
        facts = run_pass()
        child.end()
    assert number in dict(facts.cgroup_paths)
    assert Gap(Stage.CGROUPS, Subject(Kind.CGROUP_PATHS), Reason.FAILED, "ENAMETOOLONG") in facts.gaps
