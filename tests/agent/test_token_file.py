"""A token counts only if it is in a file that nobody else has a say in."""

import os
from pathlib import Path

import pytest

from nsagent.agent.token_file import TokenFile
from nsagent.errors import ServeFailed
from tests.kernel.conftest import same_fds

__all__ = ["same_fds"]


def write(path: Path, text: str, mode: int = 0o600) -> TokenFile:
    path.write_text(text)
    path.chmod(mode)
    return TokenFile(str(path))


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
def test_it_is_read_from_a_file_of_ones_own(tmp_path: Path, mode: int) -> None:
    token = write(tmp_path / "token", " s3cret\n", mode)
    assert token.holds(b"s3cret")
    assert not token.holds(b"s3cre")
    assert not token.holds(b"")


def test_another_token_counts_from_the_next_request_on(tmp_path: Path) -> None:
    """A Secret of Kubernetes changes by a link that is swapped."""
    write(tmp_path / "one", "one")
    write(tmp_path / "two", "two")
    (tmp_path / "token").symlink_to("one")
    token = TokenFile(str(tmp_path / "token"))
    assert token.holds(b"one")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "token")
    assert (token.holds(b"one"), token.holds(b"two")) == (False, True)


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602, 0o666, 0o644])
def test_it_is_refused_where_others_may_read_or_write_it(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ServeFailed, match=r"token: others may read or write the token: chmod 0640, or less$"):
        write(tmp_path / "token", "s3cret", mode).read()


@pytest.mark.usefixtures("same_fds")
def test_it_is_refused_where_it_is_empty_or_none(tmp_path: Path) -> None:
    with pytest.raises(ServeFailed, match="holds no token"):
        write(tmp_path / "token", "\n").read()
    with pytest.raises(ServeFailed, match="No such file"):
        TokenFile(str(tmp_path / "absent")).read()
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir(mode=0o700)
    for name in ("pipe", "directory"):
        with pytest.raises(ServeFailed, match="not in a regular file"):
            TokenFile(str(tmp_path / name)).read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")
def test_it_is_refused_where_another_user_owns_it(tmp_path: Path) -> None:
    token = write(tmp_path / "token", "s3cret")
    os.chown(tmp_path / "token", 65534, 0)
    with pytest.raises(ServeFailed, match="belongs to uid 65534"):
        token.read()
