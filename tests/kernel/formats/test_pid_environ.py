"""/proc/PID/environ."""

from nsagent.kernel.formats.pid_environ import parse_environ


def test_variables_end_with_nul_and_may_hold_anything_else() -> None:
    """OpenSnitch strips white space off the block, and breaks at what is no UTF-8."""
    assert parse_environ(b"A=1\0B=x y\n\0C=\0D=\xff=\0", 100) == (("A=1", "B=x y\n", "C=", "D=\udcff="), False)
    assert parse_environ(b"", 100) == ((), False)
    assert parse_environ(b"\0\0A=1\0\0", 100) == (("A=1",), False)


def test_more_than_is_read_at_most_is_cut_and_says_so() -> None:
    assert parse_environ(b"A=1\0B=234", 7) == (("A=1", "B=2"), True)
