"""Lines of /proc/PID/stat."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import FormatError
from nsagent.kernel.formats.pid_stat import PF_KTHREAD, PidStat, parse_parent, parse_pid_stat, parse_start_stack

TAIL = (
    b" S 1 321 321 0 -1 4194560 1337 26061 0 8 2 3 29 12 20 0 5 0 4711 11616256 1284 18446744073709551615 1 1 0 0 0 0"
    b" 0 4096 81923 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)
EXPECTED = PidStat(comm="cron", state="S", flags=4194560, num_threads=5, start_ticks=4711)


def test_a_line_gives_the_fields_that_are_needed() -> None:
    assert parse_pid_stat(b"321 (cron)" + TAIL) == EXPECTED


@pytest.mark.parametrize(
    ("comm", "text"),
    [
        (b") R 1 \n\x1b[31m(", ") R 1 \n\x1b[31m("),
        (b"", ""),
        (b")", ")"),
        (b"((", "(("),
        (b"a b c", "a b c"),
        (b"\xff\xfe\xc3\xa9", "\udcff\udcfe\xe9"),
        (b") Z 1 1 1 1 1 2097152 1", ") Z 1 1 1 1 1 2097152 1"),
    ],
)
def test_a_comm_may_hold_anything(comm: bytes, text: str) -> None:
    assert parse_pid_stat(b"321 (" + comm + b")" + TAIL) == EXPECTED._replace(comm=text)


@given(st.binary(max_size=64))
def test_a_comm_of_any_bytes_comes_back(comm: bytes) -> None:
    assert parse_pid_stat(b"321 (" + comm + b")" + TAIL).comm.encode("utf-8", "surrogateescape") == comm


@pytest.mark.parametrize(("state", "dead"), [("R", False), ("S", False), ("D", False), ("Z", True), ("X", True)])
def test_zombies_and_the_dead_are_dead(state: str, dead: bool) -> None:
    assert EXPECTED._replace(state=state).is_dead is dead


@pytest.mark.parametrize(("flags", "kernel"), [(PF_KTHREAD, True), (0x208040, True), (4194560, False), (0, False)])
def test_a_kernel_thread_is_known_by_its_flag(flags: int, kernel: bool) -> None:
    assert EXPECTED._replace(flags=flags).is_kernel_thread is kernel


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"321 (cron)",
        b"321 cron S 1",
        b"321 )cron(" + TAIL,
        b"321 (cron" + TAIL,
        b"321 (cron)" + TAIL[:40],
        b"321 (cron)" + TAIL.replace(b"4194560", b"flags"),
        b"321 (cron)" + TAIL.replace(b" 4711 ", b" 4_711 "),
        b"321 (cron)" + TAIL.replace(b" 4711 ", b" +4711 "),
        b"321 (cron)" + TAIL.replace(b" 4711 ", b" -4711 "),
        b"321 (cron)" + TAIL.replace(b" 4711 ", b" " + b"1" * 5000 + b" "),
        b"321 (cron)" + TAIL.replace(b" S ", b" \xff "),
    ],
)
def test_a_damaged_line_is_a_format_error_that_holds_it(line: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_pid_stat(line)
    assert caught.value.text == line


def test_a_parent_is_found_behind_any_comm() -> None:
    assert parse_parent(b"321 () R 7 7)" + TAIL) == 1


@pytest.mark.parametrize("line", [b"", b"321 (cron)", b"321 (cron) S", b"321 (cron) S -1 2"])
def test_a_line_without_a_parent_is_an_error(line: bytes) -> None:
    with pytest.raises(FormatError):
        parse_parent(line)


def test_the_bottom_of_the_stack_is_the_28th_field() -> None:
    fields = b" ".join(b"%d" % number for number in range(4, 53))
    assert parse_start_stack(b"321 () R) S " + fields) == 28


@pytest.mark.parametrize("line", [b"", b"321 (cron) S 1"])
def test_a_line_without_a_stack_is_told(line: bytes) -> None:
    with pytest.raises(FormatError):
        parse_start_stack(line)
