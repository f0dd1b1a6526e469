"""What .ci/install-apt-packages asks of apt, which a program stands for, and what it leaves behind."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final, NamedTuple

import pytest

SCRIPT: Final = Path(__file__).parent.parent / ".ci" / "install-apt-packages"
SHELL: Final = shutil.which("dash") or "sh"
"""Where a signal does not run what is trapped at EXIT, as it does in bash."""

APT: Final = """#!/bin/sh
echo "$*" >> "$TOLD/asked"
case "$*" in
    *--simulate*) for refused in $REFUSED; do
        case " $* " in *" $refused "*) echo 'E: remove is disabled.' >&2; exit 100 ;; esac
    done ;;
    install*) touch "$TOLD/installing"; [ -z "$SLOW" ] || exec sleep 60 ;;
esac
"""
PROGRAMS: Final = {"apt-get": APT, "dpkg-query": "#!/bin/sh\nexit 1\n", "id": "#!/bin/sh\necho 0\n"}


class Host(NamedTuple):
    """Stands for root's machine that lacks all packages."""

    place: Path

    @property
    def policy(self) -> Path:
        """What keeps daemons from starting."""
        return self.place / "policy-rc.d"

    @property
    def asked(self) -> list[str]:
        """What apt was asked to change, in the order of the questions."""
        lines = (self.place / "asked").read_text().splitlines()
        return [line for line in lines if line.startswith("install") and "--simulate" not in line]

    def start(self, *packages: str, refused: str = "", slow: str = "") -> subprocess.Popen[str]:
        """Have the packages installed, of which apt takes all but the refused; `slow` lets it take a minute."""
        (self.place / "list").write_text("".join(f"{one}\n" for one in packages))
        path = f"{self.place / 'bin'}:{os.environ['PATH']}"
        return subprocess.Popen(
            [SHELL, str(SCRIPT), str(self.place / "list"), str(self.policy)],
            env={**os.environ, "PATH": path, "TOLD": str(self.place), "REFUSED": refused, "SLOW": slow},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "bin").mkdir()
    for name, text in PROGRAMS.items():
        program = tmp_path / "bin" / name
        program.write_text(text)
        program.chmod(0o755)
    return Host(tmp_path)


def test_what_would_remove_another_package_is_left_out_and_told(host: Host) -> None:
    """As docker.io would Docker's own docker-ce, with the containers that run in it."""
    process = host.start("containerd", "crun", "docker.io", "jq", refused="containerd docker.io")
    _, err = process.communicate(timeout=60)
    line = "not installed, live tests that need them will skip: containerd docker.io (apt: remove is disabled.)\n"
    assert (process.returncode, err) == (0, line)
    assert host.asked == ["install -qq --yes --no-remove --no-install-recommends crun jq"]


def test_nothing_is_installed_where_apt_refuses_all(host: Host) -> None:
    process = host.start("runc", refused="runc")
    process.communicate(timeout=60)
    assert (process.returncode, host.asked, host.policy.exists()) == (0, [], False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_service_blocked(host: Host, number: signal.Signals) -> None:
    # Who is started by nohup(1) ignores SIGHUP, and no shell of his can trap it then.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        process = host.start("jq", slow="yes")
    finally:
        signal.signal(number, before)
    while not (host.place / "installing").exists():
        assert process.poll() is None
        time.sleep(0.01)
    assert host.policy.exists()
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert (process.returncode, host.policy.exists()) == (128 + number, False)
