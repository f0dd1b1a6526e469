"""Giving rights back: by a thread of its own here, which takes them along when it ends."""

import os
from pathlib import Path

import pytest

from nsagent.errors import FormatError, NotRead
from nsagent.kernel.capabilities import Capability, give_back_capabilities, read_capabilities
from tests.kernel.apart import run_apart
from tests.live.capabilities import Capability as Needed
from tests.live.capabilities import require

THREAD = "/proc/thread-self"
KEPT = (Capability.DAC_READ_SEARCH, Capability.SYS_PTRACE)


def test_what_is_not_kept_is_gone_for_the_thread_and_for_good() -> None:
    require(Needed.ROOT)

    def work() -> None:
        before = read_capabilities(own=THREAD)
        give_back_capabilities(KEPT, own=THREAD)
        after = read_capabilities(own=THREAD)
        assert after == before & sum(1 << one for one in KEPT)
        status = Path(f"{THREAD}/status").read_text(encoding="utf-8")
        assert f"CapBnd:\t{after:016x}\n" in status
        assert "NoNewPrivs:\t1\n" in status
        give_back_capabilities(KEPT, own=THREAD)
        assert read_capabilities(own=THREAD) == after

    own = read_capabilities()
    run_apart(work)
    assert read_capabilities() == own


def test_without_the_right_to_read_all_processes_all_stay(tmp_path: Path) -> None:
    masks = "".join(f"{name}:\t{1 << 21:016x}\n" for name in ("CapInh", "CapPrm", "CapEff", "CapBnd"))
    (tmp_path / "status").write_text(f"{masks}NoNewPrivs:\t1\n", encoding="utf-8")
    own = read_capabilities()
    give_back_capabilities((), own=os.fspath(tmp_path))
    assert read_capabilities() == own


def test_a_process_that_cannot_read_its_rights_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotRead):
        read_capabilities(own=os.fspath(tmp_path / "nowhere"))
    (tmp_path / "status").write_text("Name:\tcat\n", encoding="utf-8")
    with pytest.raises(FormatError):
        read_capabilities(own=os.fspath(tmp_path))
