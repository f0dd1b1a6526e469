"""/proc/PID/net/if_inet6: the IPv6 addresses of the interfaces of a netns.

Source: net/ipv6/addrconf.c if6_seq_show().
"""

from socket import AF_INET6, inet_ntop

from nsagent.errors import FormatError


def parse_if_inet6(text: str) -> tuple[str, ...]:
    """The addresses as "address/128", ascending by text; raises FormatError if a line is malformed."""
    # Not splitlines(): the name of an interface may hold any of its separators that is no space to the kernel.
    lines = text.removesuffix("\n").split("\n") if text else []
    try:
        packed = {bytes.fromhex(line.split()[0]) for line in lines}
        return tuple(sorted(f"{inet_ntop(AF_INET6, one)}/128" for one in packed))
    except (IndexError, ValueError) as err:
        raise FormatError("a row of /proc/PID/net/if_inet6", text) from err
