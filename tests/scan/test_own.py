"""Owners of odd kinds, and what is odd about them."""

from dataclasses import replace

import pytest

from nsagent.model.facts import Facts, HeldBy, ProcessCounts, ProcessReading, Rewalk, Visibility
from nsagent.model.ids import ContainerId, Fd, Tid
from nsagent.model.process import Process
from nsagent.model.snapshot import Flag, Owner, Snapshot, VerdictKind
from nsagent.scan.attribute import attribute
from nsagent.scan.own import join_holders
from tests.cpu_time import cpu_seconds
from tests.kernel.proc_tree import HOST_NETNS
from tests.scan.facts import (
    WEB_CGROUP,
    WEB_ID,
    WEB_NETNS,
    diag_table,
    facts,
    listen_row,
    netns,
    reading,
    tcp_text,
)
from tests.scan.test_charge import LISTEN, message

OTHER_CGROUP = "0::/docker/" + "beef" + "0" * 60 + "\n"
LOOKED = Rewalk(1, 0, 0, 0, 0.1)


def owners_of(snapshot: Snapshot) -> list[tuple[int, tuple[int, ...], int | None, str]]:
    (socket,) = snapshot.sockets
    return [(owner.process.pid, owner.fds, owner.tid, owner.held_by) for owner in socket.owners]


def flags_of(given: Facts) -> tuple[Flag, ...]:
    (socket,) = attribute(given).sockets
    return socket.flags


def verdict_of(given: Facts) -> VerdictKind:
    (socket,) = attribute(given).sockets
    assert socket.verdict is not None
    return socket.verdict.kind


def test_a_thread_with_its_own_fds_is_an_owner_beside_its_process() -> None:
    readings = [reading(10, {3: 7}), reading(10, {3: 7})._replace(tid=Tid(12))]
    snapshot = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7)))]))
    assert owners_of(snapshot) == [(10, (3,), None, "fd"), (10, (3,), 12, "fd")]


def test_registered_files_of_an_io_uring_are_held_by_its_process() -> None:
    readings = [reading(10), reading(10, {5: 7})._replace(held_by=HeldBy.IO_URING)]
    snapshot = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7)))]))
    assert owners_of(snapshot) == [(10, (5,), None, "io_uring")]
    assert snapshot.sockets[0].owners[0] == Owner(snapshot.processes[0], (Fd(5),), None, HeldBy.IO_URING)


def test_a_holder_that_is_in_none_of_the_containers_of_the_netns_is_outside() -> None:
    readings = [reading(10, netns=WEB_NETNS, cgroup=WEB_CGROUP), reading(11, {3: 7})]
    given = facts(readings, [netns(), netns(tcp_text(listen_row(80, 7)), inode=WEB_NETNS)])
    assert flags_of(given) == (Flag.NETNS_MISMATCH, Flag.HOLDER_OUTSIDE)


def test_owners_in_different_containers_are_outside_of_each_other() -> None:
    readings = [reading(10, {3: 7}), reading(11, {3: 7}, cgroup=WEB_CGROUP)]
    assert flags_of(facts(readings, [netns(tcp_text(listen_row(80, 7)))])) == (Flag.HOLDER_OUTSIDE,)


def test_a_netns_in_which_nobody_lives_has_no_outside() -> None:
    given = facts([reading(11, {3: 7})], [netns(), netns(tcp_text(listen_row(80, 7)), inode=WEB_NETNS)])
    assert flags_of(given) == (Flag.NETNS_MISMATCH,)


@pytest.mark.parametrize(
    ("cgroup", "path", "expected"),
    [
        (WEB_CGROUP, f"/docker/{WEB_ID}", ()),
        (OTHER_CGROUP, f"/docker/{WEB_ID}", (Flag.CREATOR_DIFFERS,)),
        (WEB_CGROUP, "/system.slice/docker.service", (Flag.CREATOR_DIFFERS,)),
        ("0::/\n", f"/docker/{WEB_ID}", (Flag.CREATOR_DIFFERS,)),
        ("0::/\n", "/system.slice/docker.service", ()),
        (WEB_CGROUP, "/", ()),
        (f"4:memory:/docker/{WEB_ID}\n0::/system.slice/docker.service\n", "/system.slice/docker.service", ()),
    ],
    ids=["same", "another's", "made on the host", "held on the host", "both host", "the root", "version 1 only"],
)
def test_a_socket_made_in_another_container_than_its_holders_is_told(
    cgroup: str, path: str, expected: tuple[Flag, ...]
) -> None:
    row = diag_table(message(LISTEN, ("0.0.0.0", 80), inode=7, cgroup_id=44))
    given = facts([reading(10, {3: 7}, cgroup=cgroup)], [netns(row)])
    assert flags_of(given._replace(cgroup_paths=((44, path),))) == expected


KTHREADD = reading(2, comm="kthreadd", kernel_thread=True)
UNHELD = facts([KTHREADD, reading(10)], [netns(tcp_text(listen_row(80, 7)))])
DENIED = reading(11, netns=None, key=900)._replace(socket_fds=None)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (UNHELD, VerdictKind.UNKNOWN),
        (UNHELD._replace(rewalk=LOOKED), VerdictKind.UNKNOWN),
        (UNHELD._replace(rewalk=replace(LOOKED, in_flight=2)), VerdictKind.IN_FLIGHT),
        (
            UNHELD._replace(rewalk=LOOKED, visibility=Visibility("invisible", init=False, partial=True)),
            VerdictKind.HIDDEN,
        ),
        (
            UNHELD._replace(rewalk=LOOKED, process_counts=ProcessCounts(2, 1, 0, 1, 0)),
            VerdictKind.HIDDEN,
        ),
        (
            facts([reading(10), DENIED], [UNHELD.netns[0]._replace(key=900)])._replace(
                rewalk=replace(LOOKED, in_flight=2),
                process_counts=ProcessCounts(2, 1, 0, 1, 0),
            ),
            VerdictKind.HIDDEN,
        ),
        (
            UNHELD._replace(
                rewalk=LOOKED,
                netns=(UNHELD.netns[0]._replace(unsettled=frozenset({7})),),  # type: ignore[arg-type]
            ),
            VerdictKind.VANISHED,
        ),
    ],
    ids=[
        "nobody looked again",
        "everybody was asked",
        "in flight",
        "hidden",
        "denied elsewhere",
        "denied in this netns",
        "unsettled",
    ],
)
def test_what_nobody_holds_is_judged_by_how_far_the_pass_looked(given: Facts, kind: VerdictKind) -> None:
    assert verdict_of(given) is kind


def test_a_hidden_socket_still_names_the_container_it_was_made_in() -> None:
    row = diag_table(message(LISTEN, ("0.0.0.0", 80), inode=7, cgroup_id=44))
    given = facts([], [netns(row)])._replace(
        cgroup_paths=((44, f"/docker/{WEB_ID}"),),
        process_counts=ProcessCounts(1, 0, 0, 1, 0),
    )
    (socket,) = attribute(given).sockets
    assert (socket.container_id, socket.attribution, socket.confidence) == (ContainerId(WEB_ID), "cgroup", "high")


def test_a_process_that_could_not_be_read_has_its_netns_by_key() -> None:
    snapshot = attribute(facts([DENIED], [netns()._replace(key=900)]))
    assert [process.netns for process in snapshot.processes] == [HOST_NETNS]


def test_what_it_takes_to_merge_owners_grows_with_their_number_only() -> None:
    """Duplicates of one fd, and processes that share many sockets."""

    def join(readings: list[ProcessReading]) -> float:
        people = [Process(one.pid, one.start_ticks, one.comm, one.uid, one.netns_inode, None, None) for one in readings]
        return min(cpu_seconds(lambda: join_holders(people, readings)) for _ in range(3))

    def duplicate(count: int) -> list[ProcessReading]:
        return [reading(10, dict.fromkeys(range(count), 7))]

    def share(count: int) -> list[ProcessReading]:
        return [reading(pid, {fd: 7 + fd for fd in range(20)}) for pid in range(count)]

    assert join(duplicate(32_000)) < 60 * join(duplicate(2_000))
    assert join(share(800)) < 60 * join(share(50))
