"""struct inet_diag_sockopt: the options of a socket, as a row of inet_diag carries them unasked.

Source: include/uapi/linux/inet_diag.h.
"""

from typing import Final

from nsagent.model.net import ByteOrder, SocketOptions

_OPTION_BITS: Final[dict[ByteOrder, tuple[int, int, int]]] = {
    "little": (0x20, 0x04, 0x10),
    "big": (0x04, 0x20, 0x08),
}
"""The bits transparent, freebind and mc_loop in the first byte of struct inet_diag_sockopt."""


class OptionsByByte(dict[int, SocketOptions]):
    """Options by the first byte of struct inet_diag_sockopt."""

    def __init__(self, byteorder: ByteOrder) -> None:
        super().__init__()
        self._bits = _OPTION_BITS[byteorder]

    def __missing__(self, byte: int) -> SocketOptions:
        options = self[byte] = SocketOptions(*(bool(byte & bit) for bit in self._bits))
        return options
