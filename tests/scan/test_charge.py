"""Whom rows without an owner are charged to."""

import struct
from socket import inet_aton
from typing import Any

import pytest

from nsagent.model.container import Container, NameState
from nsagent.model.facts import Facts
from nsagent.model.ids import ContainerId, Pid, SocketCookie
from nsagent.model.net import SocketState
from nsagent.model.snapshot import Attribution, ChargedTo, Confidence, OwnedSocket, VerdictKind
from nsagent.scan.attribute import attribute
from nsagent.scan.memory import Holder, Memory, remember
from tests.kernel.diag_message import make_message
from tests.scan.facts import WEB_CGROUP, WEB_ID, WEB_NETNS, diag_table, facts, netns, reading

LISTEN, ESTABLISHED, SYN_RECV, TIME_WAIT, FIN_WAIT1, FIN_WAIT2 = 10, 1, 3, 6, 4, 5
LATE = 3
CGROUP_ID, SOCKOPT = 21, 22
USUAL, FREEBIND, TRANSPARENT = 0x10, 0x14, 0x30
OTHER_ID = "beef" + "0" * 60
WEB = ContainerId(WEB_ID)
OTHER_CGROUP = f"0::/docker/{OTHER_ID}\n"


def message(
    state: int,
    local: tuple[str, int],
    remote: tuple[str, int] = ("0.0.0.0", 0),
    *,
    inode: int = 0,
    cookie: int = 900,
    uid: int = 0,
    cgroup_id: int = 5,
    timer: int = 0,
    interface: int = 0,
    options: int = USUAL,
    expires_ms: int = 0,
) -> bytes:
    """A row between these ends, of a socket that was made in this cgroup: mini-sockets tell nothing of it."""
    mini = state in (TIME_WAIT, SYN_RECV) or timer == LATE
    told = [(CGROUP_ID, struct.pack("<Q", cgroup_id)), (SOCKOPT, bytes((options, 0)))]
    return make_message(
        state=state,
        timer=timer,
        local=inet_aton(local[0]),
        local_port=local[1],
        remote=inet_aton(remote[0]),
        remote_port=remote[1],
        inode=inode,
        cookie=cookie,
        uid=uid,
        interface=interface,
        expires_ms=expires_ms,
        attributes=[] if mini else told,
    )


def listener(inode: int, port: int = 80, *, local: str = "0.0.0.0", **told: Any) -> bytes:
    return message(LISTEN, (local, port), inode=inode, cookie=inode, **told)


def waiting(*, local: tuple[str, int] = ("10.0.0.1", 80), state: int = ESTABLISHED, **told: Any) -> bytes:
    """A connection to port 80 that no fd holds."""
    return message(state, local, ("10.0.0.2", 40000), **told)


def charged(given: Facts, memory: Memory | None = None) -> OwnedSocket:
    """The only row without an inode."""
    (found,) = (socket for socket in attribute(given, memory).sockets if not socket.row.inode)
    return found


def charged_to(given: Facts, memory: Memory | None = None) -> ChargedTo | None:
    verdict = charged(given, memory).verdict
    assert verdict is not None
    return verdict.charged_to


def web(*rows: bytes, pids: tuple[int, ...] = (10,)) -> Facts:
    """A container with a listener (inode 7) in its netns, and these rows beside it."""
    readings = [reading(pid, {3: 7}, netns=WEB_NETNS, cgroup=WEB_CGROUP) for pid in pids]
    return facts(readings, [netns(diag_table(b"".join(rows)), inode=WEB_NETNS)])


def test_a_connection_in_the_accept_queue_is_charged_to_the_listener() -> None:
    socket = charged(web(listener(7), waiting()))
    assert socket.verdict is not None
    assert (socket.verdict.kind, socket.verdict.charged_to) == (VerdictKind.ACCEPT_QUEUE, ChargedTo(Pid(10), WEB))
    assert (socket.container_id, socket.attribution, socket.confidence) == (
        WEB,
        Attribution.LISTENER,
        Confidence.INFERRED,
    )


def test_a_listener_of_the_host_is_charged_without_a_container() -> None:
    given = facts([reading(10, {3: 7})], [netns(diag_table(listener(7) + waiting()))])
    socket = charged(given)
    assert socket.verdict is not None
    assert socket.verdict.charged_to == ChargedTo(Pid(10), None)
    assert (socket.container_id, socket.attribution, socket.confidence) == (
        None,
        Attribution.NONE,
        Confidence.INFERRED,
    )


def test_of_several_owners_the_first_is_charged() -> None:
    assert charged_to(web(listener(7), waiting(), pids=(11, 10))) == ChargedTo(Pid(10), WEB)


def test_a_handshake_is_charged_to_the_listener() -> None:
    socket = charged(web(listener(7), waiting(state=SYN_RECV)))
    assert socket.verdict is not None
    assert (socket.verdict.kind, socket.verdict.charged_to) == (VerdictKind.SYN_RECV, ChargedTo(Pid(10), WEB))


@pytest.mark.parametrize(
    "row", [listener(7, port=81), listener(7, local="10.0.0.9"), b""], ids=["another port", "another address", "none"]
)
def test_without_a_listener_that_fits_nobody_is_charged(row: bytes) -> None:
    assert charged_to(web(row, waiting())) is None


def test_a_listener_of_another_netns_is_not_charged() -> None:
    readings = [reading(10, {3: 7})]
    given = facts(readings, [netns(diag_table(listener(7))), netns(diag_table(waiting()), inode=WEB_NETNS)])
    assert charged_to(given) is None


def test_a_listener_on_the_very_address_takes_precedence_over_one_on_any() -> None:
    readings = [reading(10, {3: 7}), reading(11, {3: 8})]
    rows = diag_table(listener(7) + listener(8, local="10.0.0.1") + waiting())
    assert charged_to(facts(readings, [netns(rows)])) == ChargedTo(Pid(11), None)


def test_of_several_listeners_of_one_container_it_is_charged_and_none_of_its_processes() -> None:
    readings = [reading(10, {3: 7}, cgroup=WEB_CGROUP), reading(11, {3: 8}, cgroup=WEB_CGROUP)]
    rows = diag_table(listener(7) + listener(8) + waiting())
    assert charged_to(facts(readings, [netns(rows)])) == ChargedTo(None, WEB)


@pytest.mark.parametrize("state", [ESTABLISHED, SYN_RECV, TIME_WAIT])
def test_several_listeners_of_one_process_charge_it(state: int) -> None:
    readings = [reading(10, {3: 7, 4: 8}, cgroup=WEB_CGROUP), reading(11, {4: 8}, cgroup=WEB_CGROUP)]
    rows = diag_table(listener(7) + listener(8) + waiting(state=state))
    assert charged_to(facts(readings, [netns(rows)])) == ChargedTo(Pid(10), WEB)


@pytest.mark.parametrize("state", [ESTABLISHED, FIN_WAIT1])
@pytest.mark.parametrize(
    ("of_listener", "of_row"),
    [
        ({"interface": 3}, {}),
        ({"interface": 3}, {"interface": 4}),
        ({}, {"interface": 4}),
        ({"cgroup_id": 6}, {}),
        ({"uid": 33}, {}),
        ({}, {"uid": 33}),
        ({"options": TRANSPARENT}, {}),
        ({}, {"options": TRANSPARENT}),
        ({}, {"options": FREEBIND}),
    ],
)
def test_the_only_listener_is_not_charged_with_what_cannot_be_its_copy(
    of_listener: dict[str, Any], of_row: dict[str, Any], state: int
) -> None:
    assert charged_to(web(listener(7), waiting(state=state))) == ChargedTo(Pid(10), WEB)
    assert charged_to(web(listener(7, **of_listener), waiting(state=state, **of_row))) is None


@pytest.mark.parametrize("state", [SYN_RECV, TIME_WAIT])
def test_a_row_that_tells_its_device_alone_is_none_of_a_listener_on_another(state: int) -> None:
    given = facts([reading(10, {3: 7})], [netns(diag_table(listener(7, interface=3) + waiting(state=state)))])
    assert charged_to(given) is None


@pytest.mark.parametrize(("release", "expected"), [("6.16.1", Pid(10)), ("6.17.0-rc1", None), (None, Pid(10))])
def test_a_uid_of_0_tells_nothing_of_what_no_fd_holds_on_kernels_that_say_so_of_all(
    release: str | None, expected: Pid | None
) -> None:
    given = web(listener(7, uid=33), waiting())._replace(kernel_release=release)
    assert charged_to(given) == (expected and ChargedTo(expected, WEB))


@pytest.mark.parametrize("state", [TIME_WAIT, FIN_WAIT1])
@pytest.mark.parametrize(
    ("port", "client_ports", "proven"),
    [
        (32767, (32768, 60999), True),
        (32768, (32768, 60999), False),
        (60999, (32768, 60999), False),
        (61000, (32768, 60999), True),
        (40000, (50000, 60000), True),
        (40000, None, False),
        (80, None, True),
    ],
)
def test_a_closed_connection_on_a_port_of_clients_has_no_proven_listener(
    port: int, client_ports: tuple[int, int] | None, proven: bool, state: int
) -> None:
    rows = diag_table(listener(7, port) + waiting(local=("10.0.0.1", port), state=state))
    given = facts([reading(10, {3: 7})], [netns(rows, client_ports=client_ports)])
    assert charged_to(given) == (ChargedTo(Pid(10), None) if proven else None)


@pytest.mark.parametrize("state", [ESTABLISHED, SYN_RECV])
def test_what_is_the_servers_end_by_nature_is_charged_on_any_port_and_address(state: int) -> None:
    rows = diag_table(listener(7, 40000) + waiting(local=("10.9.9.9", 40000), state=state))
    assert charged_to(facts([reading(10, {3: 7})], [netns(rows)])) == ChargedTo(Pid(10), None)


@pytest.mark.parametrize(
    ("address", "own_addresses", "proven"),
    [
        ("10.0.0.1", ("10.0.0.1/32",), True),
        ("10.9.9.9", ("10.0.0.1/32", "127.0.0.0/8"), False),
        ("127.1.2.3", ("10.0.0.1/32", "127.0.0.0/8"), True),
        ("10.0.0.1", ("::1/128", "zz/32", "10.0.0.1/x"), False),
        ("10.0.0.1", (), False),
        ("10.0.0.1", None, False),
    ],
)
def test_a_closed_connection_on_an_address_that_is_none_of_the_netns_has_no_proven_listener(
    address: str, own_addresses: tuple[str, ...] | None, proven: bool
) -> None:
    """A transparent proxy has connections on addresses of others."""
    rows = diag_table(listener(7) + waiting(local=(address, 80), state=TIME_WAIT))
    given = facts([reading(10, {3: 7})], [netns(rows, own_addresses=own_addresses)])
    assert charged_to(given) == (ChargedTo(Pid(10), None) if proven else None)


@pytest.mark.parametrize(
    ("started", "read_at", "left_ms", "proven"),
    [
        (7000, 10000, 30000, True),
        (7001, 10000, 30000, False),
        (7001, None, 30000, True),
        (10000, 10000, 60010, True),
        (10001, 10000, 60010, False),
    ],
)
def test_what_was_closed_before_the_holder_of_a_listener_started_is_not_its(
    started: int, read_at: int | None, left_ms: int, proven: bool
) -> None:
    """A server that is started again, or another one: what is left of the minute in TIME_WAIT tells."""
    rows = diag_table(listener(7) + waiting(state=TIME_WAIT, timer=LATE, expires_ms=left_ms))
    given = facts([reading(10, {3: 7}, start_ticks=started)], [netns(rows)._replace(read_at_ticks=read_at)])
    assert charged_to(given) == (ChargedTo(Pid(10), None) if proven else None)


def test_a_listener_that_was_inherited_is_as_old_as_its_first_holder() -> None:
    readings = [reading(10, {3: 7}, start_ticks=9000), reading(11, {3: 7}, start_ticks=50)]
    rows = diag_table(listener(7) + waiting(state=TIME_WAIT, timer=LATE, expires_ms=30000))
    assert charged_to(facts(readings, [netns(rows)._replace(read_at_ticks=10000)])) == ChargedTo(Pid(11), None)


@pytest.mark.parametrize("state", [ESTABLISHED, FIN_WAIT2])
def test_the_timer_of_another_state_tells_no_time(state: int) -> None:
    """That of a late FIN_WAIT2 began at net.ipv4.tcp_fin_timeout."""
    rows = diag_table(listener(7) + waiting(state=state, timer=LATE, expires_ms=30000))
    given = facts([reading(10, {3: 7}, start_ticks=9000)], [netns(rows)._replace(read_at_ticks=10000)])
    assert charged_to(given) == ChargedTo(Pid(10), None)


def test_several_listeners_of_different_containers_charge_none_of_them() -> None:
    readings = [reading(10, {3: 7}, cgroup=WEB_CGROUP), reading(11, {3: 8}, cgroup=OTHER_CGROUP)]
    rows = diag_table(listener(7) + listener(8) + waiting())
    socket = charged(facts(readings, [netns(rows)]))
    assert (socket.verdict and socket.verdict.charged_to, socket.container_id) == (ChargedTo(None, None), None)


@pytest.mark.parametrize(("uid", "cgroup_id"), [(33, 5), (0, 6)])
def test_of_several_listeners_the_one_with_the_uid_and_cgroup_of_the_connection_is_charged(
    uid: int, cgroup_id: int
) -> None:
    readings = [reading(10, {3: 7}), reading(11, {3: 8})]
    rows = listener(7) + listener(8, uid=uid, cgroup_id=cgroup_id) + waiting(uid=uid, cgroup_id=cgroup_id)
    assert charged_to(facts(readings, [netns(diag_table(rows))])) == ChargedTo(Pid(11), None)


def test_a_closed_connection_is_charged_to_the_listener_of_its_local_port() -> None:
    socket = charged(web(listener(7), waiting(state=TIME_WAIT)))
    assert (socket.container_id, socket.attribution) == (WEB, Attribution.LISTENER)


def test_a_closed_connection_is_charged_to_whom_an_earlier_pass_saw_holding_it() -> None:
    memory = Memory({SocketCookie(900): Holder(Pid(77), 5, ContainerId(OTHER_ID))})
    socket = charged(web(listener(7), waiting(state=TIME_WAIT)), memory)
    assert socket.verdict is not None
    assert socket.verdict.charged_to == ChargedTo(Pid(77), ContainerId(OTHER_ID))
    assert (socket.container_id, socket.attribution, socket.confidence) == (
        ContainerId(OTHER_ID),
        Attribution.MEMORY,
        Confidence.INFERRED,
    )


def test_a_pid_that_is_another_process_by_now_is_not_charged() -> None:
    memory = Memory({SocketCookie(900): Holder(Pid(10), 5, WEB)})
    assert charged_to(web(waiting(state=TIME_WAIT)), memory) == ChargedTo(None, WEB)


def test_an_orphan_is_charged_to_the_container_in_whose_cgroup_it_was_made() -> None:
    given = web(waiting(state=FIN_WAIT1))._replace(cgroup_paths=((5, f"/docker/{OTHER_ID}"),))
    socket = charged(given)
    assert socket.verdict is not None
    assert socket.verdict.charged_to == ChargedTo(None, ContainerId(OTHER_ID))
    assert (socket.attribution, socket.confidence) == (Attribution.CGROUP, Confidence.HIGH)


def test_a_cgroup_of_the_host_charges_nobody() -> None:
    given = web(waiting(state=FIN_WAIT1))._replace(cgroup_paths=((5, "/system.slice/x.service"),))
    assert charged_to(given) is None


def test_what_a_pass_remembers_are_the_holders_of_its_connections() -> None:
    rows = listener(7) + message(ESTABLISHED, ("10.0.0.1", 80), ("10.0.0.2", 9), inode=8, cookie=901)
    given = facts([reading(10, {3: 7, 4: 8}, cgroup=WEB_CGROUP)], [netns(diag_table(rows))])
    snapshot = attribute(given)
    assert remember(given, snapshot) == Memory({SocketCookie(901): Holder(Pid(10), 100, WEB)}, snapshot.containers)


def test_who_held_a_connection_is_known_for_as_long_as_its_row_stands_there() -> None:
    """TIME_WAIT takes a minute, in which several passes may be made; nobody else is to be remembered for longer."""
    held = message(ESTABLISHED, ("10.0.0.1", 80), ("10.0.0.2", 9), inode=8, cookie=901)
    closing = message(TIME_WAIT, ("10.0.0.1", 80), ("10.0.0.2", 9), inode=0, cookie=901)
    memory = Memory()
    charges = []
    for rows in (held, closing, closing, listener(7)):
        given = facts([reading(10, {4: 8}, cgroup=WEB_CGROUP)], [netns(diag_table(rows))])
        snapshot = attribute(given, memory)
        memory = remember(given, snapshot, memory)
        charges.append([socket.container_id for socket in snapshot.sockets])
    assert charges == [[WEB], [WEB], [WEB], [None]]
    assert memory.holders == {}


def test_what_was_made_in_a_container_that_is_gone_is_charged_to_it_by_what_a_pass_remembers() -> None:
    """Its cgroup is gone as well, so that this pass cannot tell whose the id was."""
    earlier = facts(
        [reading(20, {3: 9}, cgroup=f"0::/docker/{OTHER_ID}\n")], [netns(diag_table(listener(9, 81)))]
    )._replace(
        cgroup_paths=((5, f"/docker/{OTHER_ID}"),),
        containers=(Container(ContainerId(OTHER_ID), "job", NameState.KNOWN, None, None, True, "docker"),),
    )
    now = facts([reading(10, {3: 7})], [netns(diag_table(waiting(state=FIN_WAIT1)))])
    snapshot = attribute(now, remember(earlier, attribute(earlier)))
    (socket,) = snapshot.sockets
    assert (socket.container_id, socket.attribution) == (OTHER_ID, Attribution.CGROUP)
    assert [(one.id, one.name) for one in snapshot.containers] == [(OTHER_ID, "job")]


def test_a_late_fin_wait2_is_charged_like_a_time_wait() -> None:
    socket = charged(web(listener(7), waiting(state=FIN_WAIT2, timer=LATE)))
    assert (socket.row.state, socket.container_id) == (SocketState.FIN_WAIT2, WEB)
