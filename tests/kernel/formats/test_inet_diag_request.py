"""Requests to sock_diag for inet sockets, byte by byte."""

import struct
from socket import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP

from nsagent.kernel.formats.inet_diag_request import (
    NUMBERS,
    WITH_INFO,
    encode_dump_both,
    encode_dump_family,
    encode_lookup,
)
from nsagent.kernel.formats.row_place import RowPlace
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol
from tests.kernel.diag_message import make_attribute, make_message

PROTOCOL, INET_DIAG_INFO = 3, 2


def test_a_request_for_both_families_names_the_protocol_unless_it_is_tcp() -> None:
    assert len(encode_dump_both(IPPROTO_TCP)) == 60
    assert encode_dump_both(IPPROTO_UDP)[60:] == make_attribute(PROTOCOL, struct.pack("=I", IPPROTO_UDP))


def test_a_request_for_both_families_asks_for_all_states_but_the_costly_one() -> None:
    assert struct.unpack_from("=I", encode_dump_both(IPPROTO_TCP), 52) == (0x1FFF,)


def test_a_request_for_one_family_is_a_struct_inet_diag_req_v2() -> None:
    expected = struct.pack("=BBBBI48x", AF_INET6, IPPROTO_UDP, 0, 0, 1 << 10)
    assert encode_dump_family(AF_INET6, IPPROTO_UDP, 1 << 10) == expected


def test_a_lookup_names_the_very_tuple_interface_and_cookie_of_its_row() -> None:
    first = make_message()
    row = make_message(family=AF_INET, interface=5, cookie=0x1122334455667788, inode=9)
    place = RowPlace(len(first), SocketInode(9), 0, listening=False)
    expected = struct.pack("=BBBBI", AF_INET, IPPROTO_TCP, 0, 0, 0x1FFF) + row[20:68]
    assert encode_lookup(first + row, place, IPPROTO_TCP) == expected


def test_tcp_info_is_asked_for_by_the_bit_before_the_number_of_its_attribute() -> None:
    assert encode_dump_both(IPPROTO_TCP, extensions=WITH_INFO)[3] == 1 << (INET_DIAG_INFO - 1)


def test_the_dump_of_raw_sockets_is_a_struct_inet_diag_req_raw_for_all_of_their_protocols() -> None:
    assert encode_dump_family(AF_INET, NUMBERS[Protocol.RAW])[:8] == struct.pack("=BBBBI", AF_INET, 255, 0, 0, 0x1FFF)
