"""The real promtool, from Debian's package prometheus: kept below build/, without what else is in there.

`python -m tests.monitoring.promtool` fetches it (`make pytest` does, once), where apt has it.
"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent.parent
PROMTOOL = ROOT / "build" / "prometheus" / "promtool"


def run_promtool(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """promtool with these arguments in a directory, as it ended."""
    return subprocess.run(
        [PROMTOOL, *arguments], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )


def fetch() -> None:
    """Put it where it belongs: 19 MB are fetched, and nothing is installed that would start with the machine."""
    PROMTOOL.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=PROMTOOL.parent) as scratch:
        try:
            subprocess.run(["apt-get", "download", "prometheus"], cwd=scratch, capture_output=True, check=True)
        except (FileNotFoundError, subprocess.CalledProcessError):
            return
        (package,) = Path(scratch).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", package, scratch], check=True)
        (Path(scratch) / "usr" / "bin" / "promtool").rename(PROMTOOL)


if __name__ == "__main__":
    fetch()
