"""An end as it is typed: `10.0.0.1:80`, `[::1]:80`, `[fe80::1%eth0]:80`, `*:80`, `:80`. Pure.

As tables have it, and ss, `[fe80::1]%eth0:80` is the same as `[fe80::1%eth0]:80`. Host names are none: what
they stand for depends on who asks, and where.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import AF_INET6, inet_ntop
from typing import Final, NamedTuple

from nsagent.errors import UsageError
from nsagent.query.filter import MAX_PORT

_END: Final = re.compile(r"(?:\[([^\[\]]*)\](%[^:\[\]]+)?|([^:\[\]]*)):([^:]*)")
"""An address in brackets, with an interface or not, or one without, and a port."""

_EXPECTED: Final = "expected ADDRESS:PORT, as 10.0.0.1:80, [::1]:80 or *:80"


class AskedEnd(NamedTuple):
    """One end of a socket, or of a packet, that is asked for."""

    address: str | None
    """As tables show it, an IPv4 address that is mapped into IPv6 as IPv4; None for any."""
    port: int
    interface: str | None = None
    """The name or index of the interface by which a link-local address is meant, None where none was told."""

    def __str__(self) -> str:
        if self.address is None or ":" not in self.address:
            return f"{self.address or '*'}:{self.port}"
        return f"[{self.address}{f'%{self.interface}' if self.interface else ''}]:{self.port}"


def parse_end(text: str) -> AskedEnd:
    """The end that a text means; raises UsageError, which says what is wrong with it."""
    match = _END.fullmatch(text.strip())
    if match is None:
        if _is_ipv6(text) or _is_ipv6(text.rpartition(":")[0]):
            raise UsageError(f"{text!r}: an IPv6 address stands in brackets before its port, as [::1]:80")
        raise UsageError(f"{text!r}: {_EXPECTED}")
    bracketed, interface, bare, port = match.groups()
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 1 <= int(port) <= MAX_PORT):
        raise UsageError(f"{text!r}: expected a port from 1 to {MAX_PORT}, got {port!r}")
    if bracketed is None and bare in ("", "*"):
        return AskedEnd(None, int(port))
    if bracketed is None:
        return make_end(bare, int(port))
    address = bracketed + (interface or "")
    if not _is_ipv6(address):
        raise UsageError(f"{text!r}: {address!r} is no IPv6 address; {_EXPECTED}")
    return make_end(address, int(port))


def make_end(address: str, port: int) -> AskedEnd:
    """The end of an address without brackets; raises UsageError."""
    try:
        parsed = ip_address(address)
    except ValueError:
        # LOCAL has the interface that a socket is bound to behind IPv4 addresses too.
        before, interface, _ = address.partition("%")
        hint = "" if before.replace(".", "").isdigit() else ", and names are not looked up"
        if interface and not hint:
            hint = f": {before} goes without an interface"
        raise UsageError(f"{address!r} is no address{hint}; {_EXPECTED}") from None
    if isinstance(parsed, IPv4Address):
        return AskedEnd(str(parsed), port)
    mapped = parsed.ipv4_mapped
    # As the decoders of tables write it, which differs from ipaddress where the last half is an IPv4 address.
    shown = inet_ntop(AF_INET6, parsed.packed) if mapped is None else str(mapped)
    return AskedEnd(shown, port, parsed.scope_id)


def _is_ipv6(text: str) -> bool:
    try:
        return isinstance(ip_address(text), IPv6Address)
    except ValueError:
        return False
