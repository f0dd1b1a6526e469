"""What nsagent offers to other programs: the examples of docs/library.md run, and nothing is loaded too early."""

import contextlib
import io
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import nsagent
from tests.live.capabilities import Capability, require

PAGE = (Path(__file__).parent.parent / "docs" / "library.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMM = Path("/proc/self/comm").read_text().removesuffix("\n")


def run(example: str, directory: Path) -> list[str]:
    """The lines that an example prints."""
    path = directory / "example.py"
    path.write_text(example)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(os.fspath(path))
    return printed.getvalue().splitlines()


def test_the_example_of_a_resolver_finds_this_very_process_at_both_ends(tmp_path: Path) -> None:
    assert [line.rpartition(" ")[0] for line in run(EXAMPLES[0], tmp_path)] == [f"['{COMM}']"] * 2


def test_the_example_of_process_events_tells_of_a_child_and_its_child(tmp_path: Path) -> None:
    require(Capability.PROCESS_EVENTS)
    lines = [re.sub(r"\d{2,}", "PID", line) for line in run(EXAMPLES[1], tmp_path)]
    # Whether the exec of the child itself comes before it is watched, or after, is open.
    assert [line for line in lines if not line.startswith("exec")] == [
        "fork PID PID None",
        "exit PID None 1",
        "exit PID None 3",
    ]


def test_the_example_of_a_snapshot_prints_a_line_for_each_socket(tmp_path: Path) -> None:
    lines = run(EXAMPLES[2], tmp_path)
    assert all(re.fullmatch(r"(tcp|udp) \w+ Endpoint\(.*\) \[[\d, ]*\]", line) for line in lines), lines
    assert len(EXAMPLES) == 3


def test_all_that_is_offered_is_there_and_told_of() -> None:
    assert [name for name in nsagent.__all__ if getattr(nsagent, name).__name__ != name] == []
    assert set(nsagent.__all__) <= set(dir(nsagent))
    assert [name for name in nsagent.__all__ if not re.search(rf"\b{name}\b", PAGE)] == []
    assert set(re.findall(r"nsagent\.([A-Za-z]\w+)", PAGE)) <= {*nsagent.__all__}


def test_what_is_not_offered_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nsagent.nothing


def test_the_package_loads_nothing_of_its_own_before_it_is_asked_for() -> None:
    program = "import sys, nsagent; print(*(name for name in sys.modules if name.startswith('nsagent')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["nsagent"]
