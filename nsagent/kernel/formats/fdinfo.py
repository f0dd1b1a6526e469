"""/proc/PID/fdinfo/FD of unix sockets and of io_urings.

Source: proc_pid_fdinfo(5); net/unix/af_unix.c unix_show_fdinfo(), io_uring/fdinfo.c
__io_uring_show_fdinfo().
"""

import re

from nsagent.errors import FormatError
from nsagent.kernel.formats.fd_link import parse_inode_link
from nsagent.kernel.formats.numbers import parse_decimal
from nsagent.model.ids import SocketInode

_SCM_FDS = re.compile(rb"^scm_fds:(.*)$", re.MULTILINE)
_USER_FILES = re.compile(rb"^UserFiles:\t(.*)\n", re.MULTILINE)
_FILES = re.compile(rb"((?: *[0-9]+: .*\n)*)UserBufs:\t")
_LINE = re.compile(rb"(.*)\n")
# A path has its white space escaped; what is no path is named TYPE:[INODE] or TYPE:NAME.
_FILE = re.compile(rb" *([0-9]+): (?:(socket:\[[0-9]+\])|/[^ \t]*|[a-z_]+:[^ \t]*|)", re.DOTALL)


def parse_scm_fds(text: bytes) -> int:
    """How many descriptors wait in the queue of a unix socket; of a listener: in those it has not accepted.

    0 for other files, and on kernels (before 5.6) that do not tell. Raises FormatError.
    """
    found = _SCM_FDS.findall(text)
    if not found:
        return 0
    if len(found) > 1 or not found[0].startswith(b" "):
        raise FormatError("one line like `scm_fds: 1`", text)
    return _parse_number(found[0][1:], text)


def parse_registered_sockets(text: bytes, *, shows_paths: bool) -> tuple[SocketInode, ...]:
    """The sockets among the registered files of an io_uring, in the order of their slots.

    Raises FormatError where they are not told: the kernel leaves its part out while the ring is
    busy (reading again helps). `shows_paths`: the kernel is Linux 6.14 or later, which shows a path whole,
    so that it starts with `/`. Before, it shows the protocol of a socket, and of a file its bare name:
    that may be `socket:[7]`, and is not looked at.
    """
    start = _USER_FILES.search(text)
    files = _FILES.match(text, start.end()) if start else None
    if start is None or files is None:
        raise FormatError("the registered files of an io_uring", text)
    slots = _parse_number(start[1], text)
    if slots and not shows_paths:
        raise FormatError("the registered files of an io_uring by their paths", text)
    sockets: list[SocketInode] = []
    last = -1
    for found in _LINE.finditer(files[1]):
        line = found[1]
        match = _FILE.fullmatch(line)
        if match is None:
            raise FormatError("a slot and a file of an io_uring", line)
        slot = _parse_number(match[1], line)
        if not last < slot < slots:
            raise FormatError(f"a slot of an io_uring after {last} and below {slots}", line)
        last = slot
        if match[2] is not None:
            inode = parse_inode_link(match[2].decode("ascii"), "socket")
            if inode is None:
                raise FormatError("a socket of an io_uring", line)
            sockets.append(SocketInode(inode))
    return tuple(sockets)


def _parse_number(digits: bytes, text: bytes) -> int:
    try:
        return parse_decimal(digits, 32)
    except ValueError as err:
        raise FormatError("a number of 32 bits in fdinfo", text) from err
