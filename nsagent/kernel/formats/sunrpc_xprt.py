"""The files of one transport of the kernel's RPC client below /sys/kernel/sunrpc/xprt-switches.

Source: net/sunrpc/sysfs.c rpc_sysfs_xprt_srcaddr_show(), rpc_sysfs_xprt_dstaddr_show(),
rpc_sysfs_xprt_info_show().
"""

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from nsagent.errors import FormatError
from nsagent.model.facts import Flow
from nsagent.model.net import Endpoint, Family


def parse_ports(info: str) -> tuple[int, int] | None:
    """The local and the remote port, of the text of xprt_info; None where it has no connection.

    A transport that goes back over the connection of another one has no ports. Raises FormatError.
    """
    if info.startswith("<"):  # "<closed>"
        return None
    told = dict(line.split("=", 1) for line in info.splitlines() if "=" in line)
    try:
        local, remote = int(told["src_port"]), int(told["dst_port"])
    except (KeyError, ValueError) as err:
        raise FormatError("src_port and dst_port", info) from err
    return (local, remote) if local and remote else None


def make_flow(ports: tuple[int, int], source: str, destination: str) -> Flow | None:
    """The connection between these ports, by the texts of srcaddr and dstaddr.

    None where it is closed by now, or no socket ("<closed>", "<not a socket>"). Raises FormatError.
    """
    if source.startswith("<"):
        return None
    family = AF_INET6 if ":" in source else AF_INET
    try:
        local, remote = (inet_ntop(family, inet_pton(family, text.strip())) for text in (source, destination))
    except (OSError, ValueError) as err:
        raise FormatError("two addresses of one family", f"{source} {destination}") from err
    return Flow(
        Family.IPV6 if family == AF_INET6 else Family.IPV4, Endpoint(local, ports[0]), Endpoint(remote, ports[1])
    )
