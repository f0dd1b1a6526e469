"""Numbers of socket states."""

import pytest

from nsagent.kernel.formats.socket_state import SOCKET_STATES, is_mini_socket
from nsagent.model.net import SocketState


def test_numbers_are_those_of_the_kernel() -> None:
    names = "established syn_sent syn_recv fin_wait1 fin_wait2 time_wait close close_wait last_ack listen closing"
    expected = dict(enumerate([*names.split(), "syn_recv", "bound_inactive"], 1))
    assert {number: str(state) for number, state in SOCKET_STATES.items()} == expected


@pytest.mark.parametrize(
    ("state", "timer", "expected"),
    [
        (SocketState.TIME_WAIT, 0, True),
        (SocketState.SYN_RECV, 1, True),
        (SocketState.FIN_WAIT2, 3, True),
        (SocketState.FIN_WAIT2, 0, False),
        (SocketState.ESTABLISHED, 2, False),
        (SocketState.LISTEN, 0, False),
    ],
)
def test_a_mini_socket_is_known_by_its_state_or_timer(state: SocketState, timer: int, expected: bool) -> None:
    assert is_mini_socket(state, timer) is expected
