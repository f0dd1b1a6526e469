"""The rows of a snapshot that a filter selects."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from nsagent.errors import EXIT_NOT_FOUND, Ambiguous, NotFound, Reason
from nsagent.model.choices import View
from nsagent.model.container import Container, NameState, Pod
from nsagent.model.facts import RawTable
from nsagent.model.gap import AlikeGaps, Gap, Kind, Stage, Subject
from nsagent.model.ids import ContainerId, Pid, PodUid
from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.model.snapshot import OwnedSocket, Snapshot, Verdict, VerdictKind
from nsagent.query.filter import Filter
from nsagent.query.labels import parse_labels
from nsagent.query.match import list_container_ids
from nsagent.query.netns import find_each_netns, find_netns
from nsagent.query.select import select_containers, select_netns, select_snapshot, select_view
from nsagent.scan.attribute import attribute
from tests.gaps import alike, unnamed
from tests.kernel.proc_tree import HOST_NETNS, text_row
from tests.report.conftest import ownerless, row
from tests.scan.facts import (
    ANY,
    LOOPBACK,
    WEB_CGROUP,
    WEB_ID,
    WEB_NETNS,
    facts,
    listen_row,
    netns,
    reading,
    tcp_text,
    udp6_text,
)

OTHER_ID = "c0ffff" + "0" * 58
KEY = 900
NOBODY = Endpoint("*", 0)
WITHOUT_OWNER = Verdict(VerdictKind.UNKNOWN, None, "nobody")
ANY6 = "0" * 32 + ":0000"


def connection(local: int, remote: int, inode: int) -> str:
    return text_row(f"{LOOPBACK}:{local:04X}", f"{LOOPBACK}:{remote:04X}", 1, inode)


def host_tables() -> tuple[RawTable, RawTable]:
    tcp = tcp_text(listen_row(22, 1), connection(22, 50000, 2), connection(50000, 22, 3))
    udp = udp6_text(
        text_row("0" * 32 + ":0035", ANY6, 7, 4),
        text_row("0" * 24 + "01000000:1000", "0" * 24 + "01000000:0035", 1, 5),
    )
    return tcp, udp


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    """A host with ssh and DNS, a web container with a worker in another container, a netns by key alone."""
    readings = [
        reading(10, {3: 1, 4: 2}, comm="sshd"),
        reading(11, {3: 3}, comm="ssh"),
        reading(12, {3: 4, 4: 5}, comm="dns"),
        reading(20, {3: 6}, netns=WEB_NETNS, cgroup=WEB_CGROUP, start_ticks=1),
        reading(21, {3: 6}, netns=WEB_NETNS, cgroup=f"0::/docker/{OTHER_ID}\n", start_ticks=2),
        reading(30, {3: 8}, netns=None, key=KEY),
    ]
    waiting = text_row(f"{LOOPBACK}:0050", f"{LOOPBACK}:C351", 6, 0)
    return attribute(
        facts(
            readings,
            [
                netns(*host_tables(), is_host=True),
                netns(tcp_text(listen_row(80, 6), waiting), inode=WEB_NETNS, mounts=("/run/netns/web", "/run/x/web")),
                netns(tcp_text(listen_row(80, 8)), inode=None, key=KEY),
                netns(tcp_text(text_row(f"{LOOPBACK}:0051", ANY, 10, 9)), inode=77, mounts=("/var/run/netns/blue",)),
            ],
        )
    )


def holding(*sockets: OwnedSocket) -> Snapshot:
    return attribute(facts())._replace(sockets=sockets)


def inodes(snapshot: Snapshot) -> list[int]:
    return [socket.row.inode for socket in snapshot.sockets]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), [1, 4, 2, 5, 3, 6, 0, 8, 9]),
        (Filter(ports=frozenset({22})), [1, 2, 3]),
        (Filter(ports=frozenset({50000, 53})), [4, 2, 5, 3]),
        (Filter(ports=frozenset({80})), [6, 0, 8]),
        (Filter(protocols=frozenset({Protocol.UDP})), [4, 5]),
        (Filter(states=frozenset({SocketState.LISTEN})), [1, 6, 8, 9]),
        (Filter(states=frozenset({SocketState.TIME_WAIT, SocketState.CLOSE})), [4, 0]),
        (Filter(listening=True), [1, 4, 6, 8, 9]),
        (Filter(listening=True, protocols=frozenset({Protocol.UDP})), [4]),
        (Filter(pids=(Pid(10),)), [1, 2]),
        (Filter(pids=(Pid(10), Pid(21))), [1, 2, 6]),
        (Filter(pids=(Pid(10),), states=frozenset({SocketState.LISTEN})), [1]),
        (Filter(netns=("host",)), [1, 4, 2, 5, 3]),
        (Filter(netns=("web", "blue")), [6, 0, 9]),
        (Filter(netns=("web, blue", "key:900")), [6, 0, 8, 9]),
        (Filter(netns=("host",), ports=frozenset({80})), []),
        (Filter(containers=(WEB_ID,)), [6, 0]),
        (Filter(containers=("c0ffff",)), [6]),
        (Filter(containers=(WEB_ID,), pids=(Pid(10),)), []),
    ],
)
def test_values_of_a_field_are_alternatives_and_fields_must_all_match(
    snapshot: Snapshot, wanted: Filter, expected: list[int]
) -> None:
    assert inodes(select_snapshot(snapshot, wanted)) == expected


@pytest.mark.parametrize(
    ("protocol", "state", "listens"),
    [
        (Protocol.TCP, SocketState.LISTEN, True),
        (Protocol.TCP, SocketState.CLOSE, False),
        (Protocol.TCP, SocketState.BOUND_INACTIVE, False),
        (Protocol.SCTP, SocketState.LISTEN, True),
        (Protocol.SCTP, SocketState.CLOSE, False),
        (Protocol.VSOCK, SocketState.LISTEN, True),
        (Protocol.VSOCK, SocketState.CLOSE, False),
        (Protocol.UDP, SocketState.CLOSE, True),
        (Protocol.UDP, SocketState.ESTABLISHED, False),
        (Protocol.UDPLITE, SocketState.CLOSE, True),
        (Protocol.RAW, SocketState.CLOSE, True),
        (Protocol.RAW, SocketState.ESTABLISHED, False),
        (Protocol.ICMP, SocketState.CLOSE, True),
        (Protocol.PACKET, SocketState.CLOSE, True),
        (Protocol.NETLINK, SocketState.CLOSE, True),
        (Protocol.NETLINK, SocketState.ESTABLISHED, False),
    ],
)
def test_what_listens_is_what_ss_calls_so(protocol: Protocol, state: SocketState, listens: bool) -> None:
    socket = ownerless(HOST_NETNS, row(state, NOBODY, NOBODY, protocol=protocol), WITHOUT_OWNER)
    assert bool(select_snapshot(holding(socket), Filter(listening=True)).sockets) is listens


@pytest.mark.parametrize(
    ("state", "protocol", "queues", "expected"),
    [
        (SocketState.LISTEN, Protocol.TCP, (81, 99), True),
        (SocketState.LISTEN, Protocol.TCP, (80, 99), False),  # A queue takes one more than its limit: of 100.
        (SocketState.LISTEN, Protocol.TCP, (1, 0), True),
        (SocketState.LISTEN, Protocol.TCP, (0, 0), False),
        (SocketState.LISTEN, Protocol.SCTP, (10, 10), True),
        (SocketState.LISTEN, Protocol.TCP, (81, None), False),
        (SocketState.LISTEN, Protocol.VSOCK, (81, 99), False),
        (SocketState.ESTABLISHED, Protocol.TCP, (81, 99), False),
    ],
)
def test_an_accept_queue_is_fuller_than_a_share_of_what_it_takes(
    state: SocketState, protocol: Protocol, queues: tuple[int, int | None], expected: bool
) -> None:
    socket = ownerless(HOST_NETNS, row(state, NOBODY, NOBODY, protocol=protocol, queues=queues), WITHOUT_OWNER)
    assert bool(select_snapshot(holding(socket), Filter(accept_queue_above=0.8)).sockets) is expected


def test_an_accept_queue_without_a_limit_is_counted_as_not_judged(snapshot: Snapshot) -> None:
    rows = [row(SocketState.LISTEN, NOBODY, NOBODY, queues=(1, limit)) for limit in (None, None, 4)]
    whole = holding(*(ownerless(HOST_NETNS, each, WITHOUT_OWNER) for each in rows))
    coverage = select_snapshot(whole, Filter(accept_queue_above=0.5)).coverage
    gap = alike(Gap(Stage.TABLES, Subject(Kind.ACCEPT_QUEUES), Reason.NOT_TOLD, count=2))
    assert coverage == whole.coverage._replace(complete=False, gaps=(*whole.coverage.gaps, gap))


def test_ownerless_is_what_has_a_verdict(snapshot: Snapshot) -> None:
    """Where no owners were looked for, as with `--owners container`, a row has neither."""
    whole = holding(
        ownerless(HOST_NETNS, row(SocketState.LISTEN, NOBODY, NOBODY, inode=1), WITHOUT_OWNER),
        ownerless(HOST_NETNS, row(SocketState.LISTEN, NOBODY, NOBODY, inode=2), WITHOUT_OWNER)._replace(verdict=None),
    )
    assert inodes(select_snapshot(whole, Filter(ownerless=True))) == [1]
    assert {socket.verdict is None for socket in select_snapshot(snapshot, Filter(ownerless=True)).sockets} == {False}


@pytest.mark.parametrize("protocol", Protocol)
def test_a_port_is_one_of_a_protocol_that_has_ports(protocol: Protocol) -> None:
    local = row(SocketState.CLOSE, Endpoint("*", 6), NOBODY, protocol=protocol)
    remote = row(SocketState.CLOSE, NOBODY, Endpoint("*", 6), protocol=protocol)
    both = holding(ownerless(HOST_NETNS, local, WITHOUT_OWNER), ownerless(HOST_NETNS, remote, WITHOUT_OWNER))
    without_ports = (Protocol.RAW, Protocol.ICMP, Protocol.PACKET, Protocol.NETLINK)
    assert len(select_snapshot(both, Filter(ports=frozenset({6}))).sockets) == (0 if protocol in without_ports else 2)


def test_an_empty_filter_selects_the_whole_snapshot(snapshot: Snapshot) -> None:
    assert select_snapshot(snapshot, Filter()) is snapshot


def test_only_the_netns_and_containers_of_the_rows_are_kept(snapshot: Snapshot) -> None:
    selected = select_snapshot(snapshot, Filter(pids=(Pid(21),)))
    assert [one.inode for one in selected.netns] == [WEB_NETNS]
    assert {one.id for one in selected.containers} == {WEB_ID, OTHER_ID}


def test_coverage_and_processes_are_those_of_the_whole_pass(snapshot: Snapshot) -> None:
    selected = select_snapshot(snapshot, Filter(ports=frozenset({1})))
    assert (selected.coverage, selected.processes) == (snapshot.coverage, snapshot.processes)
    assert (selected.sockets, selected.netns, selected.containers) == ((), (), ())


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("host", HOST_NETNS),
        (str(WEB_NETNS), WEB_NETNS),
        (f"key:{KEY}", -KEY),
        ("web", WEB_NETNS),
        ("blue", 77),
        ("/run/netns/web", WEB_NETNS),
        ("/var/run/netns/web", WEB_NETNS),
        ("/run/netns/../netns//web", WEB_NETNS),
        ("/run/x/web", WEB_NETNS),
        ("/run/netns/blue", 77),
        ("/proc/20/ns/net", WEB_NETNS),
        ("/proc/20/task/25/ns/net", WEB_NETNS),
        ("/proc/30/ns/net", -KEY),
    ],
)
def test_a_netns_goes_by_inode_key_name_path_or_process(snapshot: Snapshot, text: str, number: int) -> None:
    assert find_netns(snapshot, text).number == number


def test_a_netns_that_only_a_key_tells_is_not_found_by_its_number_and_told_how(snapshot: Snapshot) -> None:
    with pytest.raises(NotFound) as caught:
        find_netns(snapshot, str(KEY))
    assert str(caught.value) == (
        f"no netns '{KEY}'; near names: key:{KEY}; the inodes of 1 netns may not be read: ask for them as key:N"
    )


def test_where_all_inodes_are_read_nothing_is_said_of_keys(snapshot: Snapshot) -> None:
    given = snapshot._replace(netns=tuple(one for one in snapshot.netns if one.inode))
    with pytest.raises(NotFound) as caught:
        find_netns(given, "12345")
    assert str(caught.value) == "no netns '12345'"


@pytest.mark.parametrize("text", [WEB_ID, WEB_ID[:6]])
def test_a_container_that_is_taken_for_a_netns_is_told_as_one(snapshot: Snapshot, text: str) -> None:
    with pytest.raises(NotFound) as caught:
        find_netns(snapshot, text)
    assert str(caught.value) == f"no netns '{text}'; it is a container: use -c"


def mounted(*netns_readings: tuple[int, str]) -> Snapshot:
    """Netns with one mount each."""
    return attribute(facts([], [netns(inode=inode, mounts=(path,)) for inode, path in netns_readings]))


@pytest.mark.parametrize("text", ["web", "/run/netns/web"])
def test_what_two_netns_are_called_is_ambiguous_and_they_are_told_by_inode(text: str) -> None:
    given = mounted((77, "/run/netns/web"), (78, "/run/netns/web"))
    for find in (find_netns, find_each_netns, select_netns):
        with pytest.raises(Ambiguous) as caught:
            find(given, text)
        assert str(caught.value) == f"netns '{text}' is ambiguous: 77 (/run/netns/web), 78 (/run/netns/web)"
        assert caught.value.exit_status == EXIT_NOT_FOUND


@pytest.mark.parametrize("text", ["a,b", "/run/netns/a,b", " a ", "key:77", "78", "a b"])
def test_a_netns_goes_by_any_name_that_one_has(text: str) -> None:
    given = mounted((50, f"/run/netns/{text.removeprefix('/run/netns/')}"), (51, "/run/netns/x"))
    assert [one.number for one in find_each_netns(given, text)] == [50]


@pytest.mark.parametrize(("text", "number"), [("host", 50), ("51", 51)])
def test_nobody_takes_the_netns_of_the_host_or_an_inode_by_a_name(text: str, number: int) -> None:
    hosts = netns(inode=50, is_host=True)
    given = attribute(facts([], [hosts, netns(inode=51), netns(inode=52, mounts=(f"/run/netns/{text}",))]))
    assert [one.number for one in find_each_netns(given, text)] == [number]


def test_a_name_with_a_comma_is_ambiguous_where_its_parts_are_names_too() -> None:
    given = mounted((50, "/run/netns/a,b"), (51, "/run/netns/a"), (52, "/run/netns/c"))
    with pytest.raises(Ambiguous, match=r"netns 'a,b' is ambiguous: 50 \(/run/netns/a,b\), a, b$"):
        find_each_netns(given, "a,b")
    assert [one.number for one in find_each_netns(given, "a, c,")] == [51, 52]


@pytest.mark.parametrize(
    "text", ["wep", "", "/run/netns/wep", "12345", "/proc/99/ns/net", "/proc/x/ns/net", "HOST", "9" * 5000, "\u0667"]
)
def test_a_netns_that_nobody_knows_is_not_found(snapshot: Snapshot, text: str) -> None:
    with pytest.raises(NotFound) as caught:
        find_netns(snapshot, text)
    assert caught.value.exit_status == EXIT_NOT_FOUND
    assert f"no netns {text!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "near"), [("wep", "web"), ("hots", "host"), ("/run/netns/wep", "/run/netns/web"), ("bleu", "blue")]
)
def test_a_netns_that_is_not_found_is_told_with_near_names(snapshot: Snapshot, text: str, near: str) -> None:
    with pytest.raises(NotFound, match="near names: ") as caught:
        find_netns(snapshot, text)
    assert near in str(caught.value).partition("near names: ")[2].split(", ")


def test_a_process_that_nobody_knows_is_not_found(snapshot: Snapshot) -> None:
    with pytest.raises(NotFound, match=r"no process '99'; a thread goes by the id of its process$"):
        select_snapshot(snapshot, Filter(pids=(Pid(99),)))


def test_a_process_without_sockets_selects_nothing() -> None:
    snapshot = attribute(facts([reading(10)], [netns(tcp_text(listen_row(80, 7)))]))
    assert inodes(select_snapshot(snapshot, Filter(pids=(Pid(10),)))) == []


def test_a_container_that_nobody_knows_is_not_found(snapshot: Snapshot) -> None:
    with pytest.raises(NotFound, match="no container 'wep'"):
        select_snapshot(snapshot, Filter(containers=("wep",)))


def test_a_prefix_of_two_containers_is_ambiguous(snapshot: Snapshot) -> None:
    with pytest.raises(Ambiguous, match="'c0ff' is ambiguous"):
        select_snapshot(snapshot, Filter(containers=("c0ff",)))


def test_one_netns_is_selected_with_all_its_rows_and_containers(snapshot: Snapshot) -> None:
    selected = select_netns(snapshot, "web")
    assert [one.number for one in selected.netns] == [WEB_NETNS]
    assert inodes(selected) == [6, 0]
    assert {one.id for one in selected.containers} == {WEB_ID, OTHER_ID}


def test_a_row_names_its_own_container_and_those_of_all_owners(snapshot: Snapshot) -> None:
    shared = next(socket for socket in snapshot.sockets if socket.row.inode == 6)
    assert set(list_container_ids(shared)) == {ContainerId(WEB_ID), ContainerId(OTHER_ID)}


APP_ID, PAUSE_ID, LONELY_ID = (ContainerId(digits.ljust(64, "0")) for digits in ("a1", "a2", "b3"))
LONELY_NETNS, POD_NETNS = 4026532600, 4026532700
WEB_POD = Pod(PodUid("u-web"), "web-7d9c", "shop", {"app": "web"})
LONELY_POD = Pod(PodUid("u-lonely"), "lonely", "shop", {"app": "none"})


def pod_container(id_: ContainerId, pod: Pod | None, *, sandbox: bool = False, source: str = "cri") -> Container:
    name = "POD" if sandbox else "app"
    return Container(
        id_, name, NameState.KNOWN, None, None, True, source, pod=pod, container_name=None if sandbox else name,
        sandbox=sandbox,
    )  # fmt: skip


@pytest.fixture
def pods() -> Snapshot:
    """A pod with a server; one whose containers have ended, but for the pause container, which no row names."""
    snapshot = attribute(
        facts(
            [
                reading(40, {3: 6}, netns=POD_NETNS, cgroup=f"0::/docker/{APP_ID}\n"),
                reading(41, netns=POD_NETNS, cgroup=f"0::/docker/{PAUSE_ID}\n"),
                reading(42, netns=LONELY_NETNS, cgroup=f"0::/docker/{LONELY_ID}\n"),
            ],
            [netns(tcp_text(listen_row(80, 6)), inode=POD_NETNS), netns(inode=LONELY_NETNS)],
        )
    )
    return snapshot._replace(
        containers=(pod_container(APP_ID, WEB_POD),),
        folded=(
            pod_container(PAUSE_ID, WEB_POD, sandbox=True),
            pod_container(LONELY_ID, LONELY_POD, sandbox=True),
        ),
    )


@pytest.mark.parametrize(
    ("wanted", "selected"),
    [
        (Filter(pods=("web-7d9c",)), True),
        (Filter(kube_namespaces=("shop",)), True),
        (Filter(pods=("lonely",)), False),
        (Filter(pods=("web-7d9c",), containers=(APP_ID,)), False),
    ],
)
def test_a_row_that_a_pod_is_charged_with_is_the_pods_and_none_of_a_container(
    pods: Snapshot, wanted: Filter, selected: bool
) -> None:
    row = pods.sockets[0]._replace(owners=(), container_id=None, pod=WEB_POD)
    assert select_snapshot(pods._replace(sockets=(row,)), wanted).sockets == ((row,) if selected else ())


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        (Filter(pods=("web-7d9c",)), [6]),
        (Filter(pods=("shop/lonely",)), []),
        (Filter(containers=(LONELY_ID,)), []),
        (Filter(containers=(PAUSE_ID[:12],)), []),
        (Filter(kube_namespaces=("shop",)), [6]),
    ],
)
def test_a_pod_of_which_only_the_pause_container_lives_is_known(
    pods: Snapshot, wanted: Filter, rows: list[int]
) -> None:
    assert inodes(select_snapshot(pods, wanted)) == rows


@pytest.mark.parametrize(
    ("wanted", "containers", "netns_numbers"),
    [
        (Filter(pods=("web-7d9c",)), [APP_ID], [POD_NETNS]),
        (Filter(pods=("lonely",)), [], [LONELY_NETNS]),
        (Filter(kube_namespaces=("shop",)), [APP_ID], [POD_NETNS, LONELY_NETNS]),
        (Filter(labels=parse_labels(["app=none"])), [], [LONELY_NETNS]),
        (Filter(containers=(LONELY_ID,)), [LONELY_ID], [LONELY_NETNS]),
        (Filter(containers=(PAUSE_ID[:4], "app")), [APP_ID, PAUSE_ID], [POD_NETNS]),
        (Filter(pods=("web-7d9c",), containers=(PAUSE_ID,)), [PAUSE_ID], [POD_NETNS]),
    ],
)
def test_a_pause_container_is_shown_where_it_is_called_by_its_id(
    pods: Snapshot, wanted: Filter, containers: list[ContainerId], netns_numbers: list[int]
) -> None:
    selected = select_containers(pods, wanted)
    assert [one.id for one in selected.containers] == containers
    assert [one.number for one in selected.netns] == netns_numbers
    assert selected.folded == tuple(one for one in pods.folded if one.id not in containers)


def test_no_filter_shows_no_pause_container(pods: Snapshot) -> None:
    assert select_containers(pods, Filter()) is pods


LABELS_GAP = alike(Gap(Stage.NAMES, Subject(Kind.LABELS), Reason.NOT_TOLD, count=2))
NAMESPACES_GAP = alike(Gap(Stage.NAMES, Subject(Kind.KUBE_NAMESPACES), Reason.NOT_TOLD))


@pytest.mark.parametrize("select", [select_snapshot, select_containers])
@pytest.mark.parametrize(
    ("wanted", "gaps"),
    [
        (Filter(labels=parse_labels(["!x"])), (LABELS_GAP,)),
        (Filter(kube_namespaces=("shop",)), (NAMESPACES_GAP,)),
        (Filter(labels=parse_labels(["x"]), kube_namespaces=("shop",)), (replace(LABELS_GAP, count=1), NAMESPACES_GAP)),
        (Filter(pods=("web-7d9c",)), ()),
    ],
)
def test_what_nobody_told_that_a_filter_asks_for_is_a_gap(
    pods: Snapshot, select: Callable[[Snapshot, Filter], Snapshot], wanted: Filter, gaps: tuple[AlikeGaps, ...]
) -> None:
    unknown = (
        pod_container(ContainerId("c1"), Pod(PodUid("u-nameless")), source="cgroup"),
        pod_container(ContainerId("c2"), None, source="cgroup"),
    )
    earlier = alike(unnamed("docker (unix:///run/docker.sock)", "no answer within 2 s"))
    coverage = pods.coverage._replace(gaps=(earlier,))
    given = pods._replace(containers=(*pods.containers, *unknown), coverage=coverage)
    assert select(given, wanted).coverage == coverage._replace(gaps=(earlier, *gaps))


@pytest.mark.parametrize("select", [select_snapshot, select_containers])
def test_a_pause_container_that_no_row_names_is_not_counted_as_unjudged(
    pods: Snapshot, select: Callable[[Snapshot, Filter], Snapshot]
) -> None:
    lonely = pod_container(LONELY_ID, Pod(PodUid("u-lonely"), "lonely"), sandbox=True, source="bundles")
    wanted = Filter(kube_namespaces=("shop",), labels=parse_labels(["app"]))
    assert select(pods._replace(folded=(lonely,)), wanted).coverage == pods.coverage


def test_a_pause_container_is_not_shown_for_a_container_named_like_the_beginning_of_its_id(pods: Snapshot) -> None:
    namesake = pod_container(ContainerId("c1"), None)._replace(name=PAUSE_ID[:12])
    given = pods._replace(containers=(*pods.containers, namesake))
    assert select_containers(given, Filter(containers=(PAUSE_ID[:12],))).containers == (namesake,)


@pytest.mark.parametrize(
    ("view", "expected", "netns_numbers"),
    [
        (View.LISTENERS, [1, 4, 6, 8, 9], [HOST_NETNS, WEB_NETNS, -KEY, 77]),
        (View.CONNECTIONS, [2, 5, 3, 0], [HOST_NETNS, WEB_NETNS]),
    ],
)
def test_a_view_has_its_rows_and_the_netns_and_containers_that_they_name(
    snapshot: Snapshot, view: View, expected: list[int], netns_numbers: list[int]
) -> None:
    selected = select_view(snapshot, view)
    assert inodes(selected) == expected
    assert sorted(one.number for one in selected.netns) == sorted(netns_numbers)
    named = {id_ for socket in selected.sockets for id_ in list_container_ids(socket)}
    assert {one.id for one in selected.containers} == named
    assert selected.coverage is snapshot.coverage


@pytest.mark.parametrize("view", [View.SOCKETS, View.NETNS, View.CONTAINERS, View.TOP, View.CHANGES])
def test_other_views_have_the_snapshot_itself(snapshot: Snapshot, view: View) -> None:
    assert select_view(snapshot, view) is snapshot


@pytest.mark.parametrize(
    ("protocol", "local", "remote", "connected"),
    [
        (Protocol.NETLINK, Endpoint("route", 7), NOBODY, False),
        (Protocol.NETLINK, Endpoint("route", 7), Endpoint("route", 0), True),
        (Protocol.PACKET, Endpoint("0003", 0), NOBODY, False),
        (Protocol.VSOCK, Endpoint("2", 1024), Endpoint("3", 1025), True),
        (Protocol.RAW, Endpoint("0.0.0.0", 1), Endpoint("192.0.2.1", 0), True),
        (Protocol.UDP, Endpoint("::", 53), Endpoint("::", 0), False),
    ],
)
def test_connections_of_any_protocol_are_rows_with_a_remote(
    protocol: Protocol, local: Endpoint, remote: Endpoint, connected: bool
) -> None:
    state = SocketState.ESTABLISHED if connected else SocketState.CLOSE
    socket = ownerless(1, row(state, local, remote, protocol=protocol), WITHOUT_OWNER)
    assert select_view(holding(socket), View.CONNECTIONS).sockets == ((socket,) if connected else ())
