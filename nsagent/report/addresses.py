"""Endpoints as people read them, after the habits of ss(8)."""

from socket import AF_INET, AF_INET6, inet_pton

from nsagent.model.net import Endpoint

_V6_ANY = "::"


def endpoint_text(endpoint: Endpoint, *, v6only: bool | None, interface: str | None = None) -> str:
    """`ADDRESS:PORT`, IPv6 in brackets, `*` for port 0; `*` too for the IPv6 address of both families.

    `interface` stands behind the address after `%`. `v6only` is None where it is not known.
    """
    # Twice per socket: kept flat.
    address, port, _ = endpoint
    if ":" in address:
        address = "*" if v6only is False and address == _V6_ANY else f"[{address}]"
    if interface is not None:
        address = f"{address}%{interface}"
    return f"{address}:{port or '*'}"


def endpoint_key(endpoint: Endpoint) -> tuple[int, bytes, int]:
    """Sorts by family (IPv4 first), address as a number, port."""
    address, port, _ = endpoint
    family = AF_INET6 if ":" in address else AF_INET
    return family, inet_pton(family, address), port
