"""Record messages of the process connector: `python -m tests.kernel.record_events FILE`, as root.

A child does one thing of each kind; what the kernel tells of it and its own children, and its answer to the
subscription, is written one message after the other. The tests hold the records that this gave: after a new
recording pids and times have to be changed there.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from nsagent.kernel.formats.cn_proc import (
    PROC_CN_MCAST_IGNORE,
    PROC_CN_MCAST_LISTEN,
    Ack,
    Fork,
    decode_message,
    encode_operation,
)

CONNECTOR, FORCE_RECEIVE_BUFFER = 11, 33
NUMBER = 7777
ACTS = """
import ctypes, os, signal, threading
thread = threading.Thread(target=lambda: None)
thread.start()
thread.join()
if not os.fork():
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
ctypes.CDLL(None).prctl(15, b"na\\xffme", 0, 0, 0)
os.setresgid(65534, 65534, 0)
os.setresuid(65534, 1000, 0)
os.setsid()
os._exit(3)
"""


def read_all(listener: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            yield listener.recv(8192)
        except BlockingIOError:
            return


def main(file: Path) -> None:
    """Do everything and write it down."""
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, CONNECTOR)
    listener.setsockopt(socket.SOL_SOCKET, FORCE_RECEIVE_BUFFER, 32 << 20)
    listener.bind((0, 1))
    listener.send(encode_operation(PROC_CN_MCAST_LISTEN, NUMBER))
    subprocess.run([sys.executable, "-S", "-c", ACTS], check=False)
    own, kept = {os.getpid()}, []
    for data in read_all(listener):
        message = decode_message(data)
        event = message.event if message else None
        if isinstance(event, Fork) and event.parent_tgid in own:
            own.add(event.tgid)
        other = event is None and int.from_bytes(data[52:56], sys.byteorder) in own
        if event.number == NUMBER if isinstance(event, Ack) else other or (event and event.tgid in own):
            kept.append(data)
    listener.send(encode_operation(PROC_CN_MCAST_IGNORE, 0))
    file.write_bytes(b"".join(kept))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
