"""Numbers of socket states in the tables of all inet protocols.

Source: include/net/tcp_states.h.
"""

from typing import Final

from nsagent.model.net import SocketState

SOCKET_STATES: Final[dict[int, SocketState]] = {
    1: SocketState.ESTABLISHED,
    2: SocketState.SYN_SENT,
    3: SocketState.SYN_RECV,
    4: SocketState.FIN_WAIT1,
    5: SocketState.FIN_WAIT2,
    6: SocketState.TIME_WAIT,
    7: SocketState.CLOSE,
    8: SocketState.CLOSE_WAIT,
    9: SocketState.LAST_ACK,
    10: SocketState.LISTEN,
    11: SocketState.CLOSING,
    12: SocketState.SYN_RECV,  # TCP_NEW_SYN_RECV, which the kernel itself shows as 3
    13: SocketState.BOUND_INACTIVE,
}

TIMER_TIME_WAIT: Final = 3
"""The timer number of a time-wait mini-socket; its state may be time_wait or fin_wait2."""


def is_mini_socket(state: SocketState, timer: int) -> bool:
    """A mini-socket has neither inode nor uid: the zeros in its row mean nothing."""
    return timer == TIMER_TIME_WAIT or state in (SocketState.TIME_WAIT, SocketState.SYN_RECV)
