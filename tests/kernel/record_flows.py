"""Record what conntrack tells of flows: `unshare --net python -m tests.kernel.record_flows FILE`, as root.

Makes flows over the loopback of an empty netns, one of them with NAT, and has the kernel forget them; what it tells is
written one message after the other. The tests hold the records that this gave.
"""

import select
import socket
import subprocess
import sys
import time
from pathlib import Path

from nsagent.kernel.conntrack_events import open_flow_groups

COMMANDS = """
ip link set lo up
iptables -t nat -A OUTPUT -p tcp --dport 8080 -j REDIRECT --to-ports 8081
iptables -A INPUT -m conntrack --ctstate INVALID -j DROP
ip6tables -A INPUT -m conntrack --ctstate INVALID -j DROP
sysctl -qw net.netfilter.nf_conntrack_udp_timeout=1 net.netfilter.nf_conntrack_tcp_timeout_time_wait=1
sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_close=1
"""
MESSAGES = 6
SECONDS = 60


def main(file: Path) -> None:
    """Do everything and write it down."""
    for command in COMMANDS.strip().splitlines():
        subprocess.run(command.split(), check=True)
    groups = open_flow_groups(1 << 20)
    poll = select.poll()
    poll.register(groups.fileno(), select.POLLIN)
    listener = socket.create_server(("127.0.0.1", 8081))
    client = socket.create_connection(("127.0.0.1", 8080), source_address=("127.0.0.2", 40001))
    server = listener.accept()[0]
    client.close()
    server.close()
    for family, address, number in ((socket.AF_INET, "127.0.0.1", 5353), (socket.AF_INET6, "::1", 5354)):
        with socket.socket(family, socket.SOCK_DGRAM) as bound, socket.socket(family, socket.SOCK_DGRAM) as other:
            bound.bind((address, number))
            other.bind((address, number + 10))
            other.sendto(b"hello", (address, number))
    kept: list[bytes] = []
    until = time.monotonic() + SECONDS
    while len(kept) < MESSAGES and time.monotonic() < until:
        poll.poll(1000)
        kept += [message.data for message in groups.read().messages]
    file.write_bytes(b"".join(kept))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
