"""Golden output: what each command prints for each capture under fixtures/captures, in each format.

`python -m tests.golden` (`make golden`) writes it anew; tests/test_golden.py compares.
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from nsagent.cli.app import run

FIXTURES = Path(__file__).parent.parent / "fixtures"
CAPTURES = sorted((FIXTURES / "captures").glob("*.json.gz"))
COMMANDS = {
    "scan": ("table", "wide", "json", "jsonl", "yaml", "csv", "name"),
    "netns": ("table", "wide", "json", "jsonl", "yaml", "csv", "name"),
    "containers": ("table", "wide", "json", "jsonl", "yaml", "csv", "name"),
}

MORE = {
    "scan": ("markdown", "html", "prom"),
    "netns": ("markdown",),
    "containers": ("markdown",),
}
"""Formats that say what others say already, or are long: of one capture only."""
MORE_OF = "docker"


def list_cases() -> Iterator[tuple[Path, str, str]]:
    """Every (capture, command, format)."""
    for capture in CAPTURES:
        for command, formats in COMMANDS.items():
            more = MORE[command] if capture.name.startswith(f"{MORE_OF}.") else ()
            for format_ in (*formats, *more):
                yield capture, command, format_


def golden_file(capture: Path, command: str, format_: str) -> Path:
    """Where the output of one case is kept."""
    return FIXTURES / "golden" / capture.name.removesuffix(".json.gz") / f"{command}.{format_}"


def replay(capture: Path, command: str, format_: str) -> str:
    """What the command prints for a capture."""
    out = io.StringIO(newline="")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        status = run([command, "--from", str(capture), "--output", format_, "--color", "never"])
    assert status == 0
    return out.getvalue()


def main() -> None:
    """Write every case."""
    for case in list_cases():
        file = golden_file(*case)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(replay(*case), encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
