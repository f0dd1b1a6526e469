"""manifests/nsagent.service as systemd reads it: no line that it does not know, and little that it need not have."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from nsagent.cli.rights import list_needed
from tests.live.capabilities import Capability, require

UNIT: Final = Path(__file__).parent.parent / "manifests" / "nsagent.service"
PAGE: Final = Path(__file__).parent.parent / "docs" / "install.md"
MOST_EXPOSED: Final = 30
"""Ten times what `systemd-analyze security` says, which is 10 for a service of root without any bounds."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a Python that is there."""
    require(Capability.SYSTEMD_ANALYZE)
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/opt/nsagent/bin/python", sys.executable))
    return path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_takes_each_line(unit: Path) -> None:
    done = analyze("verify", "--recursive-errors=no", str(unit))
    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []
    assert done.returncode == 0


def test_it_may_do_little_besides(unit: Path) -> None:
    done = analyze("security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED}", str(unit))
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if "✓" not in line)


def read_words(key: str) -> list[str]:
    """The words of a line that stands once."""
    (value,) = re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return str(value).split()


def test_it_grants_what_the_agent_keeps() -> None:
    """So that nothing is given back, and the children of a user who is not root have what they need."""
    needed = {f"CAP_{each.name}" for each in list_needed({"engine": None, "runtime": None, "dry_run": False}, {})}
    assert set(read_words("AmbientCapabilities")) == needed
    assert read_words("AmbientCapabilities") == read_words("CapabilityBoundingSet")


def test_it_is_made_for_where_the_page_installs_it() -> None:
    page = PAGE.read_text()
    (user,) = read_words("User")
    python = Path(read_words("ExecStart")[0])
    assert f"\npython3 -m venv {python.parents[1]}\n" in page
    assert re.search(rf"^useradd .* {user}$", page, re.MULTILINE)
