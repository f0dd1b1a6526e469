"""Each command prints the same bytes for the same capture, in every format."""

from pathlib import Path

import pytest

from tests.golden import CAPTURES, golden_file, list_cases, replay


def test_there_is_a_capture_of_each_kind_of_host() -> None:
    assert [capture.name.removesuffix(".json.gz") for capture in CAPTURES] == [
        "busy",
        "docker",
        "earlier",
        "equal-addresses",
        "plain",
        "pods",
        "troubled",
    ]


@pytest.mark.parametrize(("capture", "command", "format_"), list(list_cases()))
def test_a_capture_prints_its_golden_output(capture: Path, command: str, format_: str) -> None:
    assert replay(capture, command, format_) == golden_file(capture, command, format_).read_bytes().decode()
