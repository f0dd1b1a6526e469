"""What is measured: nsagent, the C bound, the peers, and an empty typer program. Pure but for looking for programs."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

PATH: Final = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
HERE: Final = Path(__file__).parent
NSAGENT: Final = str(Path(sys.executable).with_name("nsagent"))

# One section for each INODE=PATH; the program is in "$1", so that a netns never becomes shell text.
_IN_EACH_NETNS: Final = """
program=$1; shift
for netns; do echo "netns ${netns%%=*}"; nsenter --net="${netns#*=}" $program; done
true
"""


class NetnsPath(NamedTuple):
    """A netns and a file that setns(2) takes."""

    inode: int
    path: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A program to measure.

    `command` is complete, but a `per_netns` tool takes INODE=PATH of each netns as further
    arguments. `parser` is the name of its parser in outputs.PARSERS, None if it lists no sockets.
    """

    name: str
    command: tuple[str, ...]
    parser: str | None = None
    per_netns: bool = False

    def arguments(self, netns: Sequence[NetnsPath]) -> list[str]:
        """The whole command line for a host with these netns."""
        each = [f"{inode}={path}" for inode, path in netns] if self.per_netns else []
        return [*self.command, *each]


def list_tools(bound: str) -> Mapping[str, Tool]:
    """Every tool by name; `bound` is the path of the compiled bound.c."""
    empty = str(HERE / "empty_typer.py")
    tools = (
        Tool("bound", (bound,)),
        Tool("scan", (NSAGENT, "scan", "-o", "json", "--engine", "sock_diag"), parser="nsagent"),
        # Names no owners: only its sockets are scored.
        Tool("scan-owners-container", (NSAGENT, "scan", "-o", "json", "--owners", "container"), parser="nsagent"),
        Tool("version", (NSAGENT, "--version")),
        Tool("ss", _in_each_netns("ss -tunapeH"), parser="ss", per_netns=True),
        Tool("lsof", _in_each_netns("lsof -nP -iTCP -iUDP -Fpfd"), parser="lsof", per_netns=True),
        Tool("psutil", (sys.executable, "-m", "tests.bench.psutil_rows"), parser="psutil", per_netns=True),
        Tool("help", (NSAGENT, "--help")),
        Tool("idle-scan", (NSAGENT, "scan")),
        Tool("typer", (sys.executable, empty)),
        Tool("typer-help", (sys.executable, empty, "--help")),
    )
    return {tool.name: tool for tool in tools}


def list_peers() -> list[str]:
    """The names of the peers that this machine has."""
    nsenter = shutil.which("nsenter", path=PATH) is not None
    peers = [name for name in ("ss", "lsof") if nsenter and shutil.which(name, path=PATH)]
    return [*peers, "psutil"] if importlib.util.find_spec("psutil") else peers


def _in_each_netns(program: str) -> tuple[str, ...]:
    return ("sh", "-c", _IN_EACH_NETNS, "sh", program)
