"""Every decoder on damaged input: a value or FormatError, nothing else, and soon."""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import FormatError
from nsagent.kernel.formats import inet_diag, net_inet, raw_table
from nsagent.kernel.formats.cn_proc import decode_message
from nsagent.kernel.formats.conntrack import decode_flow
from nsagent.kernel.formats.fd_link import parse_inode_link
from nsagent.kernel.formats.fib_trie import parse_fib_trie
from nsagent.kernel.formats.fou import decode_ports
from nsagent.kernel.formats.generic_netlink import decode_families
from nsagent.kernel.formats.if_inet6 import parse_if_inet6
from nsagent.kernel.formats.mountinfo import collect_netns_mounts, find_mount, list_mounts_of, parse_mount_roots
from nsagent.kernel.formats.net_protocols import parse_net_protocols
from nsagent.kernel.formats.net_route import parse_ipv6_route, parse_route
from nsagent.kernel.formats.netlink import decode_status, find_status, read_sequence
from nsagent.kernel.formats.pid_environ import parse_environ
from nsagent.kernel.formats.pid_io import parse_io
from nsagent.kernel.formats.pid_limits import parse_limits
from nsagent.kernel.formats.pid_maps import parse_maps, summarize_maps
from nsagent.kernel.formats.pid_smaps_rollup import parse_rollup
from nsagent.kernel.formats.pid_stat import parse_parent, parse_pid_stat, parse_start_stack
from nsagent.kernel.formats.pid_statm import parse_statm
from nsagent.kernel.formats.pid_status import parse_family, parse_ids, parse_status, parse_status_memory
from nsagent.kernel.formats.route_link import decode_nsid, decode_nsid_notice, decode_tunnels
from nsagent.kernel.formats.socket_destroy import decode_destroyed
from nsagent.kernel.formats.sockstat import parse_sockstat
from nsagent.kernel.formats.sunrpc_xprt import make_flow, parse_ports
from nsagent.kernel.formats.tcp_info import decode_tcp_info
from nsagent.kernel.formats.udp_diag import decode_wireguard
from nsagent.model.facts import NetnsReading, RawTable, TableFormat
from nsagent.model.net import Protocol
from tests.kernel.damage import assert_fast, damaged, pair_lines, pair_messages
from tests.kernel.diag_message import make_attribute, make_message
from tests.kernel.formats.test_cn_proc import RECORDED as EVENTS
from tests.kernel.formats.test_conntrack import RECORDED as FLOWS
from tests.kernel.formats.test_fib_trie import ROUTES
from tests.kernel.formats.test_fou import RECORDED as FOU
from tests.kernel.formats.test_generic_netlink import RECORDED as FAMILIES
from tests.kernel.formats.test_if_inet6 import ADDRESSES
from tests.kernel.formats.test_net_route import ROUTES as ROUTES4
from tests.kernel.formats.test_net_route import ROUTES6
from tests.kernel.formats.test_pid_io import LINES as IO
from tests.kernel.formats.test_pid_limits import HEADING
from tests.kernel.formats.test_pid_limits import LINES as LIMITS
from tests.kernel.formats.test_pid_maps import LINES as MAPS
from tests.kernel.formats.test_pid_smaps_rollup import LATER, SUMS
from tests.kernel.formats.test_pid_status import RIGHTS
from tests.kernel.formats.test_route_link import GIVEN, TAKEN, VXLAN_PORT, make_link
from tests.kernel.formats.test_socket_destroy import RECORDED as SOCKET_ENDS
from tests.kernel.formats.test_sunrpc_xprt import INFO
from tests.kernel.formats.test_udp_diag import RECORDED as UDP_MEMORY
from tests.kernel.rows import read_recorded, read_recorded_text
from tests.kernel.sctp_rows import ASSOCIATIONS, ENDPOINTS
from tests.kernel.vsock_message import make_vsock
from tests.live.capabilities import choose_seed, trials

DUMPS = [read_recorded(name) for name in ("tcp", "tcp_unprivileged", "udp")]
TEXTS = [read_recorded_text(name) for name in ("tcp", "tcp6", "udp", "udp6")]
SEEDS = {
    TableFormat.INET_DIAG: [*DUMPS, read_recorded("tcp_deep"), read_recorded("udplite")],
    TableFormat.MPTCP_DIAG: [read_recorded("mptcp")],
    TableFormat.PACKET_DIAG: [read_recorded("packet")],
    TableFormat.NETLINK_DIAG: [read_recorded("netlink")],
    TableFormat.VSOCK_DIAG: [make_vsock() + make_vsock(state=10)],
    TableFormat.NET_INET: [*TEXTS, *(read_recorded_text(name) for name in ("raw", "raw6", "icmp", "icmp6"))],
    TableFormat.NET_PACKET: [read_recorded_text("packet")],
    TableFormat.NET_NETLINK: [read_recorded_text("netlink")],
    TableFormat.NET_SCTP_ENDPOINTS: [ENDPOINTS.encode()],
    TableFormat.NET_SCTP_ASSOCIATIONS: [ASSOCIATIONS.encode()],
}
SHORT = {
    format_: [short for seed in seeds for short in (pair_messages if "diag" in format_ else pair_lines)(seed)]
    for format_, seeds in SEEDS.items()
}
LINKS = make_link(b"vxlan", VXLAN_PORT) + make_link(b"veth", nsid=2) + make_link(b"bareudp", (1, b"\x12\xb5"))
DONE = b"\x14\0\0\0\3\0\2\0\1\0\0\0\0\0\0\0\0\0\0\0"


MOUNTS = (
    b"23 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw,discard\n"
    b"412 30 0:4 net:[4026532500] /run/netns/w\\040b rw shared:205 - nsfs nsfs rw\n"
)


class Decoder(NamedTuple):
    """A decoder as a function of bytes, and whole input for it."""

    decode: Callable[[bytes], object]
    seeds: list[bytes]


def decode_netlink(data: bytes) -> object:
    """What a reader of a dump does with one datagram."""
    end = find_status(data).end
    return (read_sequence(data), decode_status(data, end) if end else None)


def decode_everything(table: RawTable) -> None:
    """What a pass and its replay do with one table."""
    raw_table.find_rows(table, raw_table.index_rows(table, "little").inodes, "little")
    reading = NetnsReading(None, 1, None, (), True, (), None, False, None, (table, table))
    raw_table.decode_netns(reading, "little")


def decode_as(format_: TableFormat, protocol: Protocol) -> Callable[[bytes], object]:
    return lambda data: decode_everything(RawTable(format_, protocol, 0, data))


TABLES = {
    f"table {format_}": Decoder(decode_as(format_, protocol), SHORT[format_])
    for format_, protocol in zip(TableFormat, (*Protocol, Protocol.TCP), strict=True)
}
"""Each format with some protocol, in most cases not its own."""

DECODERS = {
    **TABLES,
    "tcp_info": Decoder(lambda data: decode_tcp_info(data, "little"), [bytes(range(256))]),
    "net_protocols": Decoder(
        lambda data: parse_net_protocols(data.decode("utf-8", "replace")),
        [b"protocol\n" + read_recorded_text("protocols")],
    ),
    "inet_diag": Decoder(lambda data: inet_diag.decode_table(data, Protocol.TCP, "little"), DUMPS),
    "inet_diag big-endian": Decoder(lambda data: inet_diag.decode_table(data, Protocol.UDP, "big"), DUMPS),
    "fib_trie": Decoder(lambda data: parse_fib_trie(data.decode("ascii", "replace")), [ROUTES.encode()]),
    "route": Decoder(lambda data: parse_route(data.decode("ascii", "replace"), byteorder="little"), [ROUTES4.encode()]),
    "ipv6_route": Decoder(lambda data: parse_ipv6_route(data.decode("ascii", "replace")), [ROUTES6.encode()]),
    "if_inet6": Decoder(lambda data: parse_if_inet6(data.decode("ascii", "replace")), [ADDRESSES.encode()]),
    "inet_diag index": Decoder(lambda data: inet_diag.index_rows(data, "little"), DUMPS),
    "inet_diag places": Decoder(lambda data: inet_diag.find_rows(data, range(1 << 32), "big"), DUMPS),
    "net_inet": Decoder(lambda data: net_inet.parse_table(data, Protocol.TCP, byteorder="little"), TEXTS),
    "net_inet big-endian": Decoder(lambda data: net_inet.parse_table(data, Protocol.UDP, byteorder="big"), TEXTS),
    "net_inet index": Decoder(net_inet.index_rows, TEXTS),
    "net_inet places": Decoder(lambda data: net_inet.find_rows(data, range(1 << 64)), TEXTS),
    "route_link": Decoder(lambda data: decode_tunnels(data, "little"), [LINKS]),
    "route_link id": Decoder(lambda data: decode_nsid(data, "big"), [bytes(4) + make_attribute(1, b"\0\0\0\7")]),
    "generic_netlink": Decoder(lambda data: decode_families(data, "little"), [FAMILIES]),
    "fou": Decoder(lambda data: decode_ports(data, "little"), [FOU]),
    "udp_diag": Decoder(lambda data: decode_wireguard(data, "little"), [UDP_MEMORY]),
    "sunrpc_xprt": Decoder(lambda data: parse_ports(data.decode("ascii", "replace")), [INFO.encode()]),
    "sunrpc_xprt address": Decoder(
        lambda data: make_flow((805, 2049), data.decode("ascii", "replace"), "::1"), [b"fd00::2\n", b"<closed>\n"]
    ),
    "cn_proc": Decoder(decode_message, EVENTS),
    "socket_destroy": Decoder(lambda data: decode_destroyed([data, SOCKET_ENDS[0]], "little"), SOCKET_ENDS),
    "socket_destroy big-endian": Decoder(lambda data: decode_destroyed([data], "big"), SOCKET_ENDS),
    "route_link notice": Decoder(lambda data: decode_nsid_notice(data, "little"), [GIVEN, TAKEN]),
    "conntrack": Decoder(lambda data: decode_flow(data, "little"), FLOWS),
    "netlink": Decoder(decode_netlink, [dump + DONE for dump in DUMPS] + [DONE]),
    "pid_stat": Decoder(
        parse_pid_stat,
        [b"321 (cron) S 1 321 321 0 -1 4194560 1337 26061 0 8 2 3 29 12 20 0 5 0 4711 11616256 1284 1844674407370"],
    ),
    "sockstat": Decoder(
        lambda data: parse_sockstat(data.decode("utf-8", "replace")),
        [b"sockets: used 290\nTCP: inuse 12 orphan 0 tw 3 alloc 38 mem 2\nUDP: inuse 4 mem 0\nTCP6: inuse 5\n"],
    ),
    "mountinfo": Decoder(lambda data: collect_netns_mounts(data.split(b"\n"), 4096), [MOUNTS]),
    "mountinfo of a path": Decoder(lambda data: find_mount(data, "/run/netns/w b"), [MOUNTS]),
    "mountinfo of a device": Decoder(lambda data: list_mounts_of(data, 0, 4), [MOUNTS]),
    "pid_environ": Decoder(lambda data: parse_environ(data, 4096), [b"A=1\0B=\xff\0"]),
    "pid_io": Decoder(parse_io, [IO]),
    "pid_limits": Decoder(parse_limits, [HEADING + LIMITS]),
    "pid_maps": Decoder(lambda data: summarize_maps(parse_maps(data)), [MAPS]),
    "pid_parent": Decoder(parse_parent, [b"321 (cron) S 1 321 321 0 -1 4194560"]),
    "pid_start_stack": Decoder(parse_start_stack, [b"321 (cron) S 1" + b" 4711" * 30]),
    "pid_smaps_rollup": Decoder(parse_rollup, [SUMS + LATER]),
    "pid_statm": Decoder(lambda data: parse_statm(data, 4096), [b"765 422 394 5 0 123 0\n"]),
    "pid_status rights": Decoder(parse_status, [RIGHTS]),
    "pid_status ids": Decoder(parse_ids, [RIGHTS]),
    "pid_status memory": Decoder(parse_status_memory, [RIGHTS]),
    "mountinfo roots": Decoder(parse_mount_roots, [MOUNTS]),
    "pid_status": Decoder(parse_family, [b"Pid:\t812\nPPid:\t1\nUid:\t0\t0\nNSpid:\t812\t7\t1\nThreads:\t1\n"]),
    "fd_link": Decoder(
        lambda data: parse_inode_link(data.decode("utf-8", "surrogateescape"), "socket"), [b"socket:[7732]"]
    ),
}


# What these lines cover others cover too, and tracing them takes three times as long as running them.
@pytest.mark.no_cover
@pytest.mark.parametrize("name", DECODERS)
def test_mutated_input_gives_a_value_or_a_format_error(name: str) -> None:
    decode, seeds = DECODERS[name]
    for data in damaged(seeds, trials(default=10_000, full=1_000_000), number=choose_seed(sum(name.encode()))):
        try:
            decode(data)
        except FormatError:
            continue
        except Exception as err:
            err.add_note(f"for {data!r}")
            raise


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.binary(max_size=400))
def test_any_bytes_give_a_value_or_a_format_error(name: str, data: bytes) -> None:
    with suppress(FormatError):
        DECODERS[name].decode(data)


@pytest.mark.parametrize("digits", [19, 20, 21, 4300, 4301, 60_000])
@pytest.mark.parametrize(
    "name",
    [
        "net_inet",
        "net_inet index",
        "net_inet places",
        "pid_stat",
        "sockstat",
        "mountinfo",
        "fd_link",
        "net_protocols",
        "table net_packet",
        "table net_netlink",
        "table net_sctp_endpoints",
        "table net_sctp_associations",
    ],
)
def test_a_number_of_any_length_gives_a_value_or_a_format_error(name: str, digits: int) -> None:
    decode, seeds = DECODERS[name]
    long = b"7" * digits
    for number in (b"7999602", b"4711", b"12", b"259:1", b"7732", b"412 30 0", b"1329084", b"4711", b"36412", b"2905"):
        with suppress(FormatError):
            decode(seeds[0].replace(number, long))


SLOW = {
    "zeros": bytes(1 << 16),
    "ones": b"\xff" * (1 << 16),
    "spaces": b" " * (1 << 16),
    "lines": b"\n" * (1 << 16),
    "digits": b"7" * (1 << 16),
    "opening brackets": b"(" * (1 << 16),
    "backslashes": b"\\" * (1 << 16),
    "octal escapes": b"\\040" * (1 << 14),
    "dashes": b" - " * (1 << 14),
    "separators": b" - nsfs " * (1 << 13),
    "rows of a dump": (DUMPS[0] * 40)[: 1 << 16],
    "rows of packet sockets": (read_recorded("packet") * 210)[: 1 << 16],
    "rows of netlink sockets": (read_recorded("netlink") * 70)[: 1 << 16],
    "one packet socket of attributes": SEEDS[TableFormat.PACKET_DIAG][0][:32] + make_attribute(9, b"") * 15_000,
    "associations": (ASSOCIATIONS.encode() * 300)[: 1 << 16],
    "addresses of an association": ASSOCIATIONS.encode()[:90] + b"10.0.0.1 " * 7000,
    "rows of text": (TEXTS[0] * 60)[: 1 << 16],
    "one row of attributes": make_message(attributes=[(1, b"")] * 16_000),
    "attributes of each length": b"".join(
        make_message(cookie=i, inode=i, attributes=[(i, b"")] * (i % 200)) for i in range(1, 150)
    ),
    "layouts that alternate": b"".join(
        make_message(cookie=i, inode=i, attributes=[(i, b""), (i + 1, b"")] * 20) for i in range(1, 270)
    ),
    "one cookie": b"".join(make_message(inode=i) for i in range(1, 700)),
    "attributes that overlap": make_message() + make_attribute(1, b"") * 15_000,
}


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("name", DECODERS)
def test_no_input_takes_long(name: str, kind: str) -> None:
    decode = DECODERS[name].decode

    def decode_quietly(data: bytes) -> None:
        with suppress(FormatError):
            decode(data)

    assert_fast(decode_quietly, SLOW[kind])
