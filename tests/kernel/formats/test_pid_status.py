"""Lines of /proc/PID/status."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.pid_status import Family, parse_family, parse_ids, parse_status, parse_status_memory
from nsagent.model.ids import Pid
from nsagent.model.process_details import Capabilities, Seccomp, Status, StatusMemory

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


RIGHTS = (
    STATUS.replace(b"Uid:\t0\t0\t0\t0\n", b"Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nFDSize:\t64\nGroups:\t9 10 \n")
    + b"VmPeak:\t    3060 kB\nVmSize:\t    3056 kB\nVmLck:\t       0 kB\nVmHWM:\t    1768 kB\nVmRSS:\t    1764 kB\n"
    b"VmSwap:\t       4 kB\nThreads:\t3\nCapInh:\t0000000000000000\nCapPrm:\t0000000000001001\n"
    b"CapEff:\t0000000000001000\nCapBnd:\t0000020000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
    b"Seccomp_filters:\t1\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n"
)
TOLD = Status(
    parent=Pid(14429),
    pids=(Pid(14433), Pid(104), Pid(1)),
    tracer=Pid(0),
    umask=0o22,
    uids=(1, 2, 3, 4),
    gids=(5, 6, 7, 8),
    groups=(9, 10),
    threads=3,
    capabilities=Capabilities((), ("chown", "net_admin"), ("net_admin",), ("cap_41",), ()),
    no_new_privs=True,
    seccomp=Seccomp.FILTER,
    seccomp_filters=1,
    voluntary_switches=150,
    involuntary_switches=545,
)


def test_real_and_effective_ids_are_told_apart() -> None:
    assert parse_ids(RIGHTS) == ((1, 2), (5, 6))


@pytest.mark.parametrize("status", [b"", STATUS, RIGHTS.replace(b"Gid:\t5", b"Gid:\t" + b"9" * 20)])
def test_ids_that_are_missing_or_malformed_are_told(status: bytes) -> None:
    with pytest.raises(FormatError):
        parse_ids(status)


def test_rights_are_told_by_name() -> None:
    assert parse_status(RIGHTS) == TOLD


def test_what_an_older_kernel_does_not_tell_is_unknown() -> None:
    lines = [line for line in RIGHTS.split(b"\n") if not line.startswith((b"Umask", b"NoNew", b"Seccomp", b"Threads"))]
    assert parse_status(b"\n".join(lines)) == TOLD._replace(
        umask=None, no_new_privs=None, seccomp=None, seccomp_filters=None, threads=None
    )


@pytest.mark.parametrize("name", [b"TracerPid", b"Uid", b"Gid", b"Groups", b"CapEff", b"PPid"])
def test_a_line_that_is_missing_is_an_error(name: bytes) -> None:
    with pytest.raises(FormatError):
        parse_status(RIGHTS.replace(name + b":", b"Other:"))


def test_memory_is_in_bytes_and_who_has_none_has_none() -> None:
    assert parse_status_memory(RIGHTS) == StatusMemory(3129344, 3133440, 1806336, 1810432, 4096, 0)
    assert parse_status_memory(STATUS) is None
    with pytest.raises(FormatError):
        parse_status_memory(RIGHTS.replace(b"3056 kB", b"3056 MB"))
