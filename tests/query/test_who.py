"""Which rows answer who holds an end, and what is said of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pytest

from nsagent.errors import NotFound, Reason, UsageError
from nsagent.model.found import Found, Note, NoteKind
from nsagent.model.gap import Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.net import Endpoint, Family, Protocol, SocketState
from nsagent.model.process import CommandLine, Process
from nsagent.model.snapshot import Netns, OwnedSocket, Snapshot
from nsagent.query.socket_index import SocketIndex
from nsagent.query.who import find_behind, find_who, parse_question
from nsagent.scan.attribute import attribute
from nsagent.scan.capture_file import read_capture
from tests.scan.snapshots import ANY, HOST, WEB, make_netns, process, snapshot, socket

LISTEN, CLOSE, ESTABLISHED = SocketState.LISTEN, SocketState.CLOSE, SocketState.ESTABLISHED
SYN_SENT = SocketState.SYN_SENT
UDP = Protocol.UDP
HERE, THERE = "10.0.0.1", "10.0.0.2"
LOOPBACK = ("127.0.0.0/8", "127.0.0.1/32", "::1/128")
HTTPD = process(10, "httpd")
EQUAL_ADDRESSES: Final = Path(__file__).parents[2] / "fixtures" / "captures" / "equal-addresses.json.gz"


def own(number: int, *addresses: str) -> Netns:
    return make_netns(number)._replace(own_addresses=(*LOOPBACK, *addresses))


def row(
    state: SocketState,
    local: str,
    remote: Endpoint = ANY,
    *,
    protocol: Protocol = Protocol.TCP,
    netns: int = HOST,
    device: str | None = None,
    v6only: bool | None = False,
    holder: Process = HTTPD,
) -> OwnedSocket:
    """A socket at `ADDRESS port`; of IPv6 where the address is."""
    address, port = local.split()
    made = socket(state, Endpoint(address, int(port)), remote, holder, protocol=protocol, netns=netns, interface=device)
    family = Family.IPV6 if ":" in address else Family.IPV4
    return made._replace(row=made.row._replace(family=family, v6only=v6only, interface=7 if device else 0))


def of(*sockets: OwnedSocket, netns: Sequence[Netns] = (own(HOST, "10.0.0.1/32"), own(WEB, "10.0.0.2/32"))) -> Snapshot:
    return snapshot(*sockets, netns=netns)


def ask(given: Snapshot, *ends: str, protocol: str | None = None, netns: Iterable[int] = ()) -> list[OwnedSocket]:
    question = parse_question(ends, None if protocol is None else [protocol])
    return [*find_who(given, SocketIndex(given), question._replace(netns=frozenset(netns) or None)).sockets]


def notes(given: Snapshot, *ends: str) -> list[Note]:
    return [*find_who(given, SocketIndex(given), parse_question(ends)).notes]


EXACT = row(LISTEN, f"{HERE} 80")
WIDE = row(LISTEN, "0.0.0.0 80")
WIDE6 = row(LISTEN, ":: 80")
ONLY6 = row(LISTEN, ":: 80", v6only=True)
MAPPED = row(LISTEN, f"{HERE} 80")
MAPPED = MAPPED._replace(row=MAPPED.row._replace(mapped=True))
ON_DEVICE = row(LISTEN, "0.0.0.0 80", device="eth0")
ON_DEVICE6 = row(LISTEN, ":: 80", device="eth0")


@pytest.mark.parametrize(
    ("waiting", "end", "expected"),
    [
        ([WIDE6, WIDE, MAPPED, EXACT], f"{HERE}:80", [EXACT]),
        ([WIDE6, WIDE, MAPPED], f"{HERE}:80", [MAPPED]),
        ([WIDE6, WIDE], f"{HERE}:80", [WIDE]),
        ([WIDE6], f"{HERE}:80", [WIDE6]),
        ([WIDE6, WIDE], "[::1]:80", [WIDE6]),
        ([ONLY6], "[::1]:80", [ONLY6]),
        ([ONLY6, WIDE], f"{HERE}:80", [WIDE]),
        ([WIDE, ON_DEVICE], f"{HERE}:80", [ON_DEVICE, WIDE]),
        ([WIDE6, WIDE, ON_DEVICE], f"{HERE}:80", [ON_DEVICE, WIDE]),
        ([WIDE6, ON_DEVICE], f"{HERE}:80", [ON_DEVICE, WIDE6]),
        ([WIDE, ON_DEVICE6], f"{HERE}:80", [WIDE]),
        ([WIDE6, ON_DEVICE6], f"{HERE}:80", [ON_DEVICE6, WIDE6]),
        ([WIDE6, ON_DEVICE6], "[::1]:80", [ON_DEVICE6, WIDE6]),
        ([EXACT, ON_DEVICE], f"{HERE}:80", [EXACT]),
        ([WIDE, WIDE6], "0.0.0.0:80", [WIDE]),
        ([WIDE, WIDE6], "[::]:80", [WIDE6]),
        ([WIDE, EXACT], "*:80", [WIDE, EXACT]),
    ],
)
def test_the_very_address_comes_before_any_and_ipv4_before_both(
    waiting: list[OwnedSocket], end: str, expected: list[OwnedSocket]
) -> None:
    assert ask(of(*waiting), end) == expected


def test_for_udp_a_device_may_count_more_than_the_family() -> None:
    """With SO_REUSEADDR it does, with SO_REUSEPORT it does not, and no table tells which of the two it is."""
    wide, bound, bound6 = (
        row(CLOSE, local, protocol=UDP, device=device)
        for local, device in (("0.0.0.0 80", None), ("0.0.0.0 80", "eth0"), (":: 80", "eth0"))
    )
    assert ask(of(wide, bound6), f"{HERE}:80") == [bound6, wide]
    assert ask(of(wide, bound6, bound), f"{HERE}:80") == [bound, wide]


def test_within_a_device_no_table_tells_which_of_a_group_has_precedence() -> None:
    """Both have SO_REUSEPORT, else the second could not have listened, and the kernel takes the first in its list."""
    bound, wide = row(LISTEN, ":: 80", device="eth0"), row(LISTEN, ":: 80")
    given = of(wide, bound, netns=(own(HOST, "fe80::1/128"),))
    assert ask(given, "[fe80::1%eth0]:80") == [bound, wide]
    assert ask(given, "[fe80::1%eth1]:80") == [wide]


def test_what_is_bound_to_an_interface_that_cannot_be_gets_nothing() -> None:
    """Else anybody is told beside a server that is bound to an interface."""
    served = row(LISTEN, "0.0.0.0 80", device="eth0")
    forged = row(LISTEN, ":: 80", device="if4294967295")
    forged = forged._replace(row=forged.row._replace(interface=0xFFFFFFFF))
    assert ask(of(served, forged), "10.0.0.1:80") == [served]
    assert ask(of(served, forged), ":80") == [served, forged]
    with pytest.raises(NotFound):
        ask(of(forged), "10.0.0.1:80")


def test_a_zone_leaves_what_is_bound_to_another_interface() -> None:
    own_link = (own(HOST, "fe80::1/128"),)
    here, there = (row(LISTEN, "fe80::1 80", device=name, v6only=True) for name in ("eth0", "eth1"))
    wide = row(LISTEN, ":: 80", v6only=True)
    given = of(here, there, wide, netns=own_link)
    assert ask(given, "[fe80::1%eth0]:80") == [here]
    assert ask(given, "[fe80::1%eth2]:80") == [wide]
    assert ask(given, "[fe80::1]:80") == [here, there, wide]
    there = there._replace(row=there.row._replace(interface=8))
    assert ask(of(here, there, wide, netns=own_link), "[fe80::1%8]:80") == [there]


def test_a_connection_is_found_from_either_side_in_any_order() -> None:
    server = row(ESTABLISHED, f"{THERE} 80", Endpoint(HERE, 5000), netns=WEB)
    client = row(ESTABLISHED, f"{HERE} 5000", Endpoint(THERE, 80))
    other = row(ESTABLISHED, f"{THERE} 80", Endpoint(HERE, 5001), netns=WEB)
    listening = row(LISTEN, "0.0.0.0 80", netns=WEB)
    given = of(listening, server, client, other)
    assert ask(given, f"{HERE}:5000", f"{THERE}:80") == [client, server]
    assert ask(given, f"{THERE}:80", f"{HERE}:5000") == [server, client]


def test_a_connection_that_is_not_there_leads_to_who_would_take_it() -> None:
    listening = row(LISTEN, "0.0.0.0 80", netns=WEB)
    given = of(listening)
    assert ask(given, f"{HERE}:5000", f"{THERE}:80") == [listening]
    ends = f"{HERE}:5000 {THERE}:80"
    assert notes(given, *ends.split()) == [Note(NoteKind.NOT_CONNECTED, ends)]


@pytest.mark.parametrize(
    ("state", "protocol", "expected"),
    [(ESTABLISHED, Protocol.TCP, 1), (SYN_SENT, Protocol.TCP, 2), (ESTABLISHED, UDP, 2)],
)
def test_who_waits_does_not_hold_the_other_end_of_what_is_connected_elsewhere(
    state: SocketState, protocol: Protocol, expected: int
) -> None:
    """NAT has led the connection of a client to another socket; what UDP sends, and a SYN, comes to who waits."""
    client = row(state, f"{HERE} 5000", Endpoint(THERE, 80), protocol=protocol)
    waits = row(CLOSE if protocol is UDP else LISTEN, "0.0.0.0 80", protocol=protocol, netns=WEB)
    given = of(client, waits)
    for ends in ((f"{HERE}:5000", f"{THERE}:80"), (f"{THERE}:80", f"{HERE}:5000")):
        assert ask(given, *ends) == [client, waits][:expected]
        assert notes(given, *ends) == []


def test_what_is_connected_at_an_end_comes_before_what_waits_there() -> None:
    accepted = row(ESTABLISHED, f"{HERE} 80", Endpoint("10.9.9.9", 5000))
    assert ask(of(WIDE, accepted), f"{HERE}:80") == [accepted, WIDE]


def test_a_connected_udp_socket_waits_for_nobody_else() -> None:
    connected = row(ESTABLISHED, f"{HERE} 53", Endpoint("10.9.9.9", 5000), protocol=UDP)
    wide = row(CLOSE, "0.0.0.0 53", protocol=UDP)
    given = of(connected, wide)
    assert ask(given, f"{HERE}:53", "10.9.9.9:5000") == [connected]
    assert ask(given, f"{HERE}:53", "10.9.9.9:5001") == [wide]


def test_both_protocols_are_asked_about_unless_one_is_named() -> None:
    tcp, udp = row(LISTEN, "0.0.0.0 53"), row(CLOSE, "0.0.0.0 53", protocol=UDP)
    given = of(tcp, udp)
    assert ask(given, f"{HERE}:53") == [tcp, udp]
    assert ask(given, f"{HERE}:53", protocol="udp") == [udp]


def test_a_group_of_reuseport_is_told_whole() -> None:
    group = [row(LISTEN, "0.0.0.0 80", holder=process(pid)) for pid in (1, 2, 3)]
    given = of(*group)
    assert ask(given, f"{HERE}:80") == group
    assert notes(given, f"{HERE}:80") == [Note(NoteKind.ONE_OF, f"{HERE}:80", sockets=tuple(group))]


def test_only_the_netns_that_has_the_address_counts() -> None:
    host, web = row(LISTEN, "0.0.0.0 80"), row(LISTEN, "0.0.0.0 80", netns=WEB)
    given = of(host, web)
    assert ask(given, f"{THERE}:80") == [web]
    assert ask(given, "127.0.0.1:80") == [host, web]
    assert ask(given, "127.0.0.1:80", netns=[WEB]) == [web]
    assert notes(given, "127.0.0.1:80") == [Note(NoteKind.SEVERAL_NETNS, "127.0.0.1:80", (HOST, WEB))]


def test_what_is_shadowed_is_said() -> None:
    assert notes(of(EXACT, WIDE), f"{HERE}:80") == [Note(NoteKind.SHADOWED, f"{HERE}:80", sockets=(WIDE,))]


def test_a_listener_of_which_proc_does_not_tell_v6only_is_told_with_a_note() -> None:
    untold = row(LISTEN, ":: 80", v6only=None)
    assert notes(of(untold), f"{HERE}:80") == [Note(NoteKind.V6ONLY, f"{HERE}:80", sockets=(untold,))]
    assert notes(of(untold), "[::1]:80") == []


def test_of_a_foreign_address_those_that_talk_to_it_are_told() -> None:
    client = row(ESTABLISHED, f"{HERE} 5000", Endpoint("93.184.216.34", 443))
    given = of(client, row(LISTEN, "0.0.0.0 443"))
    assert ask(given, "93.184.216.34:443") == [client]
    assert notes(given, "93.184.216.34:443") == [Note(NoteKind.NOT_LOCAL, "93.184.216.34:443")]


def test_of_an_address_of_another_netns_than_is_asked_about_it_is_not_said_to_be_foreign() -> None:
    client = row(ESTABLISHED, f"{HERE} 5000", Endpoint(THERE, 80))
    given = of(client, row(LISTEN, "0.0.0.0 80", netns=WEB))
    question = parse_question([f"{THERE}:80"])._replace(netns=frozenset((HOST,)))
    found = find_who(given, SocketIndex(given), question)
    assert found == Found((client,), (Note(NoteKind.NOT_LOCAL, f"{THERE}:80", (WEB,)),))


def test_where_own_addresses_are_not_known_any_may_be_meant() -> None:
    wide = row(LISTEN, "0.0.0.0 80", netns=WEB)
    given = of(wide, netns=(own(HOST), make_netns(WEB)))
    assert ask(given, "10.7.7.7:80") == [wide]
    assert notes(given, "10.7.7.7:80") == [Note(NoteKind.ADDRESSES, "10.7.7.7:80", (WEB,))]


def test_an_address_that_only_a_netns_itself_calls_its_own_is_told_with_a_note() -> None:
    wide = row(LISTEN, "0.0.0.0 80", netns=WEB)
    here = own(HOST, f"{HERE}/32")._replace(linked=("10.0.0.0/24",))
    given = of(wide, netns=(here, own(WEB, f"{THERE}/32", "8.8.8.8/32")))
    assert ask(given, "8.8.8.8:80") == [wide]
    assert notes(given, "8.8.8.8:80") == [Note(NoteKind.CLAIMED, "8.8.8.8:80", (WEB,))]
    assert notes(given, f"{THERE}:80") == []


@pytest.mark.parametrize("address", ["224.0.0.251", "255.255.255.255"])
def test_all_who_may_have_joined_a_group_are_told(address: str) -> None:
    wide, wide6 = row(CLOSE, "0.0.0.0 5353", protocol=UDP), row(CLOSE, ":: 5353", protocol=UDP, netns=WEB)
    bound = row(CLOSE, f"{address} 5353", protocol=UDP)
    given = of(wide, wide6, bound, row(CLOSE, f"{HERE} 5353", protocol=UDP), row(LISTEN, "0.0.0.0 5353"))
    assert ask(given, f"{address}:5353") == [wide, wide6, bound]
    assert Note(NoteKind.GROUP, f"{address}:5353") in notes(given, f"{address}:5353")


def test_all_of_a_network_get_what_is_sent_to_its_broadcast_address() -> None:
    """Of UDP: what is bound to 0.0.0.0 gets it beside what is bound to the very address. TCP takes no connection so."""
    asked = "10.0.0.255:137"
    wide, bound = (row(CLOSE, f"{local} 137", protocol=UDP) for local in ("0.0.0.0", "10.0.0.255"))
    elsewhere = row(CLOSE, "0.0.0.0 137", protocol=UDP, netns=WEB)
    here = own(HOST, f"{HERE}/32")._replace(broadcasts=("10.0.0.255",))
    given = of(wide, bound, elsewhere, row(LISTEN, "0.0.0.0 137"), netns=(here, own(WEB)))
    assert ask(given, asked) == [wide, bound]
    assert notes(given, asked) == [Note(NoteKind.GROUP, asked)]
    with pytest.raises(NotFound, match=r"10\.0\.0\.255 is an address of netns host"):
        ask(given, asked, protocol="tcp")
    unicast = of(elsewhere, netns=(here, own(WEB, "10.0.0.255/32")))
    assert (ask(unicast, asked), notes(unicast, asked)) == ([elsewhere], [])


def test_what_is_bound_to_an_address_that_is_not_there_gets_nothing() -> None:
    """IP_FREEBIND and net.ipv4.ip_nonlocal_bind: who waits for an address that another host has now."""
    standby, wide = row(LISTEN, "10.7.7.7 80"), row(LISTEN, "0.0.0.0 80")
    client = row(ESTABLISHED, f"{HERE} 5000", Endpoint("10.7.7.7", 80))
    note = Note(NoteKind.UNROUTED, "10.7.7.7:80", sockets=(standby,))
    assert ask(of(standby, wide), "10.7.7.7:80") == [standby]
    assert notes(of(standby, wide), "10.7.7.7:80") == [note]
    assert ask(of(standby, client), "10.7.7.7:80") == [client, standby]
    assert notes(of(standby, client), "10.7.7.7:80") == [Note(NoteKind.NOT_LOCAL, "10.7.7.7:80"), note]


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((f"{HERE}:81",), ("no endpoint '10.0.0.1:81'; near names: tcp 10.0.0.1:80 in netns host; "
         "10.0.0.1 is an address of netns host")),
        (("10.7.7.7:80",), ("no endpoint '10.7.7.7:80'; near names: tcp 10.0.0.1:80 in netns host; "
         "10.7.7.7 is no address of this host")),
        (("[2001:db8::1]:443",), ("no endpoint '[2001:db8::1]:443'; "
         "2001:db8::1 is no address of an interface of this host")),
        ((f"{HERE}:5000", f"{THERE}:500"), ("no endpoint '10.0.0.1:5000 10.0.0.2:500'; "
         "10.0.0.1 is an address of netns host; 10.0.0.2 is an address of netns 4026532500")),
        (("*:443",), "no endpoint '*:443'"),
        (("[::1]:80",), ("no endpoint '[::1]:80'; near names: tcp 10.0.0.1:80 in netns host; "
         "::1 is an address of netns host, 4026532500")),
    ],
)  # fmt: skip
def test_where_nobody_is_what_is_near_is_told(ends: tuple[str, ...], said: str) -> None:
    with pytest.raises(NotFound) as caught:
        ask(of(EXACT), *ends)
    assert str(caught.value) == said


def test_where_nobody_is_it_is_told_that_not_every_table_could_be_read() -> None:
    given = of(EXACT)
    gaps = merge_gaps([Gap(Stage.TABLES, Subject(Kind.TABLE, str(WEB), Protocol.TCP), Reason.DENIED, "EPERM")])
    given = given._replace(coverage=given.coverage._replace(gaps=gaps))
    with pytest.raises(NotFound, match="not every table could be read whole"):
        ask(given, "*:443")


def test_a_proxy_is_told_with_who_holds_what_it_passes_on_to() -> None:
    proxy = row(LISTEN, "0.0.0.0 8080", holder=process(20, "docker-proxy"))
    inside = row(LISTEN, "0.0.0.0 80", netns=WEB)
    given = of(proxy, inside)
    found = find_who(given, SocketIndex(given), parse_question([f"{HERE}:8080"]))
    assert found.notes == (Note(NoteKind.PROXY, f"{HERE}:8080", sockets=(proxy,)),)
    argv = ("docker-proxy", "-proto", "tcp", "-host-port", "8080", "-container-ip", THERE, "-container-port", "80")
    lines = {proxy.owners[0].process.key: CommandLine(argv)}
    behind = [Note(NoteKind.BEHIND, f"{THERE}:80", sockets=(inside,))]
    assert [*find_behind(SocketIndex(given), found.notes[0], lines)] == behind
    damaged = {proxy.owners[0].process.key: CommandLine((*argv[:6], "nowhere", *argv[7:]))}
    assert [*find_behind(SocketIndex(given), found.notes[0], damaged)] == []


def test_a_proxy_whose_target_is_in_several_netns_is_told_with_all_of_them() -> None:
    """As of containers of two engines, with equal addresses: it reaches one of them."""
    given = attribute(read_capture(EQUAL_ADDRESSES))
    waiting = tuple(one for one in given.sockets if one.row.state is LISTEN)
    proxy = row(LISTEN, "0.0.0.0 8080", holder=process(20, "docker-proxy"))
    command_line = CommandLine(("docker-proxy", "-container-ip", "10.0.0.1", "-container-port", "5432"))
    (behind,) = find_behind(
        SocketIndex(given),
        Note(NoteKind.PROXY, f"{HERE}:8080", sockets=(proxy,)),
        {proxy.owners[0].process.key: command_line},
    )
    netns = tuple(sorted(one.netns for one in waiting))
    assert behind == Note(NoteKind.BEHIND, "10.0.0.1:5432", netns, tuple(sorted(waiting, key=lambda one: one.netns)))
    assert len(netns) == 2


@pytest.mark.parametrize(
    ("ends", "protocol", "said"),
    [
        (["*:80", f"{HERE}:80"], None, "both ends"),
        ([f"{HERE}:80", "[::]:80"], None, "both ends"),
        ([], None, "one end or two"),
        ([f"{HERE}:80"] * 3, None, "one end or two"),
        ([f"{HERE}:80"], "raw", "expected one that has ports"),
    ],
)
def test_a_question_that_means_nothing_is_refused(ends: list[str], protocol: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_question(ends, None if protocol is None else [protocol])
