"""inet_diag messages as a kernel of either byte order writes them, laid out after include/uapi/linux/inet_diag.h."""

import struct
from collections.abc import Sequence
from socket import AF_INET

from nsagent.model.net import ByteOrder

SOCK_DIAG_BY_FAMILY = 20
ORDER_SIGN: dict[ByteOrder, str] = {"little": "<", "big": ">"}


def make_message(
    *,
    byteorder: ByteOrder = "little",
    family: int = AF_INET,
    state: int = 1,
    timer: int = 0,
    expires_ms: int = 0,
    retransmits: int = 0,
    local: bytes = b"\x7f\0\0\1",
    local_port: int = 80,
    remote: bytes = b"\x7f\0\0\2",
    remote_port: int = 50000,
    interface: int = 0,
    cookie: int = 1,
    queues: tuple[int, int] = (0, 0),
    uid: int = 0,
    inode: int = 7732,
    attributes: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    """One message with its netlink header; addresses are 4 or 16 bytes in network order."""
    order = ORDER_SIGN[byteorder]
    body = struct.pack(order + "BBBB", family, state, timer, retransmits)
    body += struct.pack(">HH", local_port, remote_port) + local.ljust(16, b"\0") + remote.ljust(16, b"\0")
    body += struct.pack(order + "III", interface, cookie & 0xFFFFFFFF, cookie >> 32)
    body += struct.pack(order + "IIIII", expires_ms, *queues, uid, inode)
    for type_, payload in attributes:
        body += make_attribute(type_, payload, byteorder=byteorder)
    return struct.pack(order + "IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, 2, 1, 0) + body


def make_attribute(type_: int, payload: bytes, *, byteorder: ByteOrder = "little") -> bytes:
    """One netlink attribute, padded to 4 bytes."""
    header = struct.pack(ORDER_SIGN[byteorder] + "HH", 4 + len(payload), type_)
    return (header + payload).ljust((7 + len(payload)) & ~3, b"\0")
