"""`nsagent capture FILE` and `--capture FILE`."""

import gzip
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from nsagent.errors import EXIT_FAILED, EXIT_USAGE, CaptureError
from nsagent.model.net import Protocol
from nsagent.scan.capture import decode_capture, encode_capture
from nsagent.scan.capture_file import read_capture
from tests.cli.conftest import Run, run_with_stdin
from tests.cli.terminals import run_on_terminal
from tests.cli.test_app import environment
from tests.live.capabilities import Capability, require
from tests.scan.facts import BARE


def test_the_facts_of_a_pass_are_in_the_file(on_node: Run, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    assert on_node("capture", path) == (0, "", "")
    facts = decode_capture(path.read_bytes(), "kept")
    assert [reading.pid for reading in facts.processes] == [2, 100, 110, 200, 201, 300, 400, 500]


@pytest.mark.parametrize(
    ("arguments", "protocols", "deep"),
    [
        ([], {Protocol.TCP, Protocol.UDP}, False),
        (["--all"], set(Protocol), False),
        (["--deep", "--tcp-info"], {Protocol.TCP, Protocol.UDP}, True),
    ],
)
def test_a_capture_holds_what_was_asked_for(
    on_node: Run, tmp_path: Path, arguments: list[str], protocols: set[Protocol], deep: bool
) -> None:
    path = tmp_path / "kept"
    assert on_node("capture", path, *arguments).status == 0
    facts = decode_capture(path.read_bytes(), "kept")
    assert (set(facts.protocols), facts.deep) == (protocols, deep)


def test_only_its_owner_may_read_it(on_node: Run, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    on_node("capture", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_earlier_file_is_replaced_whole_and_nothing_else_is_left(on_node: Run, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"x" * 1_000_000)
    path.chmod(0o644)
    assert on_node("capture", path).status == 0
    decode_capture(path.read_bytes(), "kept")
    assert os.listdir(tmp_path) == ["kept"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_replaced_and_its_target_left_alone(on_node: Run, tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "kept"
    target.write_text("precious")
    path.symlink_to(target)
    assert on_node("capture", path).status == 0
    assert (target.read_text(), path.is_symlink()) == ("precious", False)


@pytest.mark.parametrize("name", ["nowhere/kept", "directory", "x" * 300])
def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left(on_node: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "directory").mkdir()
    ran = on_node("capture", tmp_path / name)
    assert (ran.status, ran.out) == (EXIT_FAILED, "")
    assert ran.err.startswith(f"nsagent: {tmp_path / name}: cannot be written: ")
    assert os.listdir(tmp_path) == ["directory"]


@pytest.mark.parametrize("path", ["/", ".", "..", ""])
def test_a_path_that_names_no_file_is_one_line_and_no_traceback(on_node: Run, path: str) -> None:
    ran = on_node("capture", path)
    assert ran.status in (EXIT_FAILED, EXIT_USAGE)
    assert ran.out == ""


def test_a_scan_that_is_answered_from_a_file_may_keep_it_again(
    on_node: Run, node_capture: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    assert on_node("scan", "--from", node_capture, "--capture", copy).status == 0
    assert decode_capture(copy.read_bytes(), "") == decode_capture(node_capture.read_bytes(), "")


def test_a_capture_needs_a_file(on_node: Run) -> None:
    assert on_node("capture").status == EXIT_USAGE


def test_no_device_or_fifo_is_replaced(on_node: Run, tmp_path: Path) -> None:
    """As root a capture to /dev/null would take it away from the whole machine."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    ran = on_node("capture", path)
    assert (ran.status, ran.err) == (EXIT_FAILED, f"nsagent: {path}: cannot be written: it is no regular file\n")
    assert stat.S_ISFIFO(path.lstat().st_mode)


@pytest.fixture
def plain_user() -> int:
    """Another user than this one, whom root can give files to."""
    require(Capability.ROOT)
    return 65534


def test_no_link_of_another_user_leads_a_capture_elsewhere(on_node: Run, tmp_path: Path, plain_user: int) -> None:
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "link"
    elsewhere.mkdir()
    link.symlink_to(elsewhere)
    assert on_node("capture", link / "kept").status == 0
    os.lchown(link, plain_user, plain_user)
    ran = on_node("capture", link / "other")
    told = f"nsagent: {link / 'other'}: cannot be written: link on its way is a link of another user\n"
    assert (ran.status, ran.err) == (EXIT_FAILED, told)
    assert os.listdir(elsewhere) == ["kept"]


def test_a_link_of_another_user_is_not_replaced(on_node: Run, tmp_path: Path, plain_user: int) -> None:
    path = tmp_path / "kept"
    path.symlink_to("/dev/null")
    os.lchown(path, plain_user, plain_user)
    assert on_node("capture", path).status == EXIT_FAILED
    assert os.readlink(path) == "/dev/null"


@pytest.mark.parametrize("target", ["a/../b/./", "{tmp_path}/b", "c"])
def test_links_and_dots_on_the_way_lead_where_they_lead_everybody(on_node: Run, tmp_path: Path, target: str) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    (tmp_path / "c").symlink_to("b")
    link = tmp_path / "link"
    link.symlink_to(target.format(tmp_path=tmp_path))
    assert on_node("capture", link / ".." / "b" / "kept").status == 0
    assert os.listdir(tmp_path / "b") == ["kept"]


def test_a_circle_of_links_ends(on_node: Run, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    ran = on_node("capture", tmp_path / "link" / "kept")
    assert (ran.status, ran.err.endswith("Too many levels of symbolic links\n")) == (EXIT_FAILED, True)


def test_a_file_system_that_is_full_leaves_nothing(on_node: Run, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"earlier")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        ran = on_node("capture", path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (ran.status, ran.err) == (EXIT_FAILED, f"nsagent: {path}: cannot be written: File too large\n")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"earlier", ["kept"])


def test_a_device_that_has_no_end_is_no_capture(on_node: Run) -> None:
    ran = on_node("scan", "--from", "/dev/zero")
    assert (ran.status, ran.err) == (EXIT_FAILED, "nsagent: /dev/zero: cannot be read: it is a device\n")


def test_a_capture_may_come_through_a_pipe(on_node: Run, node_capture: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        """Opening waits for a reader: what nobody had open would be gone with the last who has written."""
        with pipe.open("wb") as writer:
            writer.write(node_capture.read_bytes())

    threading.Thread(target=write, daemon=True).start()
    through = on_node("scan", "--from", pipe, "--no-headers")
    assert through.out == on_node("scan", "--from", node_capture, "--no-headers").out


@pytest.mark.parametrize("written", [None, b"", b"\x1f\x8b"], ids=["nobody", "nothing", "a part"])
def test_a_pipe_that_is_silent_is_waited_for_so_long(tmp_path: Path, written: bytes | None) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ExitStack() as opened:
        if written is not None:
            writer = os.open(pipe, os.O_RDWR)
            opened.callback(os.close, writer)
            os.write(writer, written)
        with pytest.raises(CaptureError) as caught:
            read_capture(pipe, patience_seconds=0.05)
    assert str(caught.value) == f"{pipe}: cannot be read: nothing came for 0.05 s"


def test_a_capture_may_be_written_to_stdout(on_node: Run, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    on_node("capture", kept)
    ran = run_with_stdin("capture", "-", data=None)
    through = run_with_stdin("scan", "--from", "-", data=ran.stdout)
    assert (ran.returncode, ran.stderr, through.stdout.decode()) == (0, b"", on_node("scan", "--from", kept).out)


def test_no_capture_is_written_to_a_terminal_or_into_an_answer(on_node: Run) -> None:
    shown = run_on_terminal([sys.executable, "-m", "nsagent", "capture", "-"], 80)
    assert shown == (EXIT_USAGE, "", "nsagent: FILE: - is stdout, which is a terminal\n")
    ran = on_node("scan", "--capture", "-")
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert ran.err == "nsagent: --capture: expected a file: stdout has the answer; use nsagent capture -\n"


def make_unreadable(directory: Path) -> dict[str, Path]:
    """What is no capture, by what is said of it."""
    long = gzip.compress(json.dumps({"schema": "\x1b[31m\n" + "x" * 10_000}).encode())
    contents = {
        "unpacks to more than": gzip.compress(bytes(1 << 26), 1),
        "nested too deep": b"[" * 1_000_000,
        "'\\x1b[31m\\nxxx": long,
        "cut off after 100 bytes": encode_capture(BARE)[:100],
        "neither gzip nor JSON": b"\x1b[31m" * 1000,
    }
    paths = {"Is a directory": directory, "it is a device": Path("/dev/zero"), "No such file": directory / "none"}
    for number, (told, data) in enumerate(contents.items()):
        paths[told] = directory / f"file-{number}"
        paths[told].write_bytes(data)
    paths["No such device"] = directory / "socket"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(paths["No such device"]))
    paths["has more than 1024 MiB"] = directory / "huge"
    with paths["has more than 1024 MiB"].open("wb") as huge:
        huge.truncate(1 << 31)
    return paths


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan", "--from", "{}"],
        ["netns", "--from", "{}"],
        ["containers", "--from", "{}"],
        ["scan", "--since", "{}"],
        ["diff", "{}"],
        ["diff", "{good}", "{}"],
    ],
    ids=" ".join,
)
def test_what_is_no_capture_is_one_line_and_a_failure_in_every_command_that_takes_one(
    on_node: Run, node_capture: Path, tmp_path: Path, arguments: list[str]
) -> None:
    for told, path in make_unreadable(tmp_path).items():
        ran = on_node(*(argument.format(path, good=node_capture) for argument in arguments))
        assert (ran.status, ran.out, ran.err.count("\n")) == (EXIT_FAILED, "", 1)
        assert ran.err.startswith(f"nsagent: {path}: ")
        assert told in ran.err
        assert ran.err[:-1].isprintable()
        assert len(ran.err) < len(str(path)) + 200


def test_a_bomb_takes_little_memory(tmp_path: Path) -> None:
    """Within what a small capture takes: nobody who may have no more than that is killed by one."""
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(bytes(1 << 28), 1))
    limited = f'ulimit -v {256 << 10}; exec "$@"'
    command = ["sh", "-c", limited, "sh", sys.executable, "-m", "nsagent", "scan", "--from", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (EXIT_FAILED, "")
    assert ran.stderr.startswith(f"nsagent: {path}: unpacks to more than ")


def test_a_capture_may_come_from_stdin(on_node: Run, node_capture: Path) -> None:
    ran = run_with_stdin("scan", "--from", "-", data=node_capture.read_bytes())
    assert (ran.returncode, ran.stdout.decode()) == (0, on_node("scan", "--from", node_capture).out)


@pytest.mark.parametrize(
    ("data", "essentials"),
    [(b"", "-: cut off after 0 bytes"), (b"{}", "-: not a capture"), (None, "-: cannot be read: it is a device")],
)
def test_stdin_that_has_no_capture_is_an_error(data: bytes | None, essentials: str) -> None:
    ran = run_with_stdin("scan", "--from", "-", data=data)
    assert (ran.returncode, ran.stdout, ran.stderr.count(b"\n")) == (EXIT_FAILED, b"", 1)
    assert essentials in ran.stderr.decode()
