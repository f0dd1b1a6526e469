"""Start tests.bench.inside, or another program, in an own PID, mount and network namespace, and get its answer.

The namespaces die with their PID 1, and that ends when its stdin is closed, as it is with this process, whatever
ends it: no process, mount, netns or file is left behind.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from tests.bench.tools import HERE, PATH

ROOT: Final = HERE.parents[1]
PROGRAMS: Final = ("unshare", "mount", "umount", "gcc")
NAMESPACES: Final = ("--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net")


@dataclass(frozen=True, slots=True)
class Request:
    """What tests.bench.inside is asked for; `truth` is a file to be written."""

    state: str
    tools: Sequence[str]
    runs: int
    truth: str | None = None


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """What tests.bench.agent is asked for; `runs` is how often each of the agents is started that are compared."""

    state: str
    runs: int


@dataclass(frozen=True, slots=True)
class LookupRequest:
    """What tests.bench.lookup is asked for; `runs` is how often each command runs."""

    state: str
    runs: int


_PROGRAMS: Final = {
    Request: "tests.bench.inside",
    AgentRequest: "tests.bench.agent",
    LookupRequest: "tests.bench.lookup",
}

AnyRequest = Request | AgentRequest | LookupRequest


class SandboxFailed(Exception):
    """The state could not be made or measured; holds what was said on stderr."""


def find_missing_capability() -> str | None:
    """What this machine lacks for a measurement, in words; None if it has everything."""
    if os.geteuid() != 0:
        return "root"
    for program in PROGRAMS:
        if shutil.which(program, path=PATH) is None:
            return program
    done = subprocess.run(["unshare", *NAMESPACES, "true"], env={"PATH": PATH}, capture_output=True, check=False)
    return None if done.returncode == 0 else "CAP_SYS_ADMIN (unshare is refused)"


def run_inside(request: AnyRequest) -> dict[str, Any]:
    """The answer of the program that the request is for; raises SandboxFailed. Takes as long as the tools take."""
    inside = [sys.executable, "-m", _PROGRAMS[type(request)], json.dumps(asdict(request))]
    stdin, held = os.pipe()  # Popen's own pipe is closed once the answer is awaited.
    process = subprocess.Popen(
        ["unshare", *NAMESPACES, *inside],
        cwd=ROOT,
        env={**os.environ, "PATH": PATH},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    os.close(stdin)
    try:
        answer, said = process.communicate()
    except BaseException:
        os.close(held)
        process.communicate()  # returns when the last of them is gone: all of them hold stderr
        raise
    os.close(held)
    if process.returncode != 0:
        raise SandboxFailed(f"{request.state}: exit {process.returncode}\n{said}")
    result: dict[str, Any] = json.loads(answer)
    return result
