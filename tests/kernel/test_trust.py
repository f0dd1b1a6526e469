"""Whom nothing has to be kept from."""

import pytest

from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.trust import is_trusted
from nsagent.model.ids import Pid
from tests.kernel.children import start_child
from tests.live.capabilities import Capability, require

OTHER_UID = ("setpriv", "--reuid=65534", "--clear-groups", "--")
UNDUMPABLE = "import ctypes; ctypes.CDLL(None).prctl(4, 0); "


@pytest.mark.parametrize(
    ("prefix", "program", "trusted"),
    [
        ((), "", True),
        (OTHER_UID, "", False),
        (OTHER_UID, UNDUMPABLE, False),
        (("unshare", "--mount", "--"), "", False),
        (("unshare", "--user", "--map-root-user", "--"), "", False),
    ],
)
def test_only_who_is_root_or_oneself_in_the_own_namespaces_is_trusted(
    prefix: tuple[str, ...], program: str, trusted: bool
) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    child = start_child(program + "ready(); wait()", *prefix)
    with child as started, ProcFs().open_process(Pid(started.pid)) as process:
        assert is_trusted(process) is trusted


def test_a_process_that_is_gone_is_not() -> None:
    with start_child("ready(); wait()") as child, ProcFs().open_process(Pid(child.pid)) as process:
        child.kill()
        assert not is_trusted(process)
