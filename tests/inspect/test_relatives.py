"""Parents and children of live processes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from nsagent.inspect.notes import Notes
from nsagent.inspect.relatives import Families
from nsagent.kernel.procfs import ProcFs
from nsagent.model.container import Container
from nsagent.model.ids import Pid
from nsagent.model.process import Process, ProcessKey
from tests.inspect.inspecting import inspect
from tests.kernel.children import start_child
from tests.kernel.proc_tree import ProcTree
from tests.scan.snapshots import container, snapshot
from tests.scan.snapshots import process as make_process

FORKS = """
child = os.fork()
if child == 0:
    wait()
    os._exit(0)
ready(str(child))
os.waitpid(child, 0)
"""


def find_key(pid: int) -> ProcessKey:
    with ProcFs().open_process(Pid(pid)) as process:
        return ProcessKey(Pid(pid), process.read_stat().start_ticks)


def make_inside(where: Container, pid: int) -> Process:
    """A process as a snapshot has it, in a container."""
    key = find_key(pid)
    return make_process(pid, container=where, start_ticks=key.start_ticks)


def test_bug_62_each_parent_is_told_once_up_to_the_first_process() -> None:
    """OpenSnitch tells the whole line again, where it does not end in PID 1."""
    one = inspect(os.getpid())
    pids = [each.key.pid for each in one.parents]
    assert pids[0] == os.getppid()
    assert len(set(pids)) == len(pids)
    assert one.parents[-1].key.pid == 1


def test_a_child_that_was_forked_runs_what_its_parent_runs() -> None:
    with start_child(FORKS) as parent:
        forked = inspect(int(parent.said))
        above = inspect(parent.pid)
    assert (forked.same_exe_as_parent, forked.parents[0].key.pid) == (True, parent.pid)
    exe = os.path.realpath(sys.executable)
    assert [(each.key.pid, each.exe) for each in above.children] == [(int(parent.said), exe)]
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as other:
        assert inspect(other.pid).same_exe_as_parent is False


def test_of_files_that_are_deleted_it_is_not_known_whether_they_are_one(tmp_path: Path) -> None:
    """As of two generations of one program: the links of both say the same."""
    app, later = (Path(shutil.copy(sys.executable, tmp_path / name)) for name in ("app", "later"))
    program = (
        "import os, subprocess, sys; os.replace('later', 'app'); "
        "child = subprocess.Popen(['./app', '-I', '-S', '-c', sys.argv[1]], stdin=0); child.wait()"
    )
    waits = "import os, sys; os.unlink('app'); print(os.getpid(), flush=True); sys.stdin.read()"
    command = [str(app), "-I", "-S", "-c", program, waits]
    environment = {**os.environ, "PYTHONHOME": sys.base_prefix}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = inspect(int(parent.stdout.readline()))
        parent.communicate("")
    assert child.parents[0].exe == f"{app} (deleted)"
    assert child.same_exe_as_parent is None
    assert not later.exists()


def test_where_a_container_begins_is_marked() -> None:
    web, db = container("web"), container("db", "b")
    with start_child(FORKS) as parent:
        child = int(parent.said)
        known = snapshot(containers=(web, db))
        inside = [make_inside(web, pid) for pid in (parent.pid, child)]
        told = inspect(child, known=known._replace(processes=tuple(inside)))
        other = inspect(parent.pid, known=known._replace(processes=(inside[1],)))
    assert told.container == web
    assert [each.container_id for each in told.parents[:2]] == [web.id, None]
    assert [each.begins_container for each in told.parents[:2]] == [True, False]
    assert [(each.container_id, each.begins_container) for each in other.children] == [(web.id, True)]


def test_a_container_of_another_process_that_had_the_pid_is_not_told() -> None:
    web = container("web")
    with start_child("ready(); wait()") as child:
        earlier = make_inside(web, child.pid)
        earlier = earlier._replace(start_ticks=earlier.start_ticks - 1)
        told = inspect(child.pid, known=snapshot(containers=(web,))._replace(processes=(earlier,)))
    assert told.container is None


def test_bug_63_parents_that_lead_back_end_there(tree: ProcTree) -> None:
    """As no kernel shows them; OpenSnitch would go on for ever."""
    for pid, parent in ((5, 6), (6, 7), (7, 6)):
        tree.write(f"{pid}/stat", f"{pid} (x) S {parent} 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9\n")
    procfs, notes = ProcFs(str(tree.root)), Notes()
    with procfs.open_process(Pid(5)) as process:
        family = Families(procfs, {}).find(process, notes)
    assert [each.key.pid for each in family.parents] == [6, 7]
    assert [gap.reason for gap in notes.list_gaps()] == ["too_many"]
