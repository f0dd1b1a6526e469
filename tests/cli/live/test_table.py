"""`nsagent scan --watch` on a terminal, as its user sees it."""

import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nsagent.agent.control import serve_socket
from nsagent.agent.metrics import Metrics
from nsagent.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NOT_FOUND, EXIT_PARTIAL, EXIT_USAGE
from nsagent.report.changes import change_record
from nsagent.report.prom import make_families
from tests.agent.boards import make_board
from tests.cli.conftest import NODE, run_with_stdin
from tests.cli.live.terminal import Terminal
from tests.cli.terminals import run_on_terminal
from tests.kernel.proc_tree import BUSY_SOCKSTAT, EMPTY_SOCKSTAT6, TCP_HEADER, ProcTree, text_row

SCAN = [sys.executable, "-m", "nsagent", "scan", "--runtime", "none"]
WATCH = [*SCAN, "-w", "--interval", "1d", "--proc-root"]
"""Behind it stands the procfs; passes are made by look_again."""

KEYS = "q quit, h help"
PLAIN, BOLD, HEADER = ("default", False, False), ("default", True, False), ("default", False, True)
GREEN = ("green", False, False)


def row(port: int, inode: int, state: int = 10) -> str:
    return text_row(f"0100007F:{port:04X}", "00000000:0000", state, inode)


class Host:
    """A procfs with one process, whose sockets change."""

    def __init__(self, root: Path) -> None:
        self.tree = ProcTree(root)
        self.tree.boot_id()
        self.tree.process(2, "kthreadd", flags=2097152 | 64)
        self.fds = {fd: f"socket:[{7000 + fd}]" for fd in range(3, 60)}
        self.tree.process(
            100, "数据库\x1b[31m", fds=self.fds, net={"sockstat": BUSY_SOCKSTAT, "sockstat6": EMPTY_SOCKSTAT6}
        )
        self.listen(80)

    def listen(self, *ports: int) -> None:
        """It listens at these ports, and at no others."""
        text = TCP_HEADER + "".join(row(port, 7003 + port % len(self.fds)) for port in ports)
        self.tree.write("100/net/next", text)
        # In one piece: a pass may read it at any time.
        os.replace(self.tree.root / "100/net/next", self.tree.root / "100/net/tcp")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "proc")


def watch(host: Host, *options: str, lines: int = 12, columns: int = 100, **settings: str | None) -> Terminal:
    """The table of a host, with its first pass on the screen; others are made by look_again."""
    return begin(Terminal([*WATCH, host.tree.path, *options], lines, columns, **settings))


def begin(terminal: Terminal) -> Terminal:
    """The terminal, once a first pass is on it."""
    try:
        terminal.wait_for(lambda now: re.search(r"rows \d+-\d+ of \d", now.lines[-1]))
    except AssertionError:
        terminal.__exit__(None, None, None)
        raise
    return terminal


def wait_for(terminal: Terminal, text: str) -> None:
    """Wait for a text, and for the rest of the screen on which it came: until the next one begins, by a cursor."""
    terminal.wait_for(text)
    terminal.type("/")
    terminal.wait_for(lambda now: now.cursor is not None)
    terminal.type("\x1b")
    terminal.wait_for(lambda now: now.cursor is None)


def look_again(terminal: Terminal) -> None:
    """Have a pass made now: one is, where the table goes on after a pause."""
    terminal.type("p")
    terminal.wait_for("paused")
    terminal.type("p")
    terminal.wait_for(lambda shown: shown.find("paused") is None)


def wait_for_change(terminal: Terminal) -> None:
    """Wait until the first line is another one."""
    shown = terminal.lines[0]
    terminal.wait_for(lambda now: now.lines[0] != shown)


def place(terminal: Terminal, text: str) -> int:
    """The number of the line with this text, which is there."""
    found = terminal.find(text)
    assert found is not None
    return found


def quit_whole(terminal: Terminal) -> None:
    terminal.type("q")
    assert (terminal.end(), terminal.is_whole()) == (0, True)


def test_the_table_is_that_of_scan_cell_by_cell_and_gives_the_terminal_back(host: Host) -> None:
    with watch(host) as terminal:
        plain = run_on_terminal([*SCAN, "--proc-root", host.tree.path, "--color", "never"], 100, LC_ALL="C.UTF-8")
        header = place(terminal, "NETNS")
        assert terminal.lines[header : header + 2] == plain.out.splitlines()
        assert "数据库\\x1b[31m" in terminal.lines[header + 1]
        assert (terminal.styles(header), terminal.cursor) == ({HEADER}, None)
        quit_whole(terminal)


def test_new_rows_are_bold_for_one_pass_and_those_that_are_gone_are_counted(host: Host) -> None:
    with watch(host, "--color", "never") as terminal:
        host.listen(80, 81)
        look_again(terminal)
        wait_for(terminal, " 1 new, 0 gone")
        styles = [terminal.styles(place(terminal, f"127.0.0.1:{port} ")) for port in (80, 81)]
        assert styles == [{PLAIN}, {BOLD}]
        host.listen(81)
        look_again(terminal)
        wait_for(terminal, " 0 new, 1 gone")
        assert terminal.find("127.0.0.1:80 ") is None
        assert terminal.styles(place(terminal, "127.0.0.1:81 ")) == {PLAIN}
        quit_whole(terminal)


@pytest.mark.parametrize(("no_color", "styles"), [(None, {PLAIN, GREEN}), ("1", {PLAIN})])
def test_what_listens_is_green_unless_nobody_wants_colours(
    host: Host, no_color: str | None, styles: set[object]
) -> None:
    with watch(host, NO_COLOR=no_color) as terminal:
        assert terminal.styles(place(terminal, "127.0.0.1:80 ")) == styles
        quit_whole(terminal)


def test_a_pass_in_which_nothing_has_changed_sends_little_more_than_its_time(host: Host) -> None:
    host.listen(*range(1000, 1030))
    with watch(host, "--interval", "200ms", lines=40) as terminal:
        before = len(terminal.told)
        for _ in range(3):
            wait_for_change(terminal)
        assert before > 2500
        assert len(terminal.told) - before < 900
        quit_whole(terminal)


def test_keys_scroll_sort_and_filter(host: Host) -> None:
    host.listen(*range(1000, 1030))
    with watch(host, columns=120) as terminal:
        terminal.type("\x1b[4~")
        terminal.wait_for("127.0.0.1:1029 ")
        terminal.type("\x1b[1~ssssr")
        terminal.wait_for("by -local  rows 1-")
        assert place(terminal, "127.0.0.1:1029 ") == place(terminal, "NETNS") + 1
        terminal.type("/1003\r")
        terminal.wait_for("/1003  by -local  rows 1-1 of 1")
        terminal.type("/\x15sport = :10x")
        terminal.wait_for("/sport = :10x")
        assert terminal.cursor == (11, 13)
        terminal.type("\r")
        terminal.wait_for("expected a port from 0 to 65535 or the name of a service, got '10x'")
        assert terminal.cursor == (11, 9)
        terminal.type("\x1b[4~\x7f05\r")
        terminal.wait_for("/sport = :1005  by -local  rows 1-1 of 1")
        assert place(terminal, "127.0.0.1:1005 ") == place(terminal, "NETNS") + 1
        quit_whole(terminal)


def test_help_and_all_columns_are_a_key_away(host: Host) -> None:
    with watch(host, lines=25, columns=60) as terminal:
        terminal.type("h")
        terminal.wait_for("Any key goes back")
        terminal.type(" w")
        terminal.wait_for(lambda now: now.find("Any key") is None and now.find("no room") is None)
        terminal.type("\x1b[C" * 16)
        terminal.wait_for("CONFIDENCE")
        quit_whole(terminal)


def test_another_size_is_taken_at_once(host: Host) -> None:
    host.listen(*range(1000, 1030))
    with watch(host, lines=10) as terminal:
        terminal.wait_for("rows 1-6 of 30")
        terminal.resize(20, 60)
        terminal.wait_for("rows 1-15 of 30")
        assert terminal.find("POD") is None
        terminal.resize(1, 3)
        terminal.resize(2, 120)
        terminal.resize(12, 120)
        terminal.wait_for("rows 1-8 of 30")
        quit_whole(terminal)


def test_a_terminal_with_a_second_screen_is_given_back_with_its_first(host: Host) -> None:
    with watch(host, TERM="xterm-256color") as terminal:
        assert b"\x1b[?1049h" in terminal.told
        quit_whole(terminal)


@pytest.mark.parametrize("end", ["\x03", "\x1c", signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_it_with_a_line_and_a_whole_terminal(host: Host, end: str | int) -> None:
    with watch(host) as terminal:
        terminal.type("/half a filter")
        terminal.wait_for("/half a filter")
        terminal.type(end) if isinstance(end, str) else terminal.send_signal(end)
        assert (terminal.end(), terminal.is_whole()) == (EXIT_INTERRUPTED, True)
        assert terminal.told.endswith(b"nsagent: interrupted\r\n")


@pytest.mark.parametrize("beside", [(), ("setsid", "--wait")])
def test_a_terminal_that_is_taken_away_ends_it(host: Host, beside: tuple[str, ...]) -> None:
    """Beside the session of the terminal no signal tells of it."""
    ignoring = ["bash", "-c", 'trap "" HUP; exec "$@"', "bash", *beside]
    with Terminal([*ignoring, *WATCH, host.tree.path]) as terminal:
        assert begin(terminal).hang_up() == EXIT_INTERRUPTED


def test_a_shell_stops_it_and_has_it_go_on(host: Host) -> None:
    shell = ["bash", "--norc", "--noprofile", "-i"]
    with Terminal(shell, PS1="ready>", HISTFILE=None) as terminal:
        terminal.wait_for("ready>")
        settings = terminal.settings
        terminal.type(f"{' '.join([*WATCH, host.tree.path])}\n")
        terminal.wait_for("rows 1-1 of 1")
        (child,) = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()
        for number in (signal.SIGTSTP, signal.SIGSTOP):
            if number == signal.SIGTSTP:
                terminal.type("\x1a")
                terminal.wait_for("Stopped")
                terminal.wait_for("ready>")
                assert (terminal.settings, terminal.cursor is not None) == (settings, True)
            else:  # Of which it is told nothing.
                os.kill(int(child), number)
                terminal.wait_for("ready>")
            terminal.type("clear; echo $((40 + 2))\n")
            terminal.wait_for("42\nready>")
            host.listen(80, 81)
            terminal.resize(14, 90)
            terminal.type("fg\n")
            terminal.wait_for(lambda now: now.find(KEYS) == 13 and now.find("ready>") is None)
            look_again(terminal)
            terminal.wait_for("rows 1-2 of 2")
        terminal.type("q")
        terminal.wait_for("ready>")
        assert terminal.settings == settings
        terminal.type("clear; echo status $?\n")
        terminal.wait_for("status 0\nready>")
        terminal.type("exit\n")
        terminal.end()


def test_an_error_leaves_the_terminal_whole_and_is_told_behind_it() -> None:
    program = (
        "from nsagent.cli.live.screen import open_screen\nwith open_screen():\n    raise ValueError('of the program')"
    )
    with Terminal([sys.executable, "-c", program]) as terminal:
        assert (terminal.end(), terminal.is_whole()) == (1, True)
        assert terminal.told.endswith(b"ValueError: of the program\r\n")


def test_what_the_first_pass_cannot_find_ends_it_as_it_ends_scan(host: Host) -> None:
    with Terminal([*WATCH, host.tree.path, "-c", "nosuch"]) as terminal:
        assert (terminal.end(), terminal.is_whole()) == (EXIT_NOT_FOUND, True)
        assert terminal.told.endswith(b"nsagent: no container 'nosuch' (looked in: cgroup paths)\r\n")


def test_a_label_that_no_container_has_is_told_beside_an_empty_table(host: Host) -> None:
    with Terminal([*WATCH, host.tree.path, "-ltnp"]) as terminal:
        terminal.wait_for("--label tnp: no container is known to have such labels")
        quit_whole(terminal)


def test_what_a_later_pass_cannot_find_is_told_until_it_is_there_again(host: Host) -> None:
    with watch(host, "--pid", "100") as terminal:
        stat = (host.tree.root / "100/stat").read_text()
        (host.tree.root / "100/stat").unlink()
        look_again(terminal)
        wait_for(terminal, "no process '100'")
        assert terminal.find("127.0.0.1:80 ") is None
        host.tree.write("100/stat", stat)
        look_again(terminal)
        wait_for(terminal, "127.0.0.1:80 ")
        assert terminal.find("no process") is None
        quit_whole(terminal)


@pytest.mark.parametrize(("root", "status"), [("proc", EXIT_PARTIAL), (str(NODE), 0)])
def test_with_strict_the_status_tells_whether_anything_could_not_be_seen(host: Host, root: str, status: int) -> None:
    path = host.tree.path if root == "proc" else root
    with Terminal([*WATCH, path, "--strict"]) as terminal:
        begin(terminal).type("q")
        assert (terminal.end(), terminal.is_whole()) == (status, True)


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Path]:
    """The socket of somebody who never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "silent.sock"))
        listener.listen()
        yield tmp_path / "silent.sock"


def test_a_pass_that_hangs_is_told_and_leaves_the_keys_alone(silent: Path) -> None:
    with Terminal([*SCAN[:4], "-w", "--agent", "--agent-socket", str(silent)], lines=20) as terminal:
        terminal.wait_for(KEYS)
        terminal.type("h")
        terminal.wait_for("Any key goes back")
        terminal.type("h/")
        terminal.type("x\r")
        terminal.wait_for("nothing has been read yet")
        terminal.type("\x1b")
        terminal.wait_for("reading for ")
        quit_whole(terminal)


def test_the_passes_of_an_agent_are_shown_and_that_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "nsagent" / "agent.sock"
    metrics = Metrics(make_families, clock=time.monotonic)
    with closing(serve_socket(str(path), make_board(), metrics, change_record, clock=time.monotonic)):
        terminal = begin(Terminal([*SCAN[:4], "-w", "--agent", "--agent-socket", str(path), "--listening"]))
    with terminal:
        shown = terminal.lines[place(terminal, " listen ")]
        look_again(terminal)
        wait_for(terminal, "no agent at")
        assert terminal.lines[place(terminal, " listen ")] == shown
        quit_whole(terminal)


def test_sockets_are_counted(host: Host) -> None:
    host.listen(80, 81, 82)
    with watch(host, "--count-by", "state,command") as terminal:
        header = place(terminal, "STATE")
        assert [line.split() for line in terminal.lines[header : header + 2]] == [
            ["STATE", "COMMAND", "COUNT"],
            ["listen", "数据库\\x1b[31m", "3"],
        ]
        quit_whole(terminal)


def test_a_socket_of_this_kernel_comes_and_goes() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        options = ["--interval", "1d", "--color", "never", f"sport = :{port}"]
        with Terminal([*SCAN, "-w", *options]) as terminal:
            begin(terminal)
            listener.listen()
            look_again(terminal)
            wait_for(terminal, " 1 new, 0 gone")
            line = place(terminal, f"127.0.0.1:{port} ")
            assert f" {os.getpid()} " in terminal.lines[line]
            assert terminal.styles(line) == {BOLD}
            listener.close()
            look_again(terminal)
            wait_for(terminal, " 0 new, 1 gone")
            quit_whole(terminal)


NO_INTERVAL = "--interval: expected a duration of 0.1s or more, like 500ms, 30s, 5m or 1h"
REFUSED: dict[tuple[str, ...], str] = {
    ("-w", "--from", "x"): "--from: a capture does not change, and --watch has nothing to show; leave --watch out",
    ("-w", "--capture", "x"): "--capture: --watch makes one pass after the other; use nsagent capture",
    ("-w", "-o", "json"): "--output: --watch has table and wide, got json; use nsagent watch -o jsonl for programs",
    ("-w", "--interval", "2"): f"{NO_INTERVAL}, got '2'",
    ("-w", "--interval", "10ms"): f"{NO_INTERVAL}, got '10ms'",
    ("--interval", "3s"): "--interval: not used without --watch",
}


def test_what_has_no_use_in_a_live_table_is_refused_in_a_line() -> None:
    """All in one process: each alone would load the same again."""
    program = (
        "import json, sys; from nsagent.cli.app import run\n"
        "print(*[run(['scan', *options]) for options in json.loads(sys.argv[1])])"
    )
    with Terminal([sys.executable, "-c", program, json.dumps(list(REFUSED))]) as terminal:
        assert terminal.end() == 0
        *told, statuses = terminal.told.decode().splitlines()
        assert told == [f"nsagent: {each}" for each in REFUSED.values()]
        assert statuses.split() == [str(EXIT_USAGE)] * len(REFUSED)


def test_a_variable_for_all_commands_does_not_refuse_it(host: Host) -> None:
    with watch(host, NSAGENT_OUTPUT="json") as terminal:
        quit_whole(terminal)


def test_a_terminal_that_is_no_screen_is_told() -> None:
    """In one process, in which terminfo is read once a terminal is known."""
    told = {
        "": "--watch: no terminal known here is of TERM '': most are xterm-256color",
        "no\x1bsuch": "--watch: no terminal known here is of TERM 'no\\x1bsuch': most are xterm-256color",
        "dumb": "--watch: a terminal of TERM 'dumb' has no places to write at: use nsagent watch",
    }
    program = (
        "import json, os, sys; from nsagent.cli.app import run\n"
        "for os.environ['TERM'] in json.loads(sys.argv[1]): print(run(['scan', '-w']))"
    )
    with Terminal([sys.executable, "-c", program, json.dumps(list(told))]) as terminal:
        assert terminal.end() == 0
        expected = [line for each in told.values() for line in (f"nsagent: {each}", str(EXIT_USAGE))]
        assert terminal.told.decode().splitlines() == expected


def test_where_stdout_or_stdin_is_none_it_says_so() -> None:
    arguments = [*WATCH[3:], str(NODE)]
    told = "is no terminal: use nsagent watch, which prints events in pipes too\n"
    ran = run_with_stdin(*arguments, data=None)
    assert (ran.returncode, ran.stdout, ran.stderr.decode()) == (EXIT_USAGE, b"", f"nsagent: --watch: stdout {told}")
    shown = run_on_terminal([*WATCH, str(NODE)], 80)
    assert (shown.status, shown.out, shown.err) == (EXIT_USAGE, "", f"nsagent: --watch: stdin {told}")


def test_a_python_without_curses_is_told() -> None:
    program = "import sys; sys.modules['_curses'] = None\nfrom nsagent.cli.app import run\nsys.exit(run(sys.argv[1:]))"
    with Terminal([sys.executable, "-c", program, *WATCH[3:], str(NODE)]) as terminal:
        assert terminal.end() == EXIT_FAILED
        assert terminal.told.decode() == (
            "nsagent: --watch needs curses, without which this Python was built: use nsagent watch\r\n"
        )


def test_a_locale_without_wide_characters_has_marks_in_their_place(host: Host) -> None:
    with watch(host, LC_ALL="C") as terminal:
        assert "???" in terminal.lines[place(terminal, "127.0.0.1:80 ")]
        quit_whole(terminal)
