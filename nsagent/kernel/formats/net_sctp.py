"""/proc/PID/net/sctp/eps and assocs: SCTP endpoints and associations of one netns as text.

Source: sctp(7), net/sctp/proc.c sctp_eps_seq_show(), sctp_assocs_seq_show().
"""

from collections.abc import Mapping, Sequence
from socket import AF_INET, AF_INET6, inet_pton

from nsagent.errors import FormatError
from nsagent.kernel.formats.inet_address import Ipv4Texts, Ipv6Texts, is_mapped, mapped_endpoint
from nsagent.kernel.formats.numbers import parse_decimal
from nsagent.kernel.formats.small_table import PlacedRows, make_row, parse_lines
from nsagent.kernel.formats.socket_state import SCTP_ASSOCIATION_STATES, SOCKET_STATES
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState

_PRIMARY = "*"
_BETWEEN = "<->"


def parse_endpoints(data: bytes) -> PlacedRows:
    """All rows of eps without its header line, each once, and one error for each bad row."""
    return parse_lines(data, parse_endpoint)


def parse_associations(data: bytes) -> PlacedRows:
    """All rows of assocs without its header line, each once, and one error for each bad row."""
    return parse_lines(data, parse_association)


def parse_endpoint(line: str) -> SocketRow:
    """`ENDPT SOCK STYLE STATE BUCKET LPORT UID INODE LADDRS`; of several addresses the first is shown.

    Raises FormatError.
    """
    columns = line.split()
    try:
        state = _find_state(columns[3], SOCKET_STATES)
        port, uid, inode = (parse_decimal(columns[i], bits) for i, bits in ((5, 16), (6, 32), (7, 64)))
        local = _pack(columns[8].lstrip(_PRIMARY) if columns[8:] else "0.0.0.0")
    except (IndexError, ValueError, OSError) as err:
        raise FormatError("a row of /proc/PID/net/sctp/eps", line) from err
    return _make_row(state, (local, port), (bytes(len(local)), 0), inode, uid, None, None)


def parse_association(line: str) -> SocketRow:
    """`ASSOC SOCK STYLE STATE ASSOC_STATE BUCKET ID TX RX UID INODE LPORT RPORT LADDRS <-> RADDRS ...`.

    Of several addresses the peer's primary one is shown, and the first of the own ones of its
    family. Raises FormatError.
    """
    columns = line.split()
    try:
        state = _find_state(columns[4], SCTP_ASSOCIATION_STATES)
        tx_queue, rx_queue, uid = (parse_decimal(columns[i], 32) for i in (7, 8, 9))
        inode = parse_decimal(columns[10], 64)
        own_port, port = parse_decimal(columns[11], 16), parse_decimal(columns[12], 16)
        between = columns.index(_BETWEEN, 13)
        remote = _pack(_find_primary(columns[between + 1 :]))
        own = [_pack(text.lstrip(_PRIMARY)) for text in columns[13:between]]
        local = next((packed for packed in own if len(packed) == len(remote)), own[0])
    except (IndexError, ValueError, OSError) as err:
        raise FormatError("a row of /proc/PID/net/sctp/assocs", line) from err
    return _make_row(state, (local, own_port), (remote, port), inode, uid, rx_queue, tx_queue)


def _find_state(text: str, states: Mapping[int, SocketState]) -> SocketState:
    state = states.get(parse_decimal(text, 8))
    if state is None:
        raise ValueError(text)
    return state


def _find_primary(columns: Sequence[str]) -> str:
    """The address with the mark, else the first; numbers follow the addresses."""
    marked = [text for text in columns if text.startswith(_PRIMARY)]
    return (marked or columns)[0].lstrip(_PRIMARY)


def _pack(text: str) -> bytes:
    """Raises OSError for what is no address."""
    return inet_pton(AF_INET6 if ":" in text else AF_INET, text)


def _make_row(
    state: SocketState,
    local: tuple[bytes, int],
    remote: tuple[bytes, int],
    inode: int,
    uid: int,
    rx_queue: int | None,
    tx_queue: int | None,
) -> SocketRow:
    ends = local, remote
    mapped = all(len(packed) == 16 for packed, _ in ends) and is_mapped(local[0], remote[0])
    ipv4 = mapped or all(len(packed) == 4 for packed, _ in ends)
    own, peer = (mapped_endpoint(*end) if mapped else _make_endpoint(*end) for end in ends)
    row = make_row(
        Family.IPV4 if ipv4 else Family.IPV6,
        Protocol.SCTP,
        state,
        own,
        peer,
        inode,
        uid=uid,
        rx_queue=rx_queue,
        tx_queue=tx_queue,
    )
    return row._replace(mapped=mapped)


def _make_endpoint(packed: bytes, port: int) -> Endpoint:
    return Endpoint((Ipv4Texts() if len(packed) == 4 else Ipv6Texts())[packed], port)
