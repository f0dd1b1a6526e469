"""What is told of the processes of this machine, held against psutil and lsof field by field."""

import os
import subprocess
from collections.abc import Sequence
from typing import Any

import psutil

from nsagent.model.inspection import Inspection
from tests.inspect.inspecting import await_sleep, inspect, inspect_each, known, list_missing
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.live.capabilities import Capability, find_program, require, trials

OPENS = "file = open('/proc/version'); one = socket.create_server(('127.0.0.1', 0)); pipe = os.pipe(); ready(); wait()"
AT_WORK = 5
"""So often one that differs is compared anew."""


def read_psutil(pid: int) -> dict[str, Any] | None:
    """What psutil tells of a process, in the words of this file; None where it tells of none."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return {
                "argv": process.cmdline(),
                "exe": process.exe(),
                "cwd": process.cwd(),
                "parent": process.ppid(),
                "uids": tuple(process.uids()),
                "gids": tuple(process.gids()),
                "threads": process.num_threads(),
                "fds": process.num_fds(),
                "start_ticks": round((process.create_time() - psutil.boot_time()) * os.sysconf("SC_CLK_TCK"), -2),
                "files": tuple(limit if limit < 1 << 63 else None for limit in process.rlimit(psutil.RLIMIT_NOFILE)),
                "environ": None,
            }
    except psutil.Error:
        return None


def tell(one: Inspection) -> dict[str, Any]:
    """The same of what is told here."""
    assert one.status is not None
    files = next(each for each in known(one.limits) if each.name == "open files")
    return {
        "argv": list(one.command_line.argv) if one.command_line else [],
        "exe": one.exe.target.removesuffix(" (deleted)") if one.exe else "",
        "cwd": one.cwd,
        "parent": one.status.parent,
        "uids": one.status.uids[:3],
        "gids": one.status.gids[:3],
        "threads": one.status.threads,
        "fds": len(known(one.fds)) + one.fds_left_out,
        "start_ticks": round(one.key.start_ticks, -2),
        "files": (files.soft, files.hard),
        "environ": one.environ,
    }


def compare(pids: Sequence[int]) -> tuple[int, dict[int, tuple[dict[str, Any], dict[str, Any]]]]:
    """How many of them tell the same before and after, and of these what is told otherwise here than by psutil.

    The start is compared to a second, as psutil rounds its clock.
    """
    before = {pid: read_psutil(pid) for pid in pids}
    told = dict(zip(pids, inspect_each(*pids), strict=True))
    after = {pid: read_psutil(pid) for pid in pids}
    compared, unlike = 0, {}
    for pid, one in told.items():
        expected = before[pid]
        if expected is None or expected != after[pid] or not isinstance(one, Inspection) or one.state == "Z":
            continue
        found = tell(one)
        if one.kernel_thread:
            expected["cwd"] = found["cwd"]
        if abs(expected["start_ticks"] - found["start_ticks"]) <= 200:
            expected["start_ticks"] = found["start_ticks"]
        if found != expected:
            unlike[pid] = (found, expected)
        compared += 1
    return compared, unlike


def test_what_psutil_tells_of_live_processes_is_told_alike() -> None:
    """One that is at work may be another in between and again the same after: it is compared once more."""
    require(Capability.ROOT)
    # Not the own one, which holds what it reads.
    pids = [pid for pid in psutil.pids() if pid not in (1, os.getpid())][: trials(default=40, full=500)]
    with start_child(OPENS) as plain, start_child(OPENS, *IN_NEW_NETNS) as other:
        pids += [plain.pid, other.pid]
        compared, unlike = compare(pids)
        for _ in range(AT_WORK):
            unlike = compare(tuple(unlike))[1]
    assert unlike == {}
    assert compared >= min(len(pids) // 2, 5)


def test_memory_and_io_of_a_process_that_waits_are_those_that_psutil_tells() -> None:
    with start_child(OPENS) as child:
        await_sleep(child.pid)
        process = psutil.Process(child.pid)
        memory, io = process.memory_full_info(), process.io_counters()
        one = inspect(child.pid)
        switches = process.num_ctx_switches()
        maps = process.memory_maps(grouped=False)
    assert one.memory is not None
    assert one.statm is not None
    assert one.rollup is not None
    assert one.io is not None
    assert one.maps is not None
    assert one.status is not None
    assert (one.statm.resident_bytes, one.statm.virtual_bytes) == (memory.rss, memory.vms)
    assert (one.statm.shared_bytes, one.statm.text_bytes) == (memory.shared, memory.text)
    assert (one.statm.data_bytes, one.rollup.swap_bytes) == (memory.data, memory.swap)
    # Others that share its pages come and go.
    private = one.rollup.private_clean_bytes + one.rollup.private_dirty_bytes
    assert private <= one.rollup.pss_bytes <= one.rollup.resident_bytes
    assert (one.io.read_calls, one.io.write_calls) == (io.read_count, io.write_count)
    assert (one.io.read_characters, one.io.written_characters) == (io.read_chars, io.write_chars)
    assert (one.io.read_bytes, one.io.written_bytes) == (io.read_bytes, io.write_bytes)
    assert one.status.voluntary_switches == switches.voluntary
    assert one.maps.mappings == len(maps)
    assert set(one.maps.files) <= {each.path for each in maps}


def test_the_fds_are_those_that_lsof_tells() -> None:
    """Their numbers, and the inodes of sockets."""
    require(Capability.ROOT)
    assert find_program("lsof"), "lsof is listed in .ci/apt-packages"
    with start_child(OPENS) as child:
        one = inspect(child.pid)
        told = subprocess.run(
            ["lsof", "-nP", "-p", str(child.pid), "-a", "-d", "0-999999", "-F", "fti"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    fds = [int(line[1:]) for line in told.splitlines() if line[:1] == "f"]
    assert [each.fd for each in known(one.fds)] == fds
    assert list_missing(one) == {}
