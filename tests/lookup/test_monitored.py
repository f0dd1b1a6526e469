"""Aliases of processes by what they run."""

import pytest

from nsagent.errors import UsageError
from nsagent.lookup.monitored import Aliases, Monitored, Program

JAVA = Program("/usr/lib/jvm/bin/java", ("java", "-jar", "x.jar"))
VIM = Program("/usr/bin/vim", ("/usr/bin/vim", "nginx.conf"))
KERNEL_THREAD = Program(None, ())
UNREADABLE = Program(None, None)


@pytest.mark.parametrize(
    ("monitored", "programs"),
    [
        (Monitored("x", cmdline="java -jar x"), [JAVA]),
        (Monitored("x", cmdline="nginx"), [VIM]),
        (Monitored("x", argv0="nginx"), []),
        (Monitored("x", argv0="vim"), [VIM]),
        (Monitored("x", argv0="/usr/bin/vim"), [VIM]),
        (Monitored("x", argv0="jav"), []),
        (Monitored("x", exe="/usr/lib/jvm/bin/java"), [JAVA]),
        (Monitored("x", exe="java"), []),
        (Monitored("x", regex=r"-jar \w+\.jar$"), [JAVA]),
        (Monitored("x", regex="^vim"), []),
        (Monitored("x", argv0="java", cmdline="y.jar"), []),
        (Monitored("x", argv0="java", exe="/usr/lib/jvm/bin/java", cmdline="x.jar", regex="jar"), [JAVA]),
    ],
)
def test_bug_15_a_pattern_is_held_against_arguments_with_spaces_and_never_against_nothing(
    monitored: Monitored, programs: list[Program]
) -> None:
    """A search in the bytes of cmdline, which have NULs, never found `java -jar x`, but `nginx` in `vim nginx.conf`."""
    aliases = Aliases([monitored])
    assert [one for one in (JAVA, VIM, KERNEL_THREAD, UNREADABLE) if aliases.find(one)] == programs


def test_bug_16_all_aliases_that_fit_are_told_in_order() -> None:
    aliases = Aliases(
        [Monitored("jar", cmdline=".jar"), Monitored("no", exe="/bin/no"), Monitored("java", argv0="java")]
    )
    assert aliases.find(JAVA) == ("jar", "java")


@pytest.mark.parametrize(
    ("monitored", "said"),
    [
        (Monitored("x", cmdline=""), "monitored 'x': cmdline is empty"),
        (Monitored("x", argv0="", exe=""), "argv0, exe is empty"),
        (Monitored("x", regex=""), "regex is empty"),
        (Monitored("", cmdline="x"), "alias is empty"),
        (Monitored("x"), "expected argv0, exe, cmdline or regex"),
        (Monitored("x", regex="("), "regex: missing"),
    ],
)
def test_bug_15_and_35_an_empty_pattern_is_an_error(monitored: Monitored, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Aliases([monitored])
