"""How sockets are read here, and what a security module says."""

from pathlib import Path

import pytest

from nsagent.doctor.host import check_confinement, check_engine
from nsagent.kernel.capabilities import Capability
from nsagent.model.check import Check, CheckState

ENTER = 1 << Capability.SYS_ADMIN


def test_who_may_enter_netns_reads_all_of_them_by_netlink() -> None:
    assert check_engine(ENTER) == Check(
        "sock_diag", "engine", CheckState.USED, detail="the best there is in this version"
    )


def test_who_may_not_is_told_what_that_would_take() -> None:
    check = check_engine(0)
    assert (check.subject, check.state, check.fix) == (
        "sock_diag",
        CheckState.USED,
        "add CAP_SYS_ADMIN, to enter netns",
    )


@pytest.mark.parametrize(
    ("label", "subject", "state"),
    [
        ("unconfined\n", "unconfined", CheckState.USED),
        ("docker-default (enforce)\n", "docker-default (enforce)", CheckState.FAILED),
        ("cri-containerd.apparmor.d (complain)\n", "cri-containerd.apparmor.d (complain)", CheckState.USED),
        ("", "none", CheckState.USED),
        (None, "none", CheckState.USED),
    ],
)
def test_a_profile_that_is_enforced_stands_in_the_way(
    tmp_path: Path, label: str | None, subject: str, state: CheckState
) -> None:
    if label is not None:
        (tmp_path / "attr").mkdir()
        (tmp_path / "attr" / "current").write_text(label)
    check = check_confinement(str(tmp_path))
    assert (check.subject, check.state, check.fix is not None) == (subject, state, state is CheckState.FAILED)
