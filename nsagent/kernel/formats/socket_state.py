"""Numbers of socket states in the tables of all inet protocols.

Source: include/net/tcp_states.h, include/net/sctp/constants.h.
"""

from typing import Final

from nsagent.model.net import SocketState, TimerKind

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

NO_CONNECTION: Final = frozenset(
    {
        SocketState.LISTEN,
        SocketState.CLOSE,
        SocketState.BOUND_INACTIVE,
        SocketState.SYN_RECV,
        SocketState.TIME_WAIT,
    }
)
"""What has no connection (yet, or any more) of which the kernel could know more."""

SCTP_ASSOCIATION_STATES: Final[dict[int, SocketState]] = {
    0: SocketState.CLOSE,
    1: SocketState.SYN_SENT,  # COOKIE_WAIT
    2: SocketState.SYN_SENT,  # COOKIE_ECHOED
    3: SocketState.ESTABLISHED,
    4: SocketState.FIN_WAIT1,  # SHUTDOWN_PENDING: own data is not acknowledged yet
    5: SocketState.FIN_WAIT2,  # SHUTDOWN_SENT: the peer may still send
    6: SocketState.CLOSE_WAIT,  # SHUTDOWN_RECEIVED
    7: SocketState.LAST_ACK,  # SHUTDOWN_ACK_SENT
}
"""enum sctp_state; an endpoint has the numbers of TCP (enum sctp_sock_state)."""

TIMERS: Final = {1: TimerKind.ON, 2: TimerKind.KEEPALIVE, 3: TimerKind.TIMEWAIT, 4: TimerKind.PERSIST}
"""The timers of a TCP socket by their numbers; 0: none. Those of an SCTP association are others."""

TIMER_TIME_WAIT: Final = 3
"""The timer number of a time-wait mini-socket; its state may be time_wait or fin_wait2."""


def is_mini_socket(state: SocketState, timer: int) -> bool:
    """A mini-socket has neither inode nor uid: the zeros in its row mean nothing."""
    return timer == TIMER_TIME_WAIT or state in (SocketState.TIME_WAIT, SocketState.SYN_RECV)
