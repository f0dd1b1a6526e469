"""The containers and pods of a snapshot, and rows that are attributed to containers alone."""

import struct
from socket import inet_aton

import pytest

from nsagent.errors import Reason
from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.model.container import Container, NameState, Pod, Runtime, ToldBy
from nsagent.model.facts import Facts, Placed
from nsagent.model.gap import Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.ids import ContainerId, Pid, PodUid
from nsagent.model.snapshot import Attribution, Confidence, Flag, VerdictKind
from nsagent.scan.attribute import attribute
from tests.kernel.diag_message import make_message
from tests.scan.facts import WEB_NETNS, diag_table, facts, listen_row, netns, reading, tcp_text

UID = PodUid("3d6beaa3-0049-13ef-b68c-e073d73494b0")
APP, PAUSE, OTHER = (ContainerId(digit * 64) for digit in "abc")
POD = Pod(UID, "web-7d9c", "shop", {"app": "web"})
POD_PATH = f"/kubepods/burstable/pod{UID}"
LISTEN, ESTABLISHED = 10, 1
CGROUP_ID = 21


def record(id_: ContainerId, name: str, **changes: object) -> Container:
    container = Container(id_, name, NameState.KNOWN, Runtime.CONTAINERD, "shop/web:1", True, "cri", pod=POD)
    return container._replace(**changes)  # type: ignore[arg-type]


def pod_facts(pause_fds: dict[int, int] | None = None) -> Facts:
    """A pod with an app that listens at port 80, and its pause container, which may hold a socket at port 81."""
    readings = [
        reading(10, pause_fds, comm="pause", netns=WEB_NETNS, cgroup=f"0::{POD_PATH}/{PAUSE}\n"),
        reading(11, {3: 7}, netns=WEB_NETNS, cgroup=f"0::{POD_PATH}/{APP}\n"),
    ]
    given = facts(readings, [netns(tcp_text(listen_row(80, 7), listen_row(81, 8)), inode=WEB_NETNS)])
    return given._replace(containers=(record(APP, "app"), record(PAUSE, "web-7d9c", sandbox=True)))


def test_the_pause_container_is_folded_into_its_pod() -> None:
    snapshot = attribute(pod_facts())
    assert [one.id for one in snapshot.containers] == [APP]
    assert [(one.containers, one.pods) for one in snapshot.netns] == [((APP,), (POD,))]


def test_the_pause_containers_that_no_row_names_are_apart() -> None:
    assert [(one.id, one.sandbox) for one in attribute(pod_facts()).folded] == [(PAUSE, True)]
    assert attribute(pod_facts({3: 8})).folded == ()


def test_a_pause_container_that_holds_a_socket_is_there() -> None:
    snapshot = attribute(pod_facts({3: 8}))
    assert [(one.id, one.sandbox, one.pod) for one in snapshot.containers] == [(APP, False, POD), (PAUSE, True, POD)]
    assert [one.containers for one in snapshot.netns] == [(APP,)]
    assert snapshot.sockets[1].container_id == PAUSE


def test_a_pod_whose_pause_container_alone_lives_is_that_of_its_netns() -> None:
    given = pod_facts()
    snapshot = attribute(given._replace(processes=given.processes[:1]))
    assert [(one.containers, one.pods) for one in snapshot.netns] == [((), (POD,))]


def test_sockets_of_a_sandboxed_container_are_told_as_not_observable() -> None:
    given = pod_facts()._replace(containers=(record(APP, "app", sandboxed="gvisor"),))
    snapshot = attribute(given)
    gap = Gap(Stage.TABLES, Subject(Kind.CONTAINER, "app"), Reason.SANDBOXED, detail="gvisor")
    assert snapshot.coverage.gaps == merge_gaps([gap])
    assert not snapshot.coverage.complete


def test_a_forger_has_neither_the_container_nor_the_pod_whose_names_it_took() -> None:
    given = pod_facts()
    forged = f"0::/user.slice/user@1000.service/pod{UID}/{APP}\n"
    forger = reading(12, {3: 8}, comm="forger", netns=WEB_NETNS, cgroup=forged, uid=1000)
    snapshot = attribute(given._replace(processes=(*given.processes, forger)))
    assert [socket.container_id for socket in snapshot.sockets] == [APP, None]
    assert snapshot.sockets[1].owners[0].process.unit == "user@1000.service"


@pytest.mark.parametrize(
    ("path", "owner"),
    [("/docker/{other}/{app}", OTHER), ("/user.slice/user-1.slice/user@1.service/docker-{app}.scope", None)],
    ids=["in another container", "a user's"],
)
def test_a_forger_does_not_hide_that_a_container_is_sandboxed(path: str, owner: ContainerId | None) -> None:
    """A container of Kata's shows no process in a cgroup of its own."""
    docker = ToldBy("docker (unix:///run/docker.sock)", 0, named=False)
    known = [record(APP, "app", pod=None, sandboxed="kata", told_by=docker), record(OTHER, "evil", told_by=docker)]
    text = f"0::{path.format(other=OTHER, app=APP)}\n"
    given = facts([reading(10, {3: 7}, netns=WEB_NETNS, cgroup=text)], [netns(tcp_text(listen_row(80, 7)))])
    snapshot = attribute(given._replace(containers=tuple(known)))
    assert [one.name for one in snapshot.containers if one.id == APP] == ["app"]
    assert [one.container_id for one in snapshot.sockets] == [owner]
    assert [gap.subjects[0].id for gap in snapshot.coverage.gaps if gap.reason is Reason.SANDBOXED] == ["app"]


def test_names_of_an_earlier_pass_stay_while_the_engine_is_dead() -> None:
    given = pod_facts()._replace(containers=(), kept=(record(APP, "app"), record(OTHER, "gone")))
    assert [(one.id, one.name, one.name_state) for one in attribute(given).containers] == [
        (APP, "app", NameState.KNOWN),
        (PAUSE, None, NameState.UNKNOWN),
    ]


def test_a_skipped_netns_is_counted_as_such_and_harms_nothing() -> None:
    given = facts([reading(10)], [netns(engine=None)._replace(skipped=True)])
    coverage = attribute(given).coverage
    assert (coverage.netns.skipped, coverage.netns.failed, coverage.complete) == (1, 0, True)


def row(state: int, port: int, inode: int, cgroup_id: int | None) -> bytes:
    attributes = [] if cgroup_id is None else [(CGROUP_ID, struct.pack("<Q", cgroup_id))]
    return make_message(
        state=state,
        local=inet_aton("10.0.0.1"),
        local_port=port,
        remote=inet_aton("0.0.0.0"),
        remote_port=0,
        inode=inode,
        cookie=900 + port,
        attributes=attributes,
    )


def creator_facts(*rows: bytes) -> Facts:
    """A pass that looked for no holders: cgroup 5 is the app's, 6 the host's, 7 is gone."""
    given = facts(
        [reading(11, netns=WEB_NETNS, cgroup=f"0::{POD_PATH}/{APP}\n")],
        [netns(diag_table(b"".join(rows)), inode=WEB_NETNS)],
    )
    return given._replace(
        owners=OwnersWanted.CONTAINER, cgroup_paths=((5, f"{POD_PATH}/{APP}"), (6, "/system.slice/x.service"))
    )


@pytest.mark.parametrize(
    ("cgroup_id", "told"),
    [
        (5, (APP, Attribution.CGROUP, Confidence.HIGH)),
        (6, (None, Attribution.NONE, Confidence.NONE)),
        (7, (None, Attribution.NONE, Confidence.NONE)),
        (None, (None, Attribution.NONE, Confidence.NONE)),
    ],
)
def test_a_row_has_the_container_that_made_its_socket(
    cgroup_id: int | None, told: tuple[ContainerId | None, Attribution, Confidence]
) -> None:
    snapshot = attribute(creator_facts(row(LISTEN, 80, 7, cgroup_id)))
    (socket,) = snapshot.sockets
    assert (socket.container_id, socket.attribution, socket.confidence) == told
    assert (socket.owners, socket.verdict, socket.flags) == ((), None, ())
    gaps = {
        7: [Gap(Stage.CGROUPS, Subject(Kind.CGROUPS), Reason.UNREACHABLE)],
        None: [Gap(Stage.CGROUPS, Subject(Kind.CREATORS), Reason.NOT_TOLD)],
    }
    expected = merge_gaps(gaps.get(cgroup_id, []))
    assert (snapshot.coverage.owners, snapshot.coverage.gaps) == (OwnersWanted.CONTAINER, expected)


def test_a_row_that_nobody_can_hold_has_its_verdict_also_where_no_holder_is_looked_for() -> None:
    snapshot = attribute(creator_facts(row(LISTEN, 80, 7, 5), row(ESTABLISHED, 80, 0, 5)))
    waiting = snapshot.sockets[1]
    assert waiting.verdict is not None
    assert waiting.verdict.kind is VerdictKind.ACCEPT_QUEUE
    assert (waiting.container_id, waiting.attribution) == (APP, Attribution.LISTENER)


def test_a_host_whose_containers_have_no_cgroups_of_version_2_cannot_tell_creators() -> None:
    given = creator_facts(row(LISTEN, 80, 7, 5))
    first = reading(11, netns=WEB_NETNS, cgroup=f"4:memory:{POD_PATH}/{APP}\n0::/\n")
    snapshot = attribute(given._replace(processes=(first,)))
    assert [socket.container_id for socket in snapshot.sockets] == [None]
    assert [gap.stage for gap in snapshot.coverage.gaps] == [Stage.CGROUPS]
    assert not snapshot.coverage.complete


@pytest.mark.parametrize(("known", "told"), [(True, None), (False, OTHER)])
def test_a_process_whose_v2_cgroup_is_another_container_s_spoils_that_one_alone(
    known: bool, told: ContainerId | None
) -> None:
    """Docker in Docker on a hybrid host: what the inner container makes bears the outer one's id.

    An inner one that nobody knows is the outer one's own.
    """
    given = creator_facts(row(LISTEN, 80, 7, 5), row(LISTEN, 81, 8, 9))
    outer = f"/docker/{OTHER}"
    inner = reading(12, netns=WEB_NETNS, cgroup=f"4:memory:{outer}/docker/{PAUSE}\n0::{outer}\n")
    record = Container(PAUSE, "inner", NameState.KNOWN, Runtime.DOCKER, None, True, "docker")
    given = given._replace(
        processes=(*given.processes, inner),
        cgroup_paths=(*given.cgroup_paths, (9, outer)),
        containers=(record,) if known else (),
    )
    assert [socket.container_id for socket in attribute(given).sockets] == [APP, told]


def test_a_forged_cgroup_makes_no_creator() -> None:
    given = creator_facts(row(LISTEN, 80, 7, 8))
    forged = f"/user.slice/user@1000.service/docker-{APP}.scope"
    snapshot = attribute(given._replace(cgroup_paths=(*given.cgroup_paths, (8, forged))))
    assert [socket.container_id for socket in snapshot.sockets] == [None]


def test_who_holds_what_another_container_made_is_flagged() -> None:
    given = creator_facts(row(LISTEN, 80, 7, 5))
    holder = reading(12, {3: 7}, netns=WEB_NETNS, cgroup=f"0::{POD_PATH}/{OTHER}\n")
    snapshot = attribute(given._replace(owners=OwnersWanted.PID, processes=(*given.processes, holder)))
    (socket,) = snapshot.sockets
    assert (socket.container_id, socket.flags) == (OTHER, (Flag.CREATOR_DIFFERS,))


class TestPlaced:
    """Processes that a runtime alone tells to be in a container."""

    PLACED = (Placed(OTHER, Pid(10), 100),)

    def test_they_are_in_it_and_so_are_their_rows(self) -> None:
        given = facts(
            [reading(10, {3: 7}), reading(11, {3: 8})], [netns(tcp_text(listen_row(80, 7), listen_row(81, 8)))]
        )
        lone = record(OTHER, "lone", pod=None, source="podman")
        snapshot = attribute(given._replace(placed=self.PLACED, containers=(lone,)))
        assert [(one.container_id, one.attribution) for one in snapshot.sockets] == [
            (OTHER, Attribution.FD),
            (None, Attribution.FD),
        ]
        assert (snapshot.containers, snapshot.netns[0].containers) == ((lone,), (OTHER,))
        assert snapshot.coverage.gaps == ()

    def test_another_process_with_that_pid_is_not(self) -> None:
        given = facts([reading(10, {3: 7}, start_ticks=101)], [netns(tcp_text(listen_row(80, 7)))])
        (socket,) = attribute(given._replace(placed=self.PLACED)).sockets
        assert socket.container_id is None

    def test_what_its_cgroup_tells_of_a_process_goes_before(self) -> None:
        given = facts([reading(10, {3: 7}, cgroup=f"0::/docker/{APP}\n")], [netns(tcp_text(listen_row(80, 7)))])
        (socket,) = attribute(given._replace(placed=self.PLACED)).sockets
        assert socket.container_id == APP

    def test_the_cgroup_that_they_share_with_others_contradicts_nothing(self) -> None:
        table = diag_table(row(LISTEN, 80, 7, 44))
        given = facts([reading(10, {3: 7}, cgroup="0::/user.slice\n")], [netns(table, engine=EngineName.SOCK_DIAG)])
        (socket,) = attribute(given._replace(placed=self.PLACED, cgroup_paths=((44, "/user.slice"),))).sockets
        assert (socket.container_id, socket.flags) == (OTHER, ())
