"""Record what sock_diag tells of sockets that die: `unshare --net python -m tests.kernel.record_socket_ends FILE`.

Makes sockets in an empty netns and closes one after the other; what the kernel tells is written one message after the
other. The tests hold the records that this gave: after a new recording cookies and what TCP counted have to be changed
there.
"""

import select
import socket
import struct
import subprocess
import sys
from pathlib import Path

from nsagent.kernel.destroy_events import GROUPS
from nsagent.kernel.multicast import Multicast
from nsagent.kernel.sock_diag import NETLINK_SOCK_DIAG

SO_LINGER_RESET = struct.pack("=ii", 1, 0)


def main(file: Path) -> None:
    """Do everything and write it down."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    groups = Multicast(NETLINK_SOCK_DIAG, GROUPS, "socket events", 1 << 20, all_netns=False)
    poll = select.poll()
    poll.register(groups.fileno(), select.POLLIN)
    kept = []

    def end(made: socket.socket) -> None:
        made.close()
        poll.poll()
        kept.append(netlink.recv(8192))

    with socket.fromfd(groups.fileno(), socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        listener = socket.create_server(("127.0.0.1", 8080))
        client = socket.create_connection(("127.0.0.1", 8080), source_address=("127.0.0.2", 40001))
        server = listener.accept()[0]
        client.sendall(bytes(1000))
        server.sendall(bytes(500))
        server.recv(1000, socket.MSG_WAITALL)
        client.recv(500, socket.MSG_WAITALL)
        # In order: then each end has sent its FIN, and the kernel still has to forget the one that was first.
        for one in (client, server, listener):
            end(one)
        listener = socket.socket(socket.AF_INET6)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", 8081))
        listener.listen()
        client = socket.create_connection(("127.0.0.1", 8081), source_address=("127.0.0.2", 40002))
        server = listener.accept()[0]
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, SO_LINGER_RESET)
        for one in (server, client, listener):
            end(one)
        for family, address, port in ((socket.AF_INET, "127.0.0.1", 5353), (socket.AF_INET6, "::1", 5354)):
            bound, connected = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
            bound.bind((address, port))
            connected.bind((address, port + 10))
            connected.connect((address, port))
            end(connected)
            end(bound)
        end(socket.socket())
    groups.close()
    file.write_bytes(b"".join(kept))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
