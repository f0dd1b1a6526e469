"""The own addresses and the client ports of a netns, which are read where rows that no fd can hold need them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nsagent.errors import Reason
from nsagent.model.choices import EngineName
from nsagent.model.gap import Kind, Stage, Subject
from nsagent.model.net import Protocol
from nsagent.scan.attribute import attribute
from nsagent.scan.collect.ends import MOST_BYTES, read_links
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.state import NetnsState
from nsagent.scan.sight import Sight
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.kernel.formats.test_fib_trie import OWN, ROUTES
from tests.kernel.formats.test_if_inet6 import ADDRESSES
from tests.kernel.formats.test_net_route import ROUTES as LEAVING
from tests.kernel.proc_tree import BUSY_SOCKSTAT, HOST_NETNS, TCP_HEADER, ProcTree, text_row
from tests.live.capabilities import Capability, require
from tests.scan.collect.passes import run_pass
from tests.scan.collect.test_tables import ALL, read_once

LISTEN_AND_CLOSE = """
os.system("ip link set lo up")
open("/proc/sys/net/ipv4/ip_local_port_range", "w").write("20000 30000")
listener = socket.create_server(("127.0.0.1", 8080))
ready()
sys.stdin.readline()
client = socket.create_connection(("127.0.0.1", 8080))
listener.accept()[0].close()
client.close()
ready()
wait()
"""

HOSTILE = """
os.system("ip link set lo up")
for name in (b"a\\x1cb", b"\\xff\\x1e"):
    os.system(b"ip link add '%s' type veth peer name '%s2'" % (name, name))
    os.system(b"ip address add 2001:db8::%d/128 dev '%s'" % (len(name), name))
os.system("ip route add local 192.0.2.0/24 dev lo table 4294967290")
ready()
wait()
"""
"""With interfaces and a table that a plain user may have in a user namespace of his own."""

LINKED = """
os.system("ip link set lo up && ip link add lan0 type veth peer name lan1")
os.system("ip link set lan0 up && ip link set lan1 up")
os.system("ip address add 192.0.2.1/24 dev lan0 && ip address add 2001:db8::1/64 dev lan0 nodad")
os.system("ip route add 198.51.100.0/24 dev lan0 && ip route add 203.0.113.0/24 via 192.0.2.7")
os.system("ip route add unreachable 192.88.99.0/24")
ready()
wait()
"""
"""With two networks of a link, and one behind another host."""

CLOSED = text_row("0100007F:0050", "0100007F:9C40", 6, 0)
LISTENING = text_row("0100007F:0050", "00000000:0000", 10, 7)


@pytest.fixture(scope="module")
def pid() -> Iterator[int]:
    """A process in a new netns with client ports of its own, and a connection in TIME_WAIT."""
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS, Capability.IPV6)
    with start_child(LISTEN_AND_CLOSE, *IN_NEW_NETNS) as child:
        for engine in (EngineName.SOCK_DIAG, EngineName.PROC):
            found = read_once(child.pid, engine)
            assert (found.own_addresses, found.client_ports) == (None, None)
        child.say("")
        yield child.pid


def test_from_inside_both_are_read(pid: int) -> None:
    found = read_once(pid, EngineName.SOCK_DIAG)
    assert (found.own_addresses, found.client_ports) == (("127.0.0.0/8", "127.0.0.1/32", "::1/128"), (20000, 30000))


def test_through_a_process_in_it_the_client_ports_are_not_known(pid: int) -> None:
    found = read_once(pid, EngineName.PROC)
    assert (found.own_addresses, found.client_ports) == (("127.0.0.0/8", "127.0.0.1/32", "::1/128"), None)


@pytest.mark.parametrize("engine", [EngineName.SOCK_DIAG, EngineName.PROC])
def test_names_of_interfaces_and_numbers_of_tables_hide_no_address(engine: EngineName) -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS, Capability.IPV6)
    with start_child(HOSTILE, *IN_NEW_NETNS) as child:
        found = read_once(child.pid, engine, ALL._replace(own_addresses=True))
    assert found.own_addresses == ("127.0.0.0/8", "127.0.0.1/32", "2001:db8::2/128", "2001:db8::3/128", "::1/128")


def test_networks_of_a_link_are_those_to_which_no_other_host_passes_on() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS, Capability.IPV6)
    state = NetnsState(MetNetns(0, None, 1, None))
    with start_child(LINKED, *IN_NEW_NETNS) as child:
        read_links(state, lambda name: Path(f"/proc/{child.pid}/net/{name}").read_bytes(), GapSink())
    assert state.linked is not None
    networks = {"192.0.2.0/24", "198.51.100.0/24", "2001:db8::/64"}
    assert {one for one in state.linked if not one.startswith(("fe80:", "ff00:"))} == networks


@pytest.mark.parametrize("asked", [True, False])
def test_networks_of_a_link_are_read_of_the_host_where_own_addresses_are_asked_for(tmp_path: Path, asked: bool) -> None:
    tree = ProcTree(tmp_path)
    net = {"tcp": TCP_HEADER + LISTENING, "sockstat": BUSY_SOCKSTAT, "fib_trie": ROUTES, "if_inet6": ADDRESSES}
    for pid, netns in ((1, HOST_NETNS), (2, HOST_NETNS + 1)):
        tree.process(pid, netns=netns, net={**net, "route": LEAVING, "ipv6_route": ""})
    facts = run_pass(tree.path, EngineName.PROC, tables=ALL._replace(own_addresses=asked))
    linked = ("172.17.0.2/32", "192.0.2.0/24") if asked else None
    assert {one.id.inode: one.linked for one in facts.netns if one.id} == {HOST_NETNS: linked, HOST_NETNS + 1: None}


def tree_with(tmp_path: Path, routes: str, *rows: str) -> str:
    """A copied procfs with a process in one netns with these rows."""
    tree = ProcTree(tmp_path)
    net = {"tcp": TCP_HEADER + "".join(rows), "sockstat": BUSY_SOCKSTAT, "fib_trie": routes, "if_inet6": ADDRESSES}
    tree.process(1, net=net)
    return tree.path


def test_a_copied_tree_tells_the_addresses(tmp_path: Path) -> None:
    facts = run_pass(tree_with(tmp_path, ROUTES, LISTENING, CLOSED), EngineName.PROC)
    assert [one.own_addresses for one in facts.netns] == [(*OWN, "::1/128", "fe80::a872:65ff:fec7:e091/128")]
    assert [one.broadcasts for one in facts.netns] == [("10.9.0.255", "127.255.255.255")]


def test_they_are_not_read_where_each_row_has_an_inode(tmp_path: Path) -> None:
    facts = run_pass(tree_with(tmp_path, ROUTES, LISTENING), EngineName.PROC)
    assert ([one.own_addresses for one in facts.netns], facts.gaps) == ([None], ())


def test_damaged_routes_are_a_gap_and_the_tables_beside_them_are_seen(tmp_path: Path) -> None:
    facts = run_pass(tree_with(tmp_path, "damaged\n", LISTENING, CLOSED), EngineName.PROC)
    assert [(gap.stage, gap.subject, gap.reason) for gap in facts.gaps] == [
        (Stage.TABLES, Subject(Kind.ADDRESSES, str(HOST_NETNS)), Reason.MALFORMED)
    ]
    assert [one.own_addresses for one in facts.netns] == [None]
    assert Sight(attribute(facts)).sees_table(HOST_NETNS, Protocol.TCP)


def test_a_router_with_too_many_routes_is_not_asked_which_is_a_gap(tmp_path: Path) -> None:
    facts = run_pass(tree_with(tmp_path, ROUTES + " " * MOST_BYTES, LISTENING, CLOSED), EngineName.PROC)
    assert [(gap.stage, gap.subject, gap.reason) for gap in facts.gaps] == [
        (Stage.TABLES, Subject(Kind.ADDRESSES, str(HOST_NETNS)), Reason.TOO_LARGE)
    ]
    assert [one.own_addresses for one in facts.netns] == [None]
