"""Generic netlink: requests to a family, and the number that a family has on this machine.

A family is asked by its number, and that is found in the list of all: asked for one by name, the
kernel would load its module.

Source: include/uapi/linux/genetlink.h, net/netlink/genetlink.c ctrl_fill_info(), ctrl_getfamily().
"""

import struct
from typing import Final

from nsagent.kernel.formats.small_table import decode_attributes, split_messages
from nsagent.model.net import ByteOrder

GENL_ID_CTRL: Final = 0x10
HEADER_BYTES: Final = 4
"""struct genlmsghdr: command, version, and two bytes that are not used."""

_CTRL_CMD_GETFAMILY: Final = 3
_CTRL_ATTR_FAMILY_ID: Final = 1
_CTRL_ATTR_FAMILY_NAME: Final = 2


def encode_command(command: int) -> bytes:
    """Payload of a request without attributes."""
    return struct.pack("=BBxx", command, 1)


def encode_families() -> bytes:
    """Payload of the request to GENL_ID_CTRL that dumps all families."""
    return encode_command(_CTRL_CMD_GETFAMILY)


def decode_families(data: bytes, byteorder: ByteOrder) -> dict[bytes, int]:
    """The numbers of the families of a dump by their names; raises FormatError."""
    families = {}
    for message in split_messages(data, byteorder):
        attributes = decode_attributes(message, HEADER_BYTES, byteorder)
        name, number = attributes.get(_CTRL_ATTR_FAMILY_NAME, b""), attributes.get(_CTRL_ATTR_FAMILY_ID, b"")
        if len(number) == 2:
            families[name.rstrip(b"\0")] = int.from_bytes(number, byteorder)
    return families
