"""Tokens: one line in a file that nobody else may write."""

import os
from pathlib import Path

import pytest

from nsagent.agent.outputs.small_file import MAX_TOKEN_BYTES, read_token
from nsagent.errors import PathRefused
from tests.live.capabilities import Capability, require


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "token"
    made.write_bytes(b"s3cret\n")
    made.chmod(0o400)
    return made


def refusal(path: Path) -> str:
    with pytest.raises(PathRefused) as refused:
        read_token(str(path))
    return str(refused.value)


@pytest.mark.parametrize("text", [b"s3cret", b"s3cret\n", b"s3cret\r\n"])
def test_a_token_is_the_line(path: Path, text: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(text)
    assert read_token(str(path)) == "s3cret"


def test_a_link_is_followed_as_kubernetes_swaps_it(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    assert read_token(str(tmp_path / "link")) == "s3cret"


@pytest.mark.parametrize("text", [b"", b"\n", b"a\nb\n", b"a\rX-Other: b", b"a b", b"\x00", b"\xc3\xa4", b"a\n\n"])
def test_what_would_not_fit_one_header_is_no_token(path: Path, text: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(text)
    assert refusal(path) == "expected one line of visible ASCII characters"


def test_a_file_without_end_is_read_no_further_than_a_token_goes(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"x" * (MAX_TOKEN_BYTES + 1))
    assert refusal(path) == f"it has more than {MAX_TOKEN_BYTES} bytes"


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert refusal(path) == f"others may write it (mode {mode:04o}, uid {os.geteuid()})"


def test_a_file_of_another_user_is_refused(path: Path) -> None:
    require(Capability.ROOT)
    os.chown(path, 65534, 65534)
    assert refusal(path) == "others may write it (mode 0400, uid 65534)"


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert refusal(tmp_path / "fifo") == "it is no regular file"
