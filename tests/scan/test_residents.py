"""What nobody else can be charged with, in a netns where one container lives, or one pod."""

from dataclasses import replace

import pytest

from nsagent.errors import Reason
from nsagent.model.container import Container, NameState, Pod
from nsagent.model.facts import Facts, ProcessReading, Visibility
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import ContainerId, PodUid
from nsagent.model.net import Protocol
from nsagent.model.snapshot import Attribution, ChargedTo, Confidence
from nsagent.scan.attribute import attribute
from nsagent.scan.memory import Lodger, Memory, remember
from tests.scan.facts import WEB_CGROUP, WEB_ID, WEB_NETNS, diag_table, facts, netns, reading
from tests.scan.test_charge import FIN_WAIT1, OTHER_CGROUP, OTHER_ID, TIME_WAIT, charged, listener, waiting

WEB, OTHER = ContainerId(WEB_ID), ContainerId(OTHER_ID)
POD = Pod(PodUid("6b8f0c0e-0000-4000-8000-000000000001"), "web-7d9c", "shop")


def given(*residents: ProcessReading, rows: bytes = b"", outside: tuple[ProcessReading, ...] = ()) -> Facts:
    """A netns in which these live, with a closed connection on a port of clients."""
    tables = diag_table(rows + waiting(local=("10.0.0.1", 40000), state=TIME_WAIT))
    return facts([*residents, *outside], [netns(tables, inode=WEB_NETNS), netns()])


def resident(pid: int, cgroup: str = WEB_CGROUP, fds: dict[int, int] | None = None) -> ProcessReading:
    return reading(pid, fds, netns=WEB_NETNS, cgroup=cgroup)


def container(id_: ContainerId, *, pod: Pod | None = None, sandbox: bool = False) -> Container:
    """As CRI tells it."""
    return Container(id_, id_[:4], NameState.KNOWN, None, None, True, "cri", pod=pod, sandbox=sandbox)


def charge(facts_: Facts) -> tuple[ContainerId | None, Pod | None, Attribution]:
    socket = charged(facts_)
    return socket.container_id, socket.pod, socket.attribution


NOBODY = None, None, Attribution.NONE
THE_WEB = WEB, None, Attribution.NETNS


def test_the_container_that_lives_alone_in_a_netns_is_charged_with_what_nobody_else_can_be() -> None:
    socket = charged(given(resident(10), resident(11)))
    assert (socket.verdict and socket.verdict.charged_to) == ChargedTo(None, WEB)
    assert (socket.container_id, socket.pod, socket.attribution, socket.confidence) == (
        WEB,
        None,
        Attribution.NETNS,
        Confidence.INFERRED,
    )


@pytest.mark.parametrize("cgroup", [OTHER_CGROUP, "0::/\n"], ids=["another container", "the host"])
def test_where_others_live_too_nobody_is_charged(cgroup: str) -> None:
    assert charge(given(resident(10), resident(11, cgroup))) == NOBODY


def test_in_a_netns_without_a_process_nobody_is_charged() -> None:
    assert charge(given()) == NOBODY


def test_a_kernel_thread_is_no_resident() -> None:
    thread = reading(2, netns=WEB_NETNS, kernel_thread=True)
    assert charge(given(resident(10), thread)) == THE_WEB


def pod_of(*containers: Container) -> Facts:
    """A netns in which WEB and OTHER live."""
    return given(resident(10), resident(11, OTHER_CGROUP))._replace(containers=containers)


def test_of_several_containers_of_one_pod_the_pod_is_charged() -> None:
    socket = charged(pod_of(container(WEB, pod=POD), container(OTHER, pod=POD)))
    assert (socket.verdict and socket.verdict.charged_to) == ChargedTo(None, None)
    assert (socket.container_id, socket.pod, socket.attribution, socket.confidence) == (
        None,
        POD,
        Attribution.NETNS,
        Confidence.INFERRED,
    )


def test_a_pod_is_charged_beside_whose_container_only_its_pause_container_lives() -> None:
    """A container of it that has ended may have made the connection."""
    assert charge(pod_of(container(WEB, pod=POD), container(OTHER, pod=POD, sandbox=True))) == (
        None,
        POD,
        Attribution.NETNS,
    )


def test_what_is_the_pause_containers_alone_is_the_pods() -> None:
    told = given(resident(10))._replace(containers=(container(WEB, pod=POD, sandbox=True),))
    assert charge(told) == (None, POD, Attribution.NETNS)


@pytest.mark.parametrize("pod", [None, replace(POD, uid=PodUid("another"))])
def test_of_containers_of_different_pods_nobody_is_charged(pod: Pod | None) -> None:
    assert charge(pod_of(container(WEB, pod=POD), container(OTHER, pod=pod))) == NOBODY


def test_listeners_of_different_containers_of_one_pod_charge_the_pod() -> None:
    rows = listener(7) + listener(8) + waiting(state=TIME_WAIT)
    readings = [resident(10, fds={3: 7}), resident(11, OTHER_CGROUP, {3: 8})]
    told = facts(readings, [netns(diag_table(rows), inode=WEB_NETNS)])
    told = told._replace(containers=(container(WEB, pod=POD), container(OTHER, pod=POD)))
    assert charge(told) == (None, POD, Attribution.NETNS)


UNSURE = {
    "a process was not seen": lambda told: told._replace(visibility=Visibility(partial=True)),
    "a process was skipped": lambda told: told._replace(process_counts=replace(told.process_counts, skipped=1)),
    "processes could not be read": lambda told: told._replace(
        gaps=(Gap(Stage.PROCESSES, Subject(Kind.PROCESS, "77"), Reason.DENIED, "EACCES"),)
    ),
    "a table of it could not be read": lambda told: told._replace(
        gaps=(Gap(Stage.TABLES, Subject(Kind.TABLE, str(WEB_NETNS), Protocol.UDP), Reason.DENIED, "EACCES"),)
    ),
    "fds of a resident could not be read": lambda told: told._replace(
        processes=(*told.processes, resident(12)._replace(socket_fds=None))
    ),
    "nobody knows where a process lives": lambda told: told._replace(
        processes=(*told.processes, reading(12, netns=None)._replace(socket_fds=None))
    ),
}


@pytest.mark.parametrize("doubt", UNSURE)
def test_where_it_is_not_sure_who_lives_there_nobody_is_charged(doubt: str) -> None:
    assert charge(UNSURE[doubt](given(resident(10)))) == NOBODY


def test_what_could_not_be_read_elsewhere_is_no_doubt() -> None:
    told = given(resident(10))
    gap = Gap(Stage.FDS, Subject(Kind.PROCESS, "1"), Reason.DENIED, "EACCES")
    told = told._replace(gaps=(gap,), processes=(*told.processes, reading(1)._replace(socket_fds=None)))
    assert charge(told) == THE_WEB


@pytest.mark.parametrize(("address", "expected"), [("0.0.0.0", NOBODY), ("10.0.0.1", NOBODY), ("127.0.0.11", THE_WEB)])
def test_what_may_be_of_somebody_outside_who_holds_sockets_there_is_not_charged(
    address: str, expected: tuple[ContainerId | None, Pod | None, Attribution]
) -> None:
    """Docker's resolver listens in the netns of containers, and so do proxies of a whole node."""
    rows = listener(7, local=address)
    assert charge(given(resident(10), rows=rows, outside=(reading(90, {3: 7}),))) == expected


def test_a_row_that_was_made_in_a_cgroup_of_somebody_else_is_not_charged() -> None:
    row = waiting(local=("10.0.0.1", 40000), state=FIN_WAIT1)
    told = facts([resident(10)], [netns(diag_table(row), inode=WEB_NETNS)])
    assert charge(told) == NOBODY
    assert charge(told._replace(cgroup_paths=((5, "/system.slice/x.service"),))) == NOBODY


COOKIE = 4101
IN_WEB, IN_OTHER = (Lodger(WEB_NETNS, COOKIE, one) for one in (WEB, OTHER))


@pytest.mark.parametrize(
    ("residents", "left", "expected"),
    [
        ([resident(10)], [IN_WEB], THE_WEB),
        ([resident(10)], [IN_OTHER], NOBODY),
        ([resident(10)], [IN_OTHER._replace(container_id=None)], NOBODY),
        ([resident(10)], [IN_OTHER._replace(cookie=None)], NOBODY),
        ([resident(10)], [IN_OTHER._replace(cookie=COOKIE + 1)], THE_WEB),
        ([], [IN_WEB], THE_WEB),
        ([], [IN_WEB, IN_OTHER], NOBODY),
        ([], [IN_WEB, IN_OTHER._replace(cookie=None)], NOBODY),
        ([], [IN_WEB._replace(cookie=None)], NOBODY),
        ([], [IN_WEB._replace(cookie=COOKIE + 1)], NOBODY),
    ],
)
def test_who_ended_lately_may_have_made_what_is_there_still(
    residents: list[ProcessReading], left: list[Lodger], expected: tuple[ContainerId | None, Pod | None, Attribution]
) -> None:
    """The number of a netns is another one's as soon as it has ended, its cookie never."""
    told = given(*residents)
    told = told._replace(netns=(told.netns[0]._replace(cookie=COOKIE), *told.netns[1:]))
    socket = charged(told, Memory(containers=(container(WEB), container(OTHER)), left={WEB_NETNS: left}))
    assert (socket.container_id, socket.pod, socket.attribution) == expected


def test_the_containers_of_who_ended_lately_are_remembered() -> None:
    memory = Memory(containers=(container(WEB), container(OTHER)), left={WEB_NETNS: [IN_OTHER]})
    assert remember(facts([]), attribute(facts([])), memory).containers == (container(OTHER),)


@pytest.mark.parametrize(
    ("left", "expected"), [((), NOBODY), ((IN_WEB,), THE_WEB)], ids=["nobody left", "another of it left"]
)
def test_who_has_started_since_it_was_closed_did_not_make_it(
    left: tuple[Lodger, ...], expected: tuple[ContainerId | None, Pod | None, Attribution]
) -> None:
    """A container that was started in a netns after another one."""
    row = waiting(local=("10.0.0.1", 40000), state=TIME_WAIT, timer=3, expires_ms=30000)
    home = netns(diag_table(row), inode=WEB_NETNS)._replace(cookie=COOKIE, read_at_ticks=10000)
    young = facts([resident(10)._replace(start_ticks=7001)], [home])
    old = facts([resident(10)._replace(start_ticks=7000), *young.processes], [home])
    memory = Memory(containers=(container(WEB),), left={WEB_NETNS: left})
    for told, whom in ((young, expected), (old, THE_WEB)):
        socket = charged(told, memory)
        assert (socket.container_id, socket.pod, socket.attribution) == whom


def test_a_socket_that_somebody_may_hold_is_not_charged() -> None:
    told = facts([resident(10)], [netns(diag_table(listener(7)), inode=WEB_NETNS)])
    (socket,) = attribute(told).sockets
    assert (socket.container_id, socket.attribution) == (None, Attribution.NONE)
