"""/proc/PID/maps."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.pid_maps import find_mappings, parse_maps, summarize_maps
from nsagent.model.process_details import Mapping, MapsSummary

LINES = (
    b"5562b2269000-5562b226b000 r--p 00000000 fe:00 260131                     /usr/bin/foo\n"
    b"5562b226b000-5562b226e000 r-xp 00002000 fe:00 260131                     /usr/bin/foo\n"
    b"5562b2270000-5562b2271000 ---p 00007000 fe:00 260131                     /usr/bin/foo\n"
    b"5562b3000000-5562b3001000 r-xp 00000000 fe:00 260132                     /usr/bin/foobar\n"
    b"5562b4000000-5562b4001000 rwxp 00000000 00:01 77                         /tmp/a b\\012c (deleted)\n"
    b"7f0000000000-7f0000002000 rw-p 00000000 00:00 0 \n"
    b"7ffc00000000-7ffc00001000 rw-p 00000000 00:00 0                          [stack]\n"
    b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
)


def test_a_path_has_spaces_and_its_newline_is_escaped() -> None:
    found = list(parse_maps(LINES))
    assert found[4] == Mapping(0x5562B4000000, 0x5562B4001000, "rwxp", 0, 0, 1, 77, "/tmp/a b\nc (deleted)")
    assert found[5].path == ""
    assert found[7] == Mapping(0xFFFFFFFFFF600000, 0xFFFFFFFFFF601000, "--xp", 0, 0, 0, 0, "[vsyscall]")
    assert [each.is_readable for each in found] == [True, True, False, True, True, True, True, False]


def test_a_line_that_is_cut_off_is_left_out() -> None:
    assert list(parse_maps(LINES[:-1])) == list(parse_maps(LINES))[:-1]
    assert list(parse_maps(b"")) == []


def test_the_summary_adds_up_what_is_mapped_by_what_it_is() -> None:
    page = 4096
    assert summarize_maps(parse_maps(LINES), cut=True) == MapsSummary(
        mappings=8,
        mapped_bytes=12 * page,
        anonymous_bytes=3 * page,
        executable_bytes=6 * page,
        writable_executable_bytes=page,
        files=("/usr/bin/foo", "/usr/bin/foobar", "/tmp/a b\nc (deleted)"),
        deleted_files=("/tmp/a b\nc (deleted)",),
        cut=True,
    )


def test_bug_46_a_path_is_compared_as_a_whole_and_may_be_that_of_a_deleted_file() -> None:
    """OpenSnitch takes /usr/bin/foobar for /usr/bin/foo."""
    mappings = list(parse_maps(LINES))
    assert find_mappings(mappings, "/usr/bin/foo") == tuple(mappings[:3])
    assert find_mappings(mappings, "/tmp/a b\nc") == (mappings[4],)
    assert find_mappings(mappings, "[stack]") == ()


def test_mappings_of_another_file_of_the_same_name_are_left_out() -> None:
    mappings = list(parse_maps(LINES))
    other = mappings[1]._replace(inode=9)
    assert find_mappings([*mappings[:2], other], "/usr/bin/foo") == tuple(mappings[:2])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"1-2 r--p 0 fe:00",
        b"x-2 r--p 0 fe:00 1",
        b"1-2 r--q 0 fe:00 1",
        b"1-2 r--p 0 fe:00 -1",
        b"1" * 17 + b"-2 r--p 0 1:1 1",
    ],
)
def test_a_malformed_line_is_an_error(line: bytes) -> None:
    with pytest.raises(FormatError):
        list(parse_maps(line + b"\n"))
