"""What nsagent may still do once it has begun: whoever it asks for names looks at it."""

import json
import os
import socket
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from nsagent.errors import EXIT_FAILED
from nsagent.kernel.capabilities import Capability as Right
from tests.live.actors import owners_of
from tests.live.capabilities import Capability, require
from tests.live.closed_bed import ClosedBed
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import NSAGENT, Scan, owners_in, run_answered, run_nsagent, run_scan, verdict_kind
from tests.live.unprivileged import PROJECT
from tests.runtimes.engine_server import read_request, rows, serve

BASE = {Right.DAC_READ_SEARCH, Right.SYS_PTRACE, Right.SYS_ADMIN}
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
OWNER = 65534


class Rights(NamedTuple):
    """Of one thread: its sets of capabilities in the order of SETS, and NoNewPrivs."""

    sets: tuple[int, ...]
    no_new_privs: str


def mask(rights: set[Right]) -> int:
    return sum(1 << right for right in rights)


def read_rights(pid: int) -> set[Rights]:
    """Those of all threads of a process."""
    found = set()
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            status = Path(f"/proc/{pid}/task/{tid}/status").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has ended.
        lines = dict(line.split(":\t", 1) for line in status.splitlines())
        found.add(Rights(tuple(int(lines[name], 16) for name in SETS), lines["NoNewPrivs"]))
    return found


class Asked(NamedTuple):
    """A host root with the socket of an engine that notes the rights of whoever asks."""

    root: Path
    url: str
    seen: list[set[Rights]]


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    require(Capability.ROOT)
    seen: list[set[Rights]] = []

    def look(connection: socket.socket) -> None:
        read_request(connection)
        (pid, _, _) = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        seen.append(read_rights(pid))
        connection.sendall(rows())

    (tmp_path / "run").mkdir()
    with serve(tmp_path / "run", look, "docker.sock") as url:
        yield Asked(tmp_path, url, seen)


def only(rights: set[Right], before: int) -> set[Rights]:
    """What all threads have where these alone are kept of those that the test has."""
    kept = mask(rights) & before
    return {Rights((0, kept, kept, kept, 0), "1")}


def own_rights() -> int:
    ((_, _, effective, _, _),) = {each.sets for each in read_rights(os.getpid())}
    return effective


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (("scan",), {Right.NET_ADMIN}),
        (("containers",), {Right.NET_ADMIN}),
        (("scan", "--owners", "container"), set()),
        (("scan", "--capture", "{root}/file"), {Right.NET_ADMIN, Right.DAC_OVERRIDE}),
        (("capture", "{root}/file"), {Right.NET_ADMIN, Right.DAC_OVERRIDE}),
    ],
)
def test_a_pass_keeps_what_its_reads_need(asked: Asked, arguments: Sequence[str], more: set[Right]) -> None:
    words = [word.format(root=asked.root) for word in arguments]
    assert run_nsagent(*words, "--host-root", str(asked.root)).status == 0
    assert asked.seen == [only(BASE | more, own_rights())]


def test_who_names_a_socket_lets_it_be_another_user_s(asked: Asked) -> None:
    os.chown(asked.url.removeprefix("unix://"), OWNER, OWNER)
    ran = run_answered("scan", "--runtime", f"docker={asked.url}")
    assert (ran.status, asked.url in ran.stderr) == (0, False)
    # Once for each run that it took until the engine was in time.
    kept = only(BASE | {Right.NET_ADMIN, Right.DAC_OVERRIDE}, own_rights())
    assert asked.seen == [kept] * len(asked.seen) != []


def test_doctor_keeps_what_it_takes_to_look(asked: Asked) -> None:
    assert run_nsagent("doctor", "--host-root", str(asked.root)).status == 0
    assert asked.seen == [only({Right.DAC_READ_SEARCH, Right.SYS_PTRACE}, own_rights())]


@pytest.mark.parametrize("call", ["capset", None])
def test_doctor_tells_what_could_not_be_given_back(call: str | None) -> None:
    require(Capability.STRACE)
    inject = ["-e", f"inject={call}:error=EPERM"] if call else []
    command = ["strace", "-f", "-qq", "-o", "/dev/null", *inject, *NSAGENT]
    ran = run_nsagent("doctor", "--runtime", "none", "-o", "json", command=command)
    told = [check for check in json.loads(ran.stdout)["checks"] if check["subject"] == "not given back"]
    assert [(check["kind"], check["state"]) for check in told] == [("rights", "failed")] * (call is not None)
    assert all("CAP_NET_ADMIN" in check["detail"] for check in told)


def test_without_sys_ptrace_all_stay_for_a_process_with_them_may_be_read(asked: Asked) -> None:
    """Of one that has more than the reader nothing may be read."""
    require(Capability.SETPRIV)
    command = ["setpriv", "--bounding-set=-sys_ptrace", "--", *NSAGENT]
    assert run_nsagent("scan", "--host-root", str(asked.root), command=command).status == 0
    kept = own_rights() & ~mask({Right.SYS_PTRACE})
    assert [{(each.sets[2], each.no_new_privs) for each in seen} for seen in asked.seen] == [{(kept, "1")}]


class Told(NamedTuple):
    """Of a plain user's listener in another netns: how its table is read, who holds it, and what would help."""

    engine: str
    owners: dict[int, list[int]]
    verdict: str | None
    advice: bool


@pytest.mark.parametrize(
    ("without", "engine", "seen", "advice"),
    [
        (("sys_admin",), "proc", True, ""),
        (("sys_ptrace",), "proc", False, "add CAP_SYS_PTRACE"),
        (("dac_read_search", "dac_override"), "sock_diag", False, "add CAP_DAC_READ_SEARCH"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_without_a_capability_a_scan_sees_what_is_promised(
    closed_bed: ClosedBed, without: Sequence[str], engine: str, seen: bool, advice: str
) -> None:
    _, actor = closed_bed.netns_bed.anonymous()
    held = actor.listen()
    actor.ask("become", uid=OWNER)
    drop = ["setpriv", f"--bounding-set={','.join(f'-{name}' for name in without)}", "--"]
    ran = closed_bed.run_nsagent("scan", "-o", "json", "--runtime", "none", before=drop)
    scan = Scan(json.loads(ran.stdout))
    row = scan.one(held.inode)
    (netns,) = (one for one in scan.netns if row["netns"] in (one["inode"], one["key"]))
    found = Told(netns["engine"], owners_in(row), verdict_kind(row), advice in ran.stderr)
    assert found == Told(engine, owners_of(held) if seen else {}, None if seen else "hidden", True)


def test_who_has_the_rights_and_is_refused_is_told_of_which_process_and_to_add_none(closed_bed: ClosedBed) -> None:
    """In a user namespace of its own it has all rights, and none over who is outside."""
    _, actor = closed_bed.netns_bed.anonymous()
    actor.listen()
    outside = ("unshare", "--user", "--map-root-user", "--")
    ran = closed_bed.run_nsagent("scan", "--runtime", "none", before=outside)
    (line,) = (line for line in ran.complaints if "processes not readable" in line)
    assert "although CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH are there: refused by a security module" in line
    assert f"pid {actor.pid} (" in line
    assert "add CAP" not in ran.stderr


def test_a_netns_that_is_known_by_its_name_and_by_processes_that_may_not_be_read_is_one(closed_bed: ClosedBed) -> None:
    """Its inode is that of its mount; its processes tell no more than a key."""
    netns, actor = closed_bed.netns_bed.stage()
    held = actor.listen()
    actor.ask("become", uid=OWNER)
    ran = closed_bed.run_nsagent(
        "scan", "-o", "json", "--runtime", "none", before=["setpriv", "--bounding-set=-sys_ptrace", "--"]
    )
    scan = Scan(json.loads(ran.stdout))
    row = scan.one(held.inode)
    assert (row["netns"], verdict_kind(row)) == (netns.inode, "hidden")
    found = scan.find_netns(netns.inode)
    assert found is not None
    assert (found["names"], found["processes"], found["engine"]) == ([netns.name], 1, "sock_diag")
    assert "self-check" not in ran.stderr


def test_a_capture_may_go_where_another_user_writes(asked: Asked, tmp_path: Path) -> None:
    directory = tmp_path / "theirs"
    directory.mkdir(mode=0o755)
    os.chown(directory, OWNER, OWNER)
    assert run_nsagent("capture", str(directory / "file"), "--runtime", "none").status == 0
    assert [path.name for path in directory.iterdir()] == ["file"]


def test_the_answer_is_the_same_where_nothing_may_be_given_back(bed: NetnsBed) -> None:
    require(Capability.STRACE)
    _, actor = bed.stage()
    held = actor.listen()
    refuse = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=capset,prctl:error=EPERM"]
    scan = run_scan("--runtime", "none", command=[*refuse, *NSAGENT])
    assert owners_in(scan.one(held.inode)) == owners_of(held)


class TestTheCommandThatIsInstalled:
    """The script that pip makes, in an environment that says what Python loads."""

    @pytest.fixture
    def script(self, tmp_path: Path) -> list[str]:
        """As pip writes it; one of its modules is hidden by another one, if Python looks where it is told to."""
        (tmp_path / "typer.py").write_text("raise SystemExit('hidden')\n")
        program = "import sys; from nsagent.__main__ import main; sys.exit(main())"
        return [NSAGENT[0], "-P", "-c", program]

    def test_no_variable_hides_a_module(self, script: list[str], tmp_path: Path) -> None:
        ran = run_nsagent("--version", command=script, env={"PYTHONPATH": str(tmp_path)})
        assert (ran.status, ran.stdout[:8]) == (0, b"nsagent ")

    def test_nor_does_a_user_site(self, tmp_path: Path) -> None:
        """Shown by how it starts again: in the venv of the tests there is no user site."""
        require(Capability.STRACE)
        python, trace = f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}", tmp_path / "trace"
        environment = {"HOME": str(tmp_path)}
        say = "import site; print(site.getusersitepackages())"
        told = subprocess.run([python, "-c", say], env=environment, capture_output=True, text=True, check=True)
        Path(told.stdout.strip()).mkdir(parents=True)
        places = [PROJECT, sysconfig.get_path("purelib")]
        program = f"import sys; sys.path += {places}; from nsagent.__main__ import main; main()"
        traced = ["strace", "-qq", "-s", "1000", "-o", str(trace), "-e", "trace=execve", python, "-c", program]
        run_nsagent("scan", "a b", command=traced, env=environment)
        assert f'["{python}", "-I", "-m", "nsagent", "scan", "a b"]' in trace.read_text()

    def test_where_nsagent_is_found_by_a_variable_alone_its_directory_hides_nothing(
        self, script: list[str], tmp_path: Path
    ) -> None:
        (tmp_path / "nsagent").symlink_to(f"{PROJECT}/nsagent")
        (tmp_path / "json.py").write_text("raise SystemExit('hidden')\n")
        capture = f"{PROJECT}/fixtures/captures/plain.json.gz"
        ran = run_nsagent("scan", "--from", capture, command=script, env={"PYTHONPATH": str(tmp_path)})
        assert (ran.status, ran.stdout[:5]) == (0, b"NETNS")

    def test_arguments_and_other_variables_stay(self, script: list[str], tmp_path: Path) -> None:
        environment = {"PYTHONPATH": str(tmp_path), "NSAGENT_FROM": str(tmp_path / "no such file")}
        ran = run_nsagent("scan", "--netns", "a b", command=script, env=environment)
        assert (ran.status, "no such file: cannot be read" in ran.stderr) == (EXIT_FAILED, True)

    @pytest.mark.parametrize(
        ("told", "times"),
        [
            ({"PYTHON_VERSION": "3.11"}, 1),
            ({"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}, 1),
            ({"PYTHONUNBUFFERED": "1", "PYTHONPYCACHEPREFIX": "/nowhere"}, 2),
        ],
        ids=["a version", "harmless", "harmful"],
    )
    def test_it_starts_once_where_nothing_is_told(
        self, script: list[str], tmp_path: Path, told: dict[str, str], times: int
    ) -> None:
        require(Capability.STRACE)
        trace = tmp_path / "trace"
        traced = ["env", "-i", *(f"{name}={value}" for name, value in told.items())]
        traced += ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=execve", *script]
        assert run_nsagent("--version", command=traced).status == 0
        starts = [line for line in trace.read_text().splitlines() if "execve(" in line and " = 0" in line]
        assert len(starts) == times
