"""Sockets that die, as the groups of sock_diag tell of them."""

from nsagent.kernel.destroy_events import Ended, EndedBatch, read_ended
from nsagent.kernel.formats.socket_destroy import Destroyed
from nsagent.kernel.proc_events import EventsLost
from tests.kernel.formats.test_socket_destroy import RECORDED, TOLD
from tests.kernel.test_multicast import OVERRUN, of_netns, queue_of


def ended(place: int, nsid: int | None = None) -> Ended:
    told = TOLD[place]
    assert isinstance(told, Destroyed)
    return Ended(nsid, told)


def test_sockets_are_told_in_order_with_the_id_of_their_netns() -> None:
    queue = queue_of(RECORDED[0], of_netns(RECORDED[7], 7), RECORDED[1])
    assert read_ended(queue) == EndedBatch((ended(0), ended(7, 7), ended(1)), None, True)


def test_what_is_damaged_is_one_loss_more_and_the_others_keep_their_netns() -> None:
    queue = queue_of(OVERRUN, RECORDED[0], of_netns(b"short", 8), of_netns(RECORDED[1], 7), drops=(10,))
    assert read_ended(queue) == EndedBatch((ended(0), ended(1, 7)), EventsLost(11, True), True)
    assert read_ended(queue_of(b"short")) == EndedBatch((), EventsLost(1, True), True)
