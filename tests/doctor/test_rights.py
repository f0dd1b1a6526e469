"""What this process may do, as processes with fewer and fewer rights see it."""

import subprocess
import sys

import pytest

from tests.live.capabilities import Capability, require

PROGRAM = (
    "from nsagent.doctor.rights import check_rights; c = check_rights(); print(c.subject, c.state, c.fix, sep='|')"
)


@pytest.mark.parametrize(
    ("dropped", "told"),
    [
        ((), "events|used|None"),
        (("net_broadcast",), "base|used|add CAP_NET_BROADCAST"),
        (("net_admin",), "base|used|add CAP_NET_ADMIN"),
        (("net_admin", "sys_admin"), "observer|failed|add CAP_SYS_ADMIN, CAP_NET_ADMIN"),
        (
            ("net_admin", "sys_admin", "sys_ptrace", "dac_read_search"),
            "plain user|failed|add CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN, CAP_NET_ADMIN",
        ),
    ],
)
def test_rights_go_by_the_name_of_their_profile(dropped: tuple[str, ...], told: str) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    sets = ",".join(f"-{each}" for each in dropped)
    drop = ["setpriv", f"--bounding-set={sets}", f"--inh-caps={sets}", "--"] if dropped else []
    done = subprocess.run(
        [*drop, sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == told
