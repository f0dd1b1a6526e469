"""Neighbours that hold up whoever looks at them, and that have a lot."""

import os
import resource
import socket
from pathlib import Path

import pytest

from nsagent.inspect.request import Wanted
from nsagent.kernel.lookups import Lookups
from nsagent.model.inspection import Inspection
from nsagent.model.process_details import FdKind
from tests.inspect.inspecting import inspect, inspect_each, known, list_missing
from tests.kernel.children import start_child
from tests.kernel.test_lookups import start_neighbours
from tests.live.capabilities import Capability, require, trials
from tests.live.deadlines import until
from tests.live.made_cgroups import V2, MadeCgroups, find_hierarchies

SHORT = Wanted(lookup_seconds=3.0)


@pytest.mark.usefixtures("same_fds")
def test_who_keeps_its_memory_locked_is_told_but_for_what_stands_there() -> None:
    require(Capability.ROOT, Capability.FUSE)
    lookups = Lookups()
    with start_neighbours("mapped") as (held,):
        told, other = inspect_each(held.pid, os.getpid(), wanted=SHORT, lookups=lookups)
    assert isinstance(told, Inspection)
    assert isinstance(other, Inspection)
    assert (told.command_line, told.maps, told.state) == (None, None, "D")
    names = ("cmdline", "maps", "smaps_rollup")
    assert {name: list_missing(told).get(name) for name in names} == dict.fromkeys(names, "no_answer")
    assert told.exe is not None
    assert told.status is not None
    assert list_missing(other) == {}
    until(lambda: lookups.count_left() == 0, "the child has ended")


@pytest.mark.usefixtures("same_fds")
def test_fds_that_are_other_files_by_turns_have_the_size_of_what_their_link_says() -> None:
    """A stat that belongs to another file than the link is dropped."""
    swaps = """
file = os.memfd_create("small")
os.write(file, b"x" * 10)
zero, place = os.open("/proc/version", os.O_RDONLY), os.dup(file)
def swap():
    while True:
        os.dup2(zero, place); os.dup2(file, place)
threading.Thread(target=swap, daemon=True).start()
ready(str(place)); wait()
"""
    with start_child(swaps) as child:
        place = int(child.said)
        for _ in range(trials(default=20, full=500)):
            (one,) = (each for each in known(inspect(child.pid).fds) if each.fd == place)
            assert (one.target, one.size_bytes) in (
                ("/memfd:small (deleted)", 10),
                ("/memfd:small (deleted)", None),
                ("/proc/version", 0),
                ("/proc/version", None),
            )


def test_fds_by_the_ten_thousand_are_told_and_what_is_beyond_is_counted() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(trials(default=20_000, full=200_000), hard - 16)
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({hard}, {hard}))\n"
        f"file = os.open('/proc/version', os.O_RDONLY)\nfor _ in range({count}): os.dup(file)\nready(); wait()"
    )
    with start_child(program) as child:
        one = inspect(child.pid)
    assert len(known(one.fds)) + one.fds_left_out == count + 4
    assert len(known(one.fds)) == min(count + 4, 1 << 17)
    assert {each.kind for each in known(one.fds)[3:]} == {FdKind.FILE}
    assert {each.size_bytes for each in known(one.fds)[3:]} == {0}
    assert list_missing(one) == {}


def test_a_socket_file_that_is_held_by_its_path_is_no_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        fd = os.open(tmp_path / "socket", os.O_PATH)
        try:
            one = inspect(os.getpid())
        finally:
            os.close(fd)
    assert [each.kind for each in known(one.fds) if each.fd == fd] == [FdKind.SOCKET_FILE]
    assert all(fd not in each.fds for each in one.sockets)


@pytest.mark.usefixtures("same_fds")
def test_a_file_that_lets_nobody_close_it_is_looked_at_and_holds_up_nothing() -> None:
    require(Capability.ROOT, Capability.FUSE)
    lookups = Lookups()
    with start_neighbours("swap") as (one,):
        (told,) = inspect_each(one.pid, wanted=SHORT, lookups=lookups)
        assert lookups.count_left() == 0
    assert isinstance(told, Inspection)
    assert list_missing(told) == {}
    sizes = {each.size_bytes for each in known(told.fds) if each.target == "/mnt/file"}
    assert sizes <= {4096, None}


@pytest.mark.usefixtures("same_fds")
def test_a_file_of_which_nobody_tells_the_size_is_told_without_it() -> None:
    require(Capability.ROOT, Capability.FUSE)
    lookups = Lookups()
    with start_neighbours("sizeless") as (one,):
        told, other = inspect_each(one.pid, os.getpid(), wanted=SHORT, lookups=lookups)
    assert isinstance(told, Inspection)
    assert isinstance(other, Inspection)
    assert [(each.kind, each.size_bytes) for each in known(told.fds) if each.target == "/mnt/file"] == [
        (FdKind.PATH, None)
    ]
    assert set(list_missing(told).values()) == {"no_answer"}
    assert list_missing(other) == {}
    until(lambda: lookups.count_left() == 0, "the child has ended")


def test_the_name_of_a_cgroup_ends_no_line() -> None:
    require(Capability.ROOT)
    cgroups, hierarchies = MadeCgroups(), find_hierarchies()
    try:
        with start_child("ready(); wait()") as child:
            cgroups.enter(child.pid, "/nsagent\x1c0::\x1e/mine", {V2: hierarchies[V2]})
            told = known(inspect(child.pid).cgroup)
    finally:
        cgroups.close()
    assert [line for line in told if line.startswith("0::")] == ["0::/nsagent\x1c0::\x1e/mine"]
    assert len(told) == Path("/proc/self/cgroup").read_bytes().count(b"\n")
