"""/proc/PID/fdinfo/FD of unix sockets and io_urings, recorded and live."""

import os
from functools import partial

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.fdinfo import parse_registered_sockets, parse_scm_fds
from nsagent.kernel.formats.release import is_at_least
from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Fd, Pid
from tests.kernel.children import start_child
from tests.kernel.damage import assert_fast, damaged
from tests.live.capabilities import Capability, lack

HEAD = b"pos:\t0\nflags:\t02000002\nmnt_id:\t10\nino:\t129461\n"
UNIX = HEAD + b"scm_fds: 3\n"
RING_HEAD = (
    HEAD
    + b"SqMask:\t0x7\nSqHead:\t0\nSQEs:\t1\n    0: opcode:ACCEPT, fd:0\nCQEs:\t0\nSqThread:\t-1\nSqThreadCpu:\t-1\n"
)
FILES = (
    b"    0: socket:[129439]\n"
    b"    1: /srv/a\\012b\\040socket:[1]\n"
    b"    3: /dev/null\n"
    b"    4: anon_inode:[eventpoll]\n"
    b"    5: \n"
    b"    7: socket:[129440]\n"
)
RING_TAIL = b"UserBufs:\t1\n    0: 0x7f0000000000/4096\nPollList:\nCqOverflowList:\nNAPI:\tdisabled\n"

PASS_THREE = """
left, right = socket.socketpair()
socket.send_fds(left, [b"x"], [0, 1, 2])
ready(f"{left.fileno()} {right.fileno()}"); wait()
"""
LISTEN_WITH_TWO = """
listener = socket.socket(socket.AF_UNIX); listener.bind(""); listener.listen()
client = socket.socket(socket.AF_UNIX); client.connect(listener.getsockname())
socket.send_fds(client, [b"x"], [0, 1])
ready(listener.fileno()); wait()
"""
REGISTER = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
SETUP, REGISTER, REGISTER_FILES = 425, 427, 2
ring = libc.syscall(SETUP, 8, (ctypes.c_char * 120)())
if ring < 0:
    ready(os.strerror(ctypes.get_errno())); wait(); sys.exit()
made = [socket.socket() for _ in range(2)]
other = os.open("/dev/null", os.O_RDONLY)
files = (ctypes.c_int * 5)(made[0].fileno(), -1, other, os.eventfd(0), made[1].fileno())
assert libc.syscall(REGISTER, ring, REGISTER_FILES, files, 5) == 0
inodes = [os.fstat(one.fileno()).st_ino for one in made]
for one in made: one.close()
ready(f"{ring} {inodes[0]} {inodes[1]}"); wait()
"""


parse_registered = partial(parse_registered_sockets, shows_paths=True)


def ring(files: bytes, slots: int = 8) -> bytes:
    """The fdinfo of a ring with these lines of registered files."""
    return RING_HEAD + b"UserFiles:\t%d\n" % slots + files + RING_TAIL


def read_fdinfo(pid: int, fd: int) -> bytes:
    """A live fdinfo, as a pass reads it."""
    with ProcFs().open_process(Pid(pid)) as process:
        return process.read_fdinfo(Fd(fd))


def test_descriptors_in_the_queue_of_a_unix_socket_are_counted() -> None:
    assert parse_scm_fds(UNIX) == 3


@pytest.mark.parametrize("text", [b"", HEAD, HEAD + b"xscm_fds: 3\n", ring(FILES)])
def test_a_file_that_tells_of_none_has_none(text: bytes) -> None:
    assert parse_scm_fds(text) == 0


@pytest.mark.parametrize(
    "text",
    [
        b"scm_fds: \n",
        b"scm_fds:3\n",
        b"scm_fds: -1\n",
        b"scm_fds: 3 \n",
        b"scm_fds: 4294967296\n",
        b"scm_fds: 3\nscm_fds: 3\n",
    ],
)
def test_a_damaged_count_is_a_format_error_that_holds_the_text(text: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_scm_fds(text)
    assert caught.value.text == text


def test_the_sockets_among_the_registered_files_come_by_slot() -> None:
    assert parse_registered(ring(FILES)) == (129439, 129440)


@pytest.mark.parametrize("files", [b"", b"    0: /dev/null\n"])
def test_a_ring_without_sockets_has_none(files: bytes) -> None:
    assert parse_registered(ring(files)) == ()


def test_slots_of_more_than_five_digits_are_read() -> None:
    assert parse_registered(ring(b"100000: socket:[5]\n", 100001)) == (5,)


def test_what_looks_like_a_socket_elsewhere_is_none() -> None:
    text = RING_HEAD + b"    0: socket:[1]\nUserFiles:\t1\n" + RING_TAIL + b"    0: socket:[2]\n"
    assert parse_registered(text) == ()


@pytest.mark.parametrize(
    "path",
    [b"/srv/socket:[7]", b"/socket:[7]", b"/srv/\\012\\040\\040\\040\\0401:\\040socket:[7]", b"/memfd:socket:[7]"],
)
def test_a_path_that_looks_like_a_socket_is_none(path: bytes) -> None:
    assert parse_registered(ring(b"    0: " + path + b"\n")) == ()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(HEAD, id="busy, or no ring"),
        pytest.param(RING_HEAD + b"UserFiles:\t8\n" + FILES, id="cut"),
        pytest.param(ring(FILES)[: len(RING_HEAD) + 40] + RING_TAIL, id="cut out"),
        pytest.param(RING_HEAD + b"UserFiles:\tx\n" + RING_TAIL, id="a count that is none"),
        pytest.param(RING_HEAD + b"UserFiles:\t4294967296\n" + RING_TAIL, id="a count out of range"),
        pytest.param(ring(b"    8: socket:[7]\n"), id="a slot out of range"),
        pytest.param(ring(b"    1: /a\n    1: socket:[7]\n"), id="a slot twice"),
        pytest.param(ring(b"    1: /a\n    0: socket:[7]\n"), id="slots out of order"),
        pytest.param(ring(b"    0: socket:[18446744073709551616]\n"), id="an inode out of range"),
        pytest.param(ring(b"    0: socket:[7] (deleted)\n"), id="white space"),
        pytest.param(ring(b"    0: socket:[x] y\n"), id="white space in what is no socket"),
    ],
)
def test_damage_is_a_format_error(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse_registered(text)


@pytest.mark.parametrize("name", [b"TCP", b"<none>", b"null"])
def test_names_of_older_kernels_which_tell_no_inode_are_a_format_error(name: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_registered(ring(b"    0: " + name + b"\n"))
    assert caught.value.text == b"    0: " + name


def test_of_files_by_their_bare_names_none_is_taken_for_a_socket() -> None:
    """One of them may be called so, or have a name with lines of its own."""
    for files in (b"    0: socket:[7]\n", b"    0: a\nUserFiles:\t0\nUserBufs:\t1\n"):
        with pytest.raises(FormatError):
            parse_registered_sockets(ring(files), shows_paths=False)
    assert parse_registered_sockets(ring(b"", 0), shows_paths=False) == ()


def test_damage_gives_a_value_or_a_format_error_and_nothing_else() -> None:
    for text in damaged([UNIX, ring(FILES)], 3000, 1):
        for parse in (parse_scm_fds, parse_registered):
            try:
                parse(text)
            except FormatError:
                continue


@pytest.mark.parametrize(
    "line", [b"    0: socket:[7]\n", b" " * 100, b"1" * 100, b"UserFiles:\t1\n", b"0: a\nUserFiles:\t9\n"]
)
def test_long_damage_is_parsed_fast(line: bytes) -> None:
    def parse(text: bytes) -> None:
        try:
            parse_registered(text)
        except FormatError:
            return

    assert_fast(parse, b"UserFiles:\t9\n" + line * (65536 // len(line)))


def test_descriptors_on_their_way_are_told_by_the_socket_that_will_receive_them() -> None:
    with start_child(PASS_THREE) as child:
        left, right = map(int, child.said.split())
        assert [parse_scm_fds(read_fdinfo(child.pid, fd)) for fd in (left, right)] == [0, 3]


def test_descriptors_on_their_way_to_a_socket_that_was_not_accepted_are_told_by_its_listener() -> None:
    with start_child(LISTEN_WITH_TWO) as child:
        assert parse_scm_fds(read_fdinfo(child.pid, int(child.said))) == 2


def test_sockets_that_only_a_ring_holds_are_found() -> None:
    with start_child(REGISTER) as child:
        if not child.said[:1].isdigit():
            lack(Capability.IO_URING, child.said)
        number, *inodes = map(int, child.said.split())
        text = read_fdinfo(child.pid, number)
        if is_at_least(os.uname().release, 6, 14):
            assert parse_registered(text) == tuple(inodes)
        with pytest.raises(FormatError):
            parse_registered_sockets(text, shows_paths=False)
