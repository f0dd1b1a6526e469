"""Lines of /proc/PID/status."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.pid_status import Family, parse_family
from nsagent.model.ids import Pid

STATUS = (
    b"Name:\tPPid:\\t7\\nNSpid:\\t9\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t14433\nNgid:\t0\nPid:\t14433\n"
    b"PPid:\t14429\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nNStgid:\t14433\t104\t1\nNSpid:\t14433\t104\t1\nNSpgid:\t14433\t104\t1\n"
)


def test_the_parent_and_the_pids_from_the_outer_namespace_to_the_own() -> None:
    assert parse_family(STATUS) == Family(Pid(14429), (Pid(14433), Pid(104), Pid(1)))


@pytest.mark.parametrize(
    "status",
    [
        b"",
        STATUS.replace(b"NSpid:\t14433", b"NSpid:\t"),
        STATUS.replace(b"NSpid:\t1", b"NSPID:\t1"),
        STATUS.replace(b"PPid:\t14429", b"PPid:\t-1"),
        STATUS.replace(b"PPid:\t14429", b"PPid:\t1\t2"),
        STATUS.replace(b"PPid:\t14429", b"PPid:\t" + b"9" * 20),
    ],
)
def test_lines_that_are_missing_or_malformed_are_told(status: bytes) -> None:
    with pytest.raises(FormatError):
        parse_family(status)
