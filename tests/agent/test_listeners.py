"""Where the agent listens, and where it refuses to."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nsagent.agent.listeners import UnixListener, open_tcp, open_unix, split_listen
from nsagent.errors import ServeFailed


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One that is ours alone."""
    path = tmp_path / "nsagent"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def listener(directory: Path) -> Iterator[UnixListener]:
    opened = open_unix(str(directory / "agent.sock"))
    yield opened
    opened.socket.close()


@pytest.mark.parametrize(
    ("listen", "parts"),
    [("127.0.0.1:9469", ("127.0.0.1", 9469)), ("[::1]:0", ("::1", 0)), ("localhost:65535", ("localhost", 65535))],
)
def test_an_address_and_a_port_are_told_apart(listen: str, parts: tuple[str, int]) -> None:
    assert split_listen(listen) == parts


@pytest.mark.parametrize("listen", ["", "127.0.0.1", ":9469", "::1:9469", "127.0.0.1:65536", "127.0.0.1:-1", "a:٣"])
def test_what_is_no_address_and_port_is_told_in_one_line(listen: str) -> None:
    with pytest.raises(ServeFailed, match="expected ADDRESS:PORT"):
        split_listen(listen)


def test_a_port_that_is_taken_is_one_line() -> None:
    taken = open_tcp("127.0.0.1:0", has_token=False)
    with taken.socket:
        assert taken.is_loopback
        port = taken.socket.getsockname()[1]
        with pytest.raises(ServeFailed) as raised:
            open_tcp(f"127.0.0.1:{port}", has_token=False)
    assert str(raised.value) == f"http: 127.0.0.1:{port}: cannot listen there: Address already in use"


@pytest.mark.parametrize(
    ("listen", "text"),
    [
        ("192.0.2.1:9469", "cannot listen there: Cannot assign requested address"),
        ("[::ffff:300.0.0.1]:1", "no such address"),
        ("0.0.0.0:0", "all addresses of the host are served with a token_file only"),
        ("[::]:0", "all addresses of the host are served with a token_file only"),
    ],
)
def test_an_address_that_is_not_there_or_is_all_of_them_is_one_line(listen: str, text: str) -> None:
    with pytest.raises(ServeFailed) as raised:
        open_tcp(listen, has_token=False)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_all_addresses_are_served_where_a_token_is_asked_for() -> None:
    opened = open_tcp("0.0.0.0:0", has_token=True)
    with opened.socket:
        assert not opened.is_loopback


def test_the_directory_and_the_socket_are_for_the_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        opened = open_unix(str(tmp_path / "nsagent" / "agent.sock"))
    finally:
        os.umask(before)
    with opened.socket:
        assert stat.filemode((tmp_path / "nsagent").stat().st_mode) == "drwx------"
        assert stat.filemode((tmp_path / "nsagent" / "agent.sock").stat().st_mode) == "srw-------"


def test_a_socket_that_somebody_answers_at_is_left_alone(directory: Path, listener: UnixListener) -> None:
    with pytest.raises(ServeFailed, match="another agent answers there"):
        open_unix(str(directory / "agent.sock"))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listener.path)


def test_a_socket_that_an_agent_has_left_behind_is_replaced(directory: Path) -> None:
    path = directory / "agent.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    opened = open_unix(str(path))
    with opened.socket, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert opened.file[1] == path.stat().st_ino


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nothing")])
def test_what_is_no_socket_is_never_taken_away(directory: Path, make: Callable[[Path], None]) -> None:
    path = directory / "agent.sock"
    make(path)
    before = path.lstat()
    with pytest.raises(ServeFailed, match="is there already, and no socket"):
        open_unix(str(path))
    assert path.lstat().st_ino == before.st_ino


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o770])
def test_a_directory_that_is_open_to_others_is_refused(directory: Path, mode: int) -> None:
    directory.chmod(mode)
    with pytest.raises(ServeFailed, match="open to others: chmod 0700"):
        open_unix(str(directory / "agent.sock"))
    assert list(directory.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory of another user")
def test_a_directory_of_another_user_is_refused(directory: Path) -> None:
    os.chown(directory, 65534, 65534)
    with pytest.raises(ServeFailed, match="belongs to uid 65534"):
        open_unix(str(directory / "agent.sock"))


def test_a_link_in_the_place_of_the_directory_is_refused(tmp_path: Path, directory: Path) -> None:
    (tmp_path / "link").symlink_to(directory)
    with pytest.raises(ServeFailed, match="cannot listen there"):
        open_unix(str(tmp_path / "link" / "agent.sock"))


def test_a_path_that_the_kernel_does_not_take_is_one_line(directory: Path) -> None:
    with pytest.raises(ServeFailed, match="longer than the 107 bytes"):
        open_unix(str(directory / ("x" * 108)))


def test_its_file_is_removed_unless_another_one_is_there(directory: Path, listener: UnixListener) -> None:
    listener.remove()
    assert list(directory.iterdir()) == []
    Path(listener.path).touch()
    listener.remove()
    assert Path(listener.path).exists()
