"""struct tcp_info, which grew with Linux: a kernel gives as much of it as it knows.

Source: include/uapi/linux/tcp.h, net/ipv4/tcp.c tcp_get_info().
"""

import struct
from typing import Final

from nsagent.model.net import ByteOrder, TcpInfo

_FORMAT = "2xB13xI12xI32xII4xI16xI16xQQ12xI8xQ32xQQ"
"""tcpi_retransmits, snd_mss, lost, rtt, rttvar, snd_cwnd, total_retrans, bytes_acked, bytes_received,
min_rtt, delivery_rate, bytes_sent, bytes_retrans."""

_LAYOUTS: Final[dict[ByteOrder, struct.Struct]] = {
    "little": struct.Struct("<" + _FORMAT),
    "big": struct.Struct(">" + _FORMAT),
}
_WHOLE: Final = _LAYOUTS["little"].size
_OLDEST: Final = 104
"""Up to tcpi_total_retrans: what every kernel gives."""

_NO_RTT: Final = 0xFFFFFFFF
"""What tcpi_min_rtt says before there was one."""


def decode_tcp_info(data: bytes, byteorder: ByteOrder) -> TcpInfo | None:
    """The facts of one connection; None for a struct that is shorter than that of any kernel.

    Costs about 1 us.
    """
    length = len(data)
    if length < _OLDEST:
        return None
    (
        retransmits, mss, lost, rtt, variation, window, total_retransmits,
        acked, received, min_rtt, delivery_rate, sent, retransmitted,
    ) = _LAYOUTS[byteorder].unpack_from(data if length >= _WHOLE else data.ljust(_WHOLE, b"\0"))  # fmt: skip
    return TcpInfo(
        rtt_us=rtt,
        rtt_variation_us=variation,
        min_rtt_us=min_rtt if length >= 152 and min_rtt != _NO_RTT else None,
        retransmits=retransmits,
        total_retransmits=total_retransmits,
        lost=lost,
        congestion_window=window,
        mss=mss,
        bytes_sent=sent if length >= 208 else None,
        bytes_acked=acked if length >= 128 else None,
        bytes_received=received if length >= 136 else None,
        bytes_retransmitted=retransmitted if length >= 216 else None,
        delivery_rate_bytes_per_second=delivery_rate if length >= 168 else None,
    )
