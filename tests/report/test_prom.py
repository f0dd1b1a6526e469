"""Prometheus' text of a snapshot, as its own parser reads it."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from nsagent.model.choices import OutputFormat, View
from nsagent.model.container import Container, NameState, Pod
from nsagent.model.ids import ContainerId, PodUid
from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.report.prom import make_families, render_prom
from nsagent.report.render import OutputOptions, render_answer
from tests.report.conftest import HOST, WEB, WEB_ID, ownerless, row

Samples = dict[tuple[tuple[str, str], ...], float]

WEB_PLACE = {"namespace": "shop", "pod": "web-7d9c", "container": "httpd"}
NAMELESS_PLACE = {"namespace": "", "pod": "", "container": "badcafe00000"}
NO_PLACE = {"namespace": "", "pod": "", "container": ""}
OTHER_PLACE = {"namespace": "other", "pod": "other", "container": "other"}


def parsed(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples_of(families: Mapping[str, Metric], name: str) -> list[tuple[dict[str, str], float]]:
    """The labels and values of one metric, in order."""
    return [(dict(sample.labels), sample.value) for sample in families[name].samples]


def families_of(snapshot: Snapshot, whole: Snapshot | None = None) -> dict[str, Metric]:
    return parsed("".join(render_prom(snapshot, whole=whole)))


def test_the_metrics_of_the_sample(snapshot: Snapshot) -> None:
    families = families_of(snapshot)
    assert samples_of(families, "nsagent_sockets") == [
        ({**NO_PLACE, "protocol": "tcp", "state": "syn_recv"}, 1.0),
        ({**NO_PLACE, "protocol": "tcp", "state": "time_wait"}, 1.0),
        ({**NO_PLACE, "protocol": "udp", "state": "close"}, 1.0),
        ({**NAMELESS_PLACE, "protocol": "tcp", "state": "listen"}, 1.0),
        ({**WEB_PLACE, "protocol": "tcp", "state": "established"}, 1.0),
        ({**WEB_PLACE, "protocol": "tcp", "state": "listen"}, 1.0),
    ]
    assert samples_of(families, "nsagent_connections") == [
        ({**NO_PLACE, "direction": "in", "peer_kind": "private"}, 1.0),
        ({**NO_PLACE, "direction": "out", "peer_kind": "public"}, 1.0),
        ({**WEB_PLACE, "direction": "in", "peer_kind": "private"}, 1.0),
    ]
    assert samples_of(families, "nsagent_socket_queue_bytes") == [
        ({**place, "queue": queue}, value)
        for place, values in ((NO_PLACE, (0, 0)), (NAMELESS_PLACE, (0, 0)), (WEB_PLACE, (5, 7)))
        for queue, value in zip(("rx", "tx"), values, strict=True)
    ]
    assert samples_of(families, "nsagent_accept_queue") == [(NAMELESS_PLACE, 0.0), (WEB_PLACE, 1.0)]
    assert samples_of(families, "nsagent_accept_queue_limit") == [(WEB_PLACE, 128.0)]
    assert samples_of(families, "nsagent_listeners_info") == [
        ({**NO_PLACE, "address": "0.0.0.0", "port": "68", "protocol": "udp"}, 1.0),
        ({**NAMELESS_PLACE, "address": "::", "port": "22", "protocol": "tcp"}, 1.0),
        ({**WEB_PLACE, "address": "::", "port": "80", "protocol": "tcp"}, 1.0),
    ]
    assert samples_of(families, "nsagent_netns") == [({}, 3.0)]
    assert samples_of(families, "nsagent_processes") == [
        ({"access": "ok"}, 210.0),
        ({"access": "vanished"}, 1.0),
        ({"access": "denied"}, 3.0),
        ({"access": "skipped"}, 0.0),
    ]
    assert samples_of(families, "nsagent_gaps") == [
        ({"stage": "fds", "reason": "EACCES"}, 3.0),
        ({"stage": "names", "reason": "no_answer"}, 1.0),
    ]
    assert samples_of(families, "nsagent_ownerless_sockets") == [
        ({"verdict": "time_wait"}, 1.0),
        ({"verdict": "syn_recv"}, 1.0),
    ]


def test_names_keep_to_the_rules(snapshot: Snapshot) -> None:
    """https://prometheus.io/docs/practices/naming/"""
    for name, family in families_of(snapshot).items():
        assert re.fullmatch(r"nsagent_[a-z]+(_[a-z]+)*", name)
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_created", "_kilobytes", "_ms"))
        assert (family.type, bool(family.documentation.endswith("."))) == ("gauge", True)
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels & {"le", "quantile", "pid", "inode", "cookie", "netns", "remote", "peer", "comm"} == set()


def test_names_and_labels_are_the_same_for_each_sample_and_no_series_stands_twice(snapshot: Snapshot) -> None:
    for family in families_of(snapshot._replace(sockets=snapshot.sockets * 3)).values():
        keys = [tuple(sorted(sample.labels.items())) for sample in family.samples]
        assert len(set(keys)) == len(keys)
        assert len({tuple(sample.labels) for sample in family.samples}) <= 1


def listener(port: int, *, protocol: Protocol = Protocol.UDP, netns: int = WEB) -> OwnedSocket:
    state = SocketState.LISTEN if protocol is Protocol.TCP else SocketState.CLOSE
    table_row = row(state, Endpoint("10.0.0.2", port), Endpoint("0.0.0.0", 0), protocol=protocol, inode=port + 1)
    return ownerless(netns, table_row, None)._replace(container_id=WEB_ID)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("client_ports", "told"),
    [(None, ["53", "32767", "61000"]), ((40_000, 40_100), ["53", "32767", "32768", "60999", "61000"])],
)
def test_a_udp_socket_on_a_port_of_clients_is_no_listener(
    snapshot: Snapshot, client_ports: tuple[int, int] | None, told: list[str]
) -> None:
    netns = tuple(each._replace(client_ports=client_ports) for each in snapshot.netns)
    sockets = tuple(map(listener, (0, 53, 32_767, 32_768, 40_000, 40_100, 60_999, 61_000)))
    families = families_of(snapshot._replace(netns=netns, sockets=sockets))
    ports = [labels["port"] for labels, _ in samples_of(families, "nsagent_listeners_info")]
    assert sorted(ports, key=int) == told


def test_a_tcp_listener_is_one_on_any_port(snapshot: Snapshot) -> None:
    families = families_of(snapshot._replace(sockets=(listener(40_000, protocol=Protocol.TCP),)))
    assert [labels["port"] for labels, _ in samples_of(families, "nsagent_listeners_info")] == ["40000"]


@pytest.mark.parametrize("protocol", [Protocol.RAW, Protocol.ICMP, Protocol.PACKET, Protocol.NETLINK])
def test_what_has_no_ports_is_counted_and_no_listener(snapshot: Snapshot, protocol: Protocol) -> None:
    families = families_of(snapshot._replace(sockets=(listener(53, protocol=protocol),)))
    assert samples_of(families, "nsagent_listeners_info") == []
    assert [labels["protocol"] for labels, _ in samples_of(families, "nsagent_sockets")] == [protocol]


def many_containers(snapshot: Snapshot, numbers: Sequence[int], listeners: int) -> Snapshot:
    """So many TCP listeners in each container, numbered."""
    one = snapshot.containers[0]
    containers = tuple(one._replace(id=ContainerId(f"{n:064x}"), container_name=f"c{n}") for n in numbers)
    sockets = tuple(
        listener(port, protocol=Protocol.TCP)._replace(container_id=each.id)
        for each in containers
        for port in range(1, listeners + 1)
    )
    return snapshot._replace(containers=containers, sockets=sockets)


def made(snapshot: Snapshot, most: int) -> tuple[dict[str, Metric], int]:
    families, dropped = make_families(snapshot, most)
    return {family.name: family for family in families}, dropped


def test_beyond_the_cap_series_are_added_up_and_counted(snapshot: Snapshot) -> None:
    families, dropped = made(many_containers(snapshot, range(10, 15), 1), 3)
    listen = {"protocol": "tcp", "state": "listen"}
    assert samples_of(families, "nsagent_sockets") == [
        *(({**WEB_PLACE, "container": f"c{n}", **listen}, 1) for n in (10, 11, 12)),
        ({**OTHER_PLACE, **listen}, 2),
    ]
    other = {**OTHER_PLACE, "address": "other", "port": "other", "protocol": "tcp"}
    assert samples_of(families, "nsagent_listeners")[-1] == (other, 1)
    # Of sockets, listeners, waiting and limits two each, of queues (two a container) seven.
    assert dropped == 2 * 4 + 7


def test_what_one_container_piles_up_costs_others_no_series(snapshot: Snapshot) -> None:
    crowded = many_containers(snapshot, [10], 1000)
    others = many_containers(snapshot, range(11, 20), 1)
    both = crowded._replace(containers=crowded.containers + others.containers, sockets=crowded.sockets + others.sockets)
    families, dropped = made(both, 15)
    told = [labels["container"] for labels, _ in samples_of(families, "nsagent_listeners")]
    assert told == [*["c10"] * 6, *(f"c{n}" for n in range(11, 20)), "other"]
    assert dropped == 1009 - 15 + (20 - 15)


def test_the_sums_of_all_series_are_those_without_a_cap(snapshot: Snapshot) -> None:
    many = many_containers(snapshot, range(40), 2)
    for name in ("nsagent_sockets", "nsagent_accept_queue_limit", "nsagent_socket_queue_bytes"):
        sums = [sum(sample.value for sample in made(many, most)[0][name].samples) for most in (7, 1000)]
        assert sums[0] == sums[1]


def test_the_text_of_a_selection_knows_the_listeners_of_the_whole(snapshot: Snapshot) -> None:
    selected = snapshot._replace(sockets=snapshot.sockets[1:2])
    assert [
        samples_of(families, "nsagent_connections")[0][0]["direction"]
        for families in (families_of(selected), families_of(selected, whole=snapshot))
    ] == ["out", "in"]


def test_of_containers_only_their_own_sockets_count(snapshot: Snapshot) -> None:
    one = snapshot._replace(containers=snapshot.containers[:1])
    text = "".join(render_answer(one, View.CONTAINERS, OutputOptions(OutputFormat.PROM), whole=snapshot))
    assert samples_of(parsed(text), "nsagent_sockets") == [
        ({**WEB_PLACE, "protocol": "tcp", "state": "established"}, 1.0),
        ({**WEB_PLACE, "protocol": "tcp", "state": "listen"}, 1.0),
    ]


HOSTILE = st.text(max_size=200) | st.text(st.sampled_from('a"} x1\n\\{,=\udcff\x1b\u202e\u2028'), max_size=200)


@given(name=HOSTILE, pod=HOSTILE, namespace=HOSTILE)
def test_no_name_makes_a_series_of_its_own(snapshot: Snapshot, name: str, pod: str, namespace: str) -> None:
    container = Container(WEB_ID, name, NameState.KNOWN, None, None, True, "cri", pod=Pod(PodUid("u"), pod, namespace))
    hostile = snapshot._replace(containers=(container,))
    text = "".join(render_prom(hostile))
    assert text.replace("\n", "").isprintable()
    families = parsed(text)
    assert {key: len(family.samples) for key, family in families.items()} == {
        key: len(family.samples) for key, family in families_of(snapshot).items()
    }
    values = [value for family in families.values() for sample in family.samples for value in sample.labels.values()]
    assert max(map(len, values)) <= 128


def test_a_name_that_looks_like_a_sample_is_a_value(snapshot: Snapshot) -> None:
    container = snapshot.containers[0]._replace(container_name='a"} x 1\n')
    families = families_of(snapshot._replace(containers=(container,)))
    assert {labels["container"] for labels, _ in samples_of(families, "nsagent_accept_queue")} == {
        "badcafe00000",
        r'a"} x 1\x0a',
    }


def test_a_long_name_is_cut(snapshot: Snapshot) -> None:
    container = snapshot.containers[0]._replace(container_name="x" * 129)
    families = families_of(snapshot._replace(containers=(container,)))
    assert samples_of(families, "nsagent_accept_queue_limit")[0][0]["container"] == "x" * 127 + "…"


def test_without_its_client_it_is_one_line_with_what_to_install() -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None; from nsagent.cli.app import run; "
        "sys.exit(run(['scan', '-o', 'prom']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "nsagent: prom needs prometheus_client, which is not installed: pip install 'nsagent[agent]'\n"
    )


@pytest.mark.parametrize("netns", [HOST, WEB])
def test_a_netns_that_is_not_in_the_snapshot_is_no_error(snapshot: Snapshot, netns: int) -> None:
    kept = tuple(each for each in snapshot.netns if each.number != netns)
    assert families_of(snapshot._replace(netns=kept))["nsagent_netns"].samples[0].value == 2.0
