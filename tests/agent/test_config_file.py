"""The config file: whose it must be, what changes it, and what its reports may ask of other rooms."""

import os
import socket
import stat
from pathlib import Path

import pytest

from nsagent.agent.config_file import (
    MAX_BYTES,
    ConfigFile,
    ConfigWatch,
    Identity,
    find_misfits,
    identify,
    judge,
    load_config,
    read_config_file,
)
from nsagent.config.model import Config
from nsagent.errors import EXIT_USAGE, ConfigError

TEXT = b"version: 1\n"


def write(path: Path, content: bytes = TEXT, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def has_changed(file: ConfigFile) -> bool:
    return identify(file.path).is_other_than(file.identity)


def refusal(path: Path) -> str:
    file = read_config_file(str(path))
    assert file.content == b""
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert caught.value.exit_status == EXIT_USAGE
    return str(caught.value)


def found(mode: int, uid: int) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))


def test_a_change_counts_once_it_goes_no_further(tmp_path: Path) -> None:
    """The first half of a config is one, too: with fewer reports."""
    path = write(tmp_path / "config.yaml")
    watch = ConfigWatch(read_config_file(str(path)))
    told = []
    for content in (TEXT, b"version: 1\ninterval: 1", b"version: 1\ninterval: 10s\n", None, TEXT, TEXT):
        if content is not None:
            write(path, content)
        told.append((watch.look(), watch.is_changing))
    assert told == [(False, False), (False, True), (False, True), (True, True), (False, False), (False, False)]
    path.unlink()
    assert [watch.look() for _ in range(2)] == [False, True]


def test_a_file_is_read_with_what_tells_it_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "config.yaml")
    config = read_config_file(str(path))
    status = path.stat()
    assert (config.path, config.content) == (str(path), TEXT)
    assert config.identity[:4] == (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
    assert not has_changed(config)


@pytest.mark.parametrize(
    ("mode", "uid", "own_uid", "expected"),
    [
        (0o600, 0, 0, ""),
        (0o644, 0, 1000, ""),
        (0o640, 1000, 1000, ""),
        (0o600, 1001, 1000, "is of user 1001: expected root's, or user 1000's, who runs this"),
        (0o600, 1000, 0, "is of user 1000: expected root's, or user 0's, who runs this"),
        (0o664, 0, 0, "others may write it (mode 0664): chmod go-w"),
        (0o602, 0, 0, "others may write it (mode 0602): chmod go-w"),
    ],
)
def test_a_config_is_roots_or_the_own_users_and_of_nobody_else(
    mode: int, uid: int, own_uid: int, expected: str
) -> None:
    assert judge(found(stat.S_IFREG | mode, uid), own_uid) == expected


@pytest.mark.parametrize("kind", [stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_a_config_is_a_regular_file(kind: int) -> None:
    assert judge(found(kind | 0o600, 0), 0) == "expected a regular file"


def test_what_is_no_file_is_told_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    for name, why in (
        ("", "expected a regular file"),
        ("fifo", "expected a regular file"),
        ("socket", "cannot be read: No such device or address"),
        ("absent", "cannot be read: No such file or directory"),
        ("a\0b", "cannot be read: embedded null byte"),
    ):
        assert refusal(tmp_path / name) == f"{tmp_path / name}: {why}"


def test_a_file_that_others_may_write_is_not_followed(tmp_path: Path) -> None:
    path = write(tmp_path / "config.yaml", mode=0o620)
    assert refusal(path) == f"{path}: others may write it (mode 0620): chmod go-w"
    assert identify(str(path)).digest == ""


def test_no_more_is_read_than_shows_that_it_is_too_long(tmp_path: Path) -> None:
    path = write(tmp_path / "config.yaml", b"#" * (2 * MAX_BYTES))
    file = read_config_file(str(path))
    assert len(file.content) == MAX_BYTES + 1
    with pytest.raises(ConfigError, match="expected no more than 1 MiB"):
        load_config(file, {})


def test_another_content_is_a_change_even_with_the_times_and_the_size_of_the_old_one(tmp_path: Path) -> None:
    path = write(tmp_path / "config.yaml", b"version: 1\n")
    file = read_config_file(str(path))
    status = path.stat()
    write(path, b"version: 2\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert has_changed(file)


def test_the_same_content_in_another_file_is_no_change(tmp_path: Path) -> None:
    path = write(tmp_path / "config.yaml")
    file = read_config_file(str(path))
    write(tmp_path / "new").rename(path)
    os.utime(path, ns=(0, 0))
    assert not has_changed(file)


def test_a_file_that_is_gone_or_refused_is_a_change_and_then_none(tmp_path: Path) -> None:
    path = write(tmp_path / "config.yaml")
    file = read_config_file(str(path))
    path.chmod(0o666)
    assert has_changed(file)
    refused = read_config_file(str(path))
    assert not has_changed(refused)
    path.unlink()
    assert has_changed(file)
    assert has_changed(refused)


def test_the_swapped_link_of_a_config_map_is_a_change(tmp_path: Path) -> None:
    """As the kubelet does it: config.yaml -> ..data/config.yaml, ..data -> a directory with the time in its name."""
    for name, content in (("..1", b"version: 1\n"), ("..2", b"version: 1\ninterval: 1m\n")):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "config.yaml", content, 0o644)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    file = read_config_file(str(tmp_path / "config.yaml"))
    assert not has_changed(file)
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert has_changed(file)
    assert load_config(read_config_file(file.path), {}).interval == 60.0


def load_text(text: str) -> Config:
    return load_config(ConfigFile("F", text.encode(), Identity(0, 0, 0, 0, "")), {})


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("format: jsonl, columns: [pid, local]", []),
        ("format: prom, diff: true", ["F:2:40: reports[0].format: prom has nothing to say of changes"]),
        ("view: changes, sort_by: [pidd]", ["F:2:57: reports[0].sort_by[0]: no column 'pidd'"]),
        ("view: netns, diff: true", ["F:2:51: reports[0].diff: changes are told of sockets"]),
        ("view: top, group_by: [pod, podd]", ["F:2:59: reports[0].group_by[1]: no column 'podd'"]),
        ("view: top, group_by: [pod], sort_by: [-count, pid]", ["F:2:78: reports[0].sort_by[1]: no column 'pid'"]),
        ("view: netns, format: name", []),
        ("diff: true", []),
    ],
)
def test_a_report_that_could_not_be_written_is_told_before_it_is_due(keys: str, expected: list[str]) -> None:
    told = []
    try:
        load_text(f"version: 1\nreports: [{{name: a, every: 1m, {keys}}}]")
    except ConfigError as err:
        told = list(map(str, err.problems))
    assert [got[: len(wanted)] for got, wanted in zip(told, expected, strict=True)] == expected


def test_columns_and_runtimes_are_those_that_there_are() -> None:
    text = (
        "version: 1\nruntime: dokker\nreports:\n"
        "  - {name: a, every: 1m, format: csv, columns: [pid, pidd], sort_by: [-locale], group_by: [pod]}\n"
        "  - {name: b, every: 1m, format: csv, view: containers, columns: [local]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    told = [str(problem).partition(" (columns")[0] for problem in caught.value.problems]
    assert told[0].startswith("F:2:10: runtime: 'dokker': unknown kind 'dokker'")
    assert told[1:] == [
        "F:4:54: reports[0].columns[1]: no column 'pidd'; near names: pid",
        "F:4:71: reports[0].sort_by[0]: no column 'locale'; near names: local",
        "F:5:67: reports[1].columns[0]: no column 'local'",
    ]


def test_a_report_of_columns_that_there_are_fits() -> None:
    (report,) = load_text(
        "version: 1\nreports: [{name: a, every: 1m, view: listeners, format: csv, columns: [pid], sort_by: [-local]}]"
    ).reports
    assert list(find_misfits(report)) == []
