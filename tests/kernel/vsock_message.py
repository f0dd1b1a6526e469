"""vsock_diag messages, laid out after include/uapi/linux/vm_sockets_diag.h: few kernels can be asked for one."""

import struct
from socket import AF_VSOCK

from nsagent.model.net import ByteOrder
from tests.kernel.diag_message import ORDER_SIGN, SOCK_DIAG_BY_FAMILY

ANY = 0xFFFFFFFF
SOCK_STREAM = 1


def make_vsock(
    *,
    byteorder: ByteOrder = "little",
    state: int = 1,
    local: tuple[int, int] = (3, 1024),
    remote: tuple[int, int] = (2, 50000),
    inode: int = 7732,
    cookie: int = 1,
) -> bytes:
    """One message with its netlink header; an end is a context id and a port."""
    order = ORDER_SIGN[byteorder]
    body = struct.pack(order + "BBBB", AF_VSOCK, SOCK_STREAM, state, 0)
    body += struct.pack(order + "IIIIIII", *local, *remote, inode, cookie & 0xFFFFFFFF, cookie >> 32)
    return struct.pack(order + "IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, 2, 1, 0) + body
