"""`hostile_mounts.py MODE COUNT`: mount namespaces in which netns are mounted, and what their owner does about it.

COUNT is of mount namespaces, each with a process and a netns in which nobody is. MODE says what is done there:
`plain` nothing; `silent` and `held` put a FUSE over the mount point, of which the server reads nothing, or answers
everything but look-ups; `swap` one that lets nobody else close a file, and puts such a file by turns at fds of sockets;
`sizeless` one that tells of no file what it is, and keeps one open; `link` a directory with a symbolic link to
/run/secret/fifo; `mapped` a FUSE that takes nothing of what is written, for which the process that is said waits with
its mmap lock held. Or one mount namespace has COUNT mounts of one netns: `long`, each at a path of 3.4 KiB; `covered`,
all below another mount. Says `process PID NETNS` for each, `server PID` for whoever has to end before what it holds up
can, and `ready`; all ends with stdin.
"""

import ctypes
import itertools
import mmap
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
PR_SET_PDEATHSIG = 1
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PLACE = "/mnt"
NAMED = f"{PLACE}/below/netns"
FUSE_LOOKUP, FUSE_FORGET, FUSE_GETATTR, FUSE_INIT, FUSE_INTERRUPT, FUSE_BATCH_FORGET = 1, 2, 3, 26, 36, 42
FUSE_OPEN, FUSE_READ, FUSE_WRITE, FUSE_FLUSH = 14, 15, 16, 25
WITHOUT_ANSWER = (FUSE_FORGET, FUSE_BATCH_FORGET, FUSE_INTERRUPT)
ROOT_NODE, FILE_NODE, DIRECTORY, FILE, ENOSYS = 1, 2, 0o40755, 0o100644, 38
SWAPPED, SWAP_SECONDS = 12, 0.4
UNANSWERED = {"swap": FUSE_FLUSH, "mapped": FUSE_WRITE, "sizeless": FUSE_GETATTR}
PAGE = 4096
MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 0x02, 0x10, 0x20


def call(name: str, *arguments: object) -> None:
    if getattr(LIBC, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    call("mount", source.encode(), target.encode(), kind.encode(), flags, options.encode())


def make_file(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_CREAT))


def enter_own_mounts() -> None:
    call("unshare", CLONE_NEWNS)
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    mount("own", PLACE, "tmpfs")


def mount_new_netns(*paths: str) -> int:
    """Mount one new netns at these paths; its inode. Nobody is in it afterwards."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    call("unshare", CLONE_NEWNET)
    for path in paths:
        make_file(path)
        mount("/proc/self/ns/net", path, "none", MS_BIND)
    inode = os.stat("/proc/self/ns/net").st_ino
    call("setns", here, CLONE_NEWNET)
    os.close(here)
    return inode


def cover_by_link() -> None:
    mount("cover", f"{PLACE}/below", "tmpfs")
    os.symlink("/run/secret/fifo", NAMED)


def cover_by_fuse() -> int:
    """Put a FUSE over the mount point; the fd by which it is served."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    mount("held", PLACE, "fuse", options=options)
    return device


def serve(device: int, unanswered: int) -> None:
    """Answer everything but one kind of request, unless it is the parent's; every name is that of the same file."""

    def pack_attributes(node: int) -> bytes:
        mode = DIRECTORY if node == ROOT_NODE else FILE
        return struct.pack("=QQQQQQIIIIIIIIII", node, PAGE, *[0] * 7, mode, 2, 0, 0, 0, PAGE, 0)

    answers = {
        FUSE_INIT: struct.pack("=IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 9, 65536, 1, 16, 0, 0, *[0] * 7),
        FUSE_LOOKUP: struct.pack("=QQQQII", FILE_NODE, 0, 1, unanswered != FUSE_GETATTR, 0, 0)
        + pack_attributes(FILE_NODE),
        FUSE_OPEN: struct.pack("=QII", 1, 0, 0),
        FUSE_READ: bytes(PAGE),
        FUSE_FLUSH: b"",
    }
    while True:
        request = os.read(device, 1 << 20)
        _, kind, unique, node, _, _, pid = struct.unpack_from("=IIQQIII", request)
        answers[FUSE_GETATTR] = struct.pack("=QII", 1, 0, 0) + pack_attributes(node)
        if kind in WITHOUT_ANSWER or (kind == unanswered and pid != os.getppid()):
            continue
        if kind in answers:
            os.write(device, struct.pack("=IiQ", 16 + len(answers[kind]), 0, unique) + answers[kind])
        else:
            os.write(device, struct.pack("=IiQ", 16, -ENOSYS, unique))


def end_with_parent() -> None:
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)


def fork(work: Callable[[], None]) -> int:
    """A process that does its work and waits, once it has done that."""
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        end_with_parent()
        os.close(ready)
        try:
            work()
            os.write(done, b"x")
            while True:
                signal.pause()
        finally:
            os._exit(1)
    os.close(done)
    os.read(ready, 1)
    os.close(ready)
    return pid


def live_apart(mode: str) -> None:
    enter_own_mounts()
    inode = mount_new_netns(NAMED)
    if mode != "mapped":
        say("process", os.getpid(), inode)
    if mode == "plain":
        return
    if mode == "link":
        cover_by_link()
        return
    device = cover_by_fuse()
    if mode == "silent":
        return
    server = os.fork()
    if server == 0:
        end_with_parent()
        serve(device, UNANSWERED.get(mode, FUSE_LOOKUP))
    os.close(device)  # It is gone as soon as its server is.
    say("server", server)
    if mode in ("swap", "sizeless"):
        file = os.open(f"{PLACE}/file", os.O_RDONLY)
        if mode == "swap":
            swap_always(file)
    if mode == "mapped":
        say("process", hang(), inode)


def hang() -> int:
    """The pid of a process that waits for its file to be taken, as it maps something else in its place."""
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        end_with_parent()
        map_over_dirty(lambda: os.write(done, b"x"))
        os._exit(0)
    os.read(ready, 1)
    while b") D " not in read_stat(pid):
        time.sleep(0.01)
    return pid


def read_stat(pid: int) -> bytes:
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return stat.read()


def map_over_dirty(tell: Callable[[], object]) -> None:
    """Map a file, write to it, and map something else there: it is written back with the lock of all mappings held."""
    shared = mmap.mmap(os.open(f"{PLACE}/file", os.O_RDWR), PAGE)
    shared[0] = 1
    address = ctypes.addressof(ctypes.c_char.from_buffer(shared))
    tell()
    LIBC.mmap(
        ctypes.c_void_p(address),
        ctypes.c_size_t(PAGE),
        mmap.PROT_READ,
        MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS,
        -1,
        ctypes.c_long(0),
    )


def swap_always(file: int) -> None:
    """Put the file at the fds of sockets that were never bound, and the sockets back, each at a time of its own."""
    places = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach() for _ in range(SWAPPED)]
    sockets = [os.dup(place) for place in places]
    turns = itertools.count()

    def swap(*_: object) -> None:
        turn = next(turns)
        for number, place in enumerate(places):
            os.dup2(file if (turn + number) % SWAPPED < SWAPPED // 2 else sockets[number], place)

    signal.signal(signal.SIGALRM, swap)
    signal.setitimer(signal.ITIMER_REAL, *[SWAP_SECONDS / SWAPPED] * 2)


def mount_often(mode: str, count: int) -> None:
    enter_own_mounts()
    directory = f"{PLACE}/below" + ("/" + "x" * 240) * (14 if mode == "long" else 0)
    say("process", os.getpid(), mount_new_netns(*(f"{directory}/{number}" for number in range(count))))
    if mode == "covered":
        mount("cover", f"{PLACE}/below", "tmpfs")


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def main() -> None:
    mode, count = sys.argv[1], int(sys.argv[2])
    if mode in ("long", "covered"):
        fork(lambda: mount_often(mode, count))
    else:
        for _ in range(count):
            fork(lambda: live_apart(mode))
    say("ready")
    sys.stdin.read()


if __name__ == "__main__":
    main()
