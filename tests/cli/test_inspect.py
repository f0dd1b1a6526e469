"""`nsagent inspect`, of live processes."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from nsagent.errors import EXIT_NOT_FOUND, EXIT_USAGE
from tests.cli.conftest import Ran, Run
from tests.inspect.inspecting import await_sleep, read_proc
from tests.kernel.children import start_child
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until

QUIET = ("--runtime", "none")
WITHOUT_PTRACE = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", "--")


def run_inspect(*arguments: str, before: Sequence[str] = ()) -> Ran:
    """As users run it: in a process of its own."""
    command = [*before, sys.executable, "-m", "nsagent", "inspect", *arguments, *QUIET]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def read_document(ran: Ran) -> dict[str, Any]:
    """The only process of the document."""
    document = json.loads(ran.out)
    assert document["schema"] == "nsagent/inspect/v1"
    (process,) = document["processes"]
    return dict(process)


def test_a_process_is_told_with_its_sockets_in_their_netns() -> None:
    with start_child("one = socket.create_server(('127.0.0.1', 0)); ready(one.getsockname()[1]); wait()") as child:
        await_sleep(child.pid)
        told = read_document(run_inspect(str(child.pid), "-o", "json"))
        argv = read_proc(child.pid, "cmdline").decode().split("\0")[:-1]
        netns = os.stat(f"/proc/{child.pid}/ns/net").st_ino
    assert (told["pid"], told["argv"], told["state"], told["gaps"]) == (child.pid, argv, "sleeping", [])
    (socket,) = (each["socket"] for each in told["fds"] if each["kind"] == "socket" and each["socket"])
    assert (socket["netns"], socket["state"]) == (netns, "listen")
    assert socket["local"] == {"address": "127.0.0.1", "port": int(child.said)}
    assert [owner["pid"] for owner in socket["owners"]] == [child.pid]


def test_yaml_is_the_same_document_and_table_and_tree_are_for_people(run_cli: Run) -> None:
    with start_child("import ctypes; ctypes.CDLL(None).prctl(15, b'a\\x1b[b'); ready(); wait()") as child:
        document = yaml.safe_load(run_cli("inspect", str(child.pid), "-o", "yaml", *QUIET).out)
        table = run_cli("inspect", str(child.pid), *QUIET).out
        tree = run_cli("inspect", str(child.pid), "-o", "tree", *QUIET).out
    assert (document["schema"], document["processes"][0]["comm"]) == ("nsagent/inspect/v1", "a\x1b[b")
    assert f"PID           {child.pid}\n" in table
    assert "COMM          a\\x1b[b\n" in table
    assert f"└─ {child.pid} a\\x1b[b  <- asked for {child.pid}\n" in tree
    assert "\x1b" not in table + tree


def test_a_thread_is_told_as_its_process_and_stderr_says_so(run_cli: Run) -> None:
    program = "threading.Thread(target=lambda: (ready(threading.get_native_id()), wait())).start()"
    with start_child(program) as child:
        ran = run_cli("inspect", child.said, "-o", "json", *QUIET)
    assert json.loads(ran.out)["processes"][0]["pid"] == child.pid
    assert f"nsagent: {child.said} is a thread of process {child.pid}, which is told\n" in ran.err


def test_fds_whose_links_may_not_be_read_are_counted_and_each_is_a_gap() -> None:
    """Their directory may be listed without CAP_SYS_PTRACE: a process with open files is never told as one without."""
    require(Capability.ROOT, Capability.SETPRIV)
    with start_child("ready(); wait()") as child:
        await_sleep(child.pid)
        count = len(os.listdir(f"/proc/{child.pid}/fd"))
        told = read_document(run_inspect(str(child.pid), "-o", "json", before=WITHOUT_PTRACE))
        table = run_inspect(str(child.pid), before=WITHOUT_PTRACE).out
    assert (told["fds"], told["fds_left_out"], told["fds_unread"]) == ([], 0, count)
    (denied,) = (gap for gap in told["gaps"] if gap["code"] == "EACCES")
    assert sum(each.startswith("fd ") for each in denied["ids"]) == count
    assert f"OPEN FILES    {count} of " in table


def test_the_environment_is_told_without_secrets_unless_they_are_asked_for(run_cli: Run) -> None:
    environment = {"DB_PASSWORD": "a b", "URL": "http://u:hunter2@h/", "PLAIN": "x", "PWD": "/"}
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, env=environment) as child:
        until(lambda: read_proc(child.pid, "comm") == b"cat\n", "it runs cat")
        told = read_document(run_cli("inspect", str(child.pid), "--environ", "-o", "json", *QUIET))
        shown = run_cli("inspect", str(child.pid), "--environ", "--show-secrets", "-o", "json", *QUIET)
        silent = read_document(run_cli("inspect", str(child.pid), "-o", "json", *QUIET))
    assert told["environ"] == ["DB_PASSWORD=***", "URL=http://u:***@h/", "PLAIN=x", "PWD=/"]
    assert json.loads(shown.out)["processes"][0]["environ"] == [
        f"{name}={value}" for name, value in environment.items()
    ]
    assert "nsagent: --show-secrets: what is printed may hold passwords and keys\n" in shown.err
    assert silent["environ"] is None


def test_a_pid_that_is_gone_ends_with_near_ones_and_a_reason(run_cli: Run) -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        child.wait()
    ran = run_cli("inspect", str(child.pid), *QUIET)
    assert (ran.status, ran.out) == (EXIT_NOT_FOUND, "")
    assert ran.err.startswith(f"nsagent: no process '{child.pid}'; near names: ")
    assert "it has ended, or it is its number in another PID namespace" in ran.err
    assert "kernel.pid_max" in run_cli("inspect", str(1 << 30), *QUIET).err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "expected a PID, or a container by -c, --pod, -n or -l, and not both"),
        (("1", "-c", "web"), "expected a PID, or a container by -c, --pod, -n or -l, and not both"),
        (("0",), "PID: expected a number from 1 to 2147483648, got '0'"),
        (("me",), "PID: expected a number from 1 to 2147483648, got 'me'"),
        (("1", "--show-secrets"), "--show-secrets: shows those of the environment; use it with --environ"),
        (("1", "--checksums", "crc"), "--checksums: expected some of sha256, sha1, md5, got 'crc'"),
        (("1", "-o", "csv"), "--output: expected one of table, tree, json, yaml, got 'csv'"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(run_cli: Run, arguments: tuple[str, ...], expected: str) -> None:
    ran = run_cli("inspect", *arguments)
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert expected in ran.err


def test_a_container_that_there_is_not_is_not_found(run_cli: Run) -> None:
    ran = run_cli("inspect", "-c", "no-such-container", *QUIET)
    assert (ran.status, ran.out) == (EXIT_NOT_FOUND, "")
