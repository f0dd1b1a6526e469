"""The pages that users read, and the commands on them, run as a shell runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.live.capabilities import Capability, require

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
CAPTURES = ROOT / "fixtures" / "captures"
HOSTS = {"recipes.md": "troubled"}
"""Page to the recorded host that its commands read; `docker` on the others."""


class Command(NamedTuple):
    """A command of a page, with the exit status that the page says: `# status 3` behind it, 0 where it says nothing."""

    page: str
    line: str
    status: int


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of every fenced block of that language."""
    return [
        (page.name, match[1])
        for page in PAGES
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    ]


def split_commands(page: str, text: str) -> list[Command]:
    """The commands of a block; a line that ends with a backslash goes on in the next one."""
    found = re.findall(r"((?:.*\\\n)*.*?)(?: +# status (\d))?\n", text)
    return [Command(page, line, int(status or 0)) for line, status in found if line]


def shell_commands() -> list[Command]:
    """Those of all `sh` blocks."""
    return [command for page, text in blocks("sh") for command in split_commands(page, text)]


def console() -> list[tuple[Command, str]]:
    """Those of all `console` blocks, each with the output that is shown below it."""
    shown = []
    for page, text in blocks("console"):
        prompt = re.match(r"\$ ((?:.*\\\n)*.*\n)", text)
        assert prompt is not None, page
        [command] = split_commands(page, prompt[1])
        shown.append((command, text[prompt.end() :]))
    return shown


def run(line: str, *, page: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line as on this page: nsagent is that of these tests, and reads the recorded host of the page.

    Skips the test where the line asks for jq, and there is none.
    """
    if "| jq " in line:
        require(Capability.JQ)
    variables = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NSAGENT_FROM": f"fixtures/captures/{HOSTS.get(page, 'docker')}.json.gz",
        **environment,
    }
    shell = ["bash", "-o", "pipefail", "-c", line]
    return subprocess.run(shell, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120, check=False)
