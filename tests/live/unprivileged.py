"""Running nsagent as an ordinary user, also where the interpreter stands in a private home.

The directories that Python needs are bind-mounted at a place that everybody may enter, in a mount
namespace that ends with the run: nothing is copied and nothing of the machine changes.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence

from tests.live.capabilities import PATH, Capability, lack
from tests.live.nsagent_cli import Ran, clean_environment, run_nsagent

UID = 65534
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_SOURCES = {"python": sys.base_prefix, "site": sysconfig.get_path("purelib"), "project": PROJECT}
_ENTER = """
set -e
cd "$1"; shift
mount --bind "$1" python; shift
mount --bind "$1" site; shift
mount --bind "$1" project; shift
exec "$@"
"""


class PlainUser:
    """A directory that everybody may enter, and commands that run there as uid 65534, `enter` before each."""

    def __init__(self, token: str, enter: Sequence[str] = ()) -> None:
        self._enter = enter
        self.directory = tempfile.mkdtemp(prefix=f"{token}-")
        os.chmod(self.directory, 0o755)  # noqa: S103 - the plain user has to get in
        for name in _SOURCES:
            os.mkdir(os.path.join(self.directory, name))

    def _command(self, *python_arguments: str) -> list[str]:
        become = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all", "--"]
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        python = os.path.join(self.directory, "python", "bin", f"python{version}")
        mounting = ["unshare", "--mount", "sh", "-c", _ENTER, "sh", self.directory, *_SOURCES.values()]
        return [*self._enter, *mounting, *become, python, *python_arguments]

    def _environment(self) -> Mapping[str, str]:
        places = [os.path.join(self.directory, name) for name in ("project", "site")]
        return clean_environment(
            PYTHONPATH=os.pathsep.join(places),
            PYTHONDONTWRITEBYTECODE="1",
            LD_LIBRARY_PATH=os.path.join(self.directory, "python", "lib"),
            PATH=PATH,
            HOME=self.directory,
        )

    def require_readable_interpreter(self) -> None:
        """Skip or fail the test if Python cannot import nsagent as this user."""
        done = subprocess.run(
            self._command("-c", f"import nsagent, sys, typer; assert sys.version == {sys.version!r}"),
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if done.returncode != 0:
            lack(Capability.READABLE_INTERPRETER, done.stderr.strip()[-500:])

    def run_nsagent(self, *arguments: str) -> Ran:
        """nsagent, as this user."""
        return run_nsagent(*arguments, command=self._command("-m", "nsagent"), env=self._environment())

    def publish(self, path: str) -> str:
        """Where this user can read a copy of a file."""
        copy = os.path.join(self.directory, os.path.basename(path))
        shutil.copyfile(path, copy)
        os.chmod(copy, 0o644)
        return copy

    def close(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.directory)
