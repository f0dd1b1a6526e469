"""The program of the child that looks at what others have: a thread for each question, for none may hold up another.

A question about a mount is the index of the look-up, the inode of the netns and its mount points, separated by NUL,
with an fd on the /proc/PID directory of a process in that mount namespace. One about a socket comes without an fd: the
index, the inode of the socket, and at which fd of which process or thread it is. One about a process is the index, a
number, and what begins with the byte that says what is to be read (kernel.lookup_process), which is no slash, with an
fd on the /proc/PID directory of the process. An answer is the index and an errno; with 0 comes an fd on the netns, or
what was read: as bytes, or, where these are many, as an fd on them in memory. When its socket is closed it ends, or as
soon as nobody holds up one of its threads.

Only what is imported here is loaded: it runs in a new interpreter, without site.
"""

import os
import socket
import struct
import threading
from array import array
from errno import EAGAIN, EIO, ENOENT, ENOSYS
from typing import Final, NoReturn

from nsagent.kernel.libc import close_fd
from nsagent.kernel.nsfs import open_netns_below

QUESTION: Final = struct.Struct("=IQ")
SOCKET: Final = struct.Struct("=ii?")
"""The rest of a question about a socket: pid or tid, fd, whether it is a tid."""
ANSWER: Final = struct.Struct("=Ii")
MOST_BYTES: Final = 1 << 16
"""Of a question."""
MOST_INLINE_BYTES: Final = 1 << 13
"""Of what is read; of more only so many and one come like this, and all of it in memory."""

_STACK_BYTES: Final = 1 << 18


def main(number: int) -> NoReturn:
    """The whole life of the child: its socket is at this fd."""
    os.chdir("/")  # Where its parent was may be unmounted while this is held up.
    threading.stack_size(_STACK_BYTES)
    serve(socket.socket(fileno=number))
    os._exit(0)


def serve(asked: socket.socket) -> None:
    """Answer what is asked over a socket until its other end is closed."""
    while (received := receive(asked, MOST_BYTES))[0]:
        question, process = received
        index, _ = QUESTION.unpack_from(question)
        try:
            threading.Thread(target=_answer, args=(asked, index, question, process), daemon=True).start()
        except RuntimeError:
            _send(asked, index, EAGAIN)


def receive(connection: socket.socket, most_bytes: int) -> tuple[bytes, int | None]:
    """A message and the fd that came with it; b"" at the end. Raises OSError."""
    message, ancillary, _, _ = connection.recvmsg(most_bytes, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    fds = array("i")
    for _, _, data in ancillary:
        fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, fds[0] if fds else None


def send(connection: socket.socket, message: bytes, fd: int) -> None:
    """Send a message and an fd with it; raises OSError."""
    connection.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))])


def _answer(asked: socket.socket, index: int, question: bytes, process: int | None) -> None:
    try:
        if process is not None and question[QUESTION.size : QUESTION.size + 1] != b"/":
            _send_read(asked, index, _read(process, question))
            return
        fd = _open_mounted(process, question) if process is not None else _open_netns_of_socket(question)
    except OSError as err:
        _send(asked, index, err.errno or ENOENT)
        return
    send(asked, ANSWER.pack(index, 0), fd)
    close_fd(fd)


def _open_netns_of_socket(question: bytes) -> int:
    """The netns of a socket of somebody else; raises OSError."""
    from nsagent.errors import NsagentError
    from nsagent.kernel.pidfd import open_netns_of_socket

    _, inode = QUESTION.unpack_from(question)
    pid, fd, thread = SOCKET.unpack_from(question, QUESTION.size)
    try:
        return open_netns_of_socket(pid, fd, inode, thread=thread)
    except NsagentError as err:
        number = err.__cause__.errno if isinstance(err.__cause__, OSError) else None
        raise OSError(number or ENOSYS, str(err)) from err


def _open_mounted(process: int, question: bytes) -> int:
    """The netns that a process sees mounted, of which the directory is closed; raises OSError."""
    try:
        root = os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process)
    finally:
        close_fd(process)
    try:
        return _open_first(root, question)
    finally:
        close_fd(root)


def _read(process: int, question: bytes) -> bytes:
    """What is asked of a process, of which the directory is closed; raises OSError."""
    from nsagent.kernel.lookup_process import READS

    _, number = QUESTION.unpack_from(question)
    what = question[QUESTION.size :]
    try:
        return READS[what[:1]](process, number, what[1:])
    except (ValueError, OverflowError, struct.error) as err:
        # Who asks waits for an answer, whatever the file system of another one has told.
        raise OSError(EIO, str(err)) from err
    finally:
        close_fd(process)


def _send_read(asked: socket.socket, index: int, data: bytes) -> None:
    """Send what was read; raises OSError."""
    if len(data) <= MOST_INLINE_BYTES:
        asked.sendmsg([ANSWER.pack(index, 0), data])
        return
    memory = os.memfd_create("", os.MFD_CLOEXEC)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(memory, rest) :]
        send(asked, ANSWER.pack(index, 0) + data[: MOST_INLINE_BYTES + 1], memory)
    finally:
        close_fd(memory)


def _open_first(root: int, question: bytes) -> int:
    """The netns at the first of the mount points at which it is; raises OSError, of the last one, if it is at none."""
    _, inode = QUESTION.unpack_from(question)
    *others, last = map(os.fsdecode, question[QUESTION.size :].split(b"\0"))
    for mount_point in others:
        try:
            return open_netns_below(root, mount_point, inode)
        except OSError:
            continue
    return open_netns_below(root, last, inode)


def _send(asked: socket.socket, index: int, number: int) -> None:
    asked.sendmsg([ANSWER.pack(index, number)])
