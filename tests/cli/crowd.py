"""A host with all that makes tables wide: long names, IPv6, a server of hundreds of processes, many netns."""

from collections.abc import Iterator
from ipaddress import ip_address
from socket import AF_INET, AF_INET6

from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.facts import Facts, Interface, NetnsReading, RawTable, TableFormat
from nsagent.model.ids import ContainerId, PodUid
from nsagent.model.net import Protocol
from tests.kernel.proc_tree import HOST_NETNS, text_row
from tests.scan.facts import facts, netns, reading

PODS = 40
WORKERS = 400
LISTEN, ESTABLISHED, TIME_WAIT = 10, 1, 6
LISTENER = 700_000
"""The inode of what all workers of the server have in common."""
LONG_NAME = "k8s_checkout-service-with-a-long-name_checkout-7d9c54b8f6-x2x9q_shop-production_0"


def crowded() -> Facts:
    """The host, a second after it was `quiet`."""
    readings = [reading(2, kernel_thread=True, comm="kthreadd")]
    readings += [
        reading(4_100_000 + number, {4: LISTENER}, comm="数据库工作进程", start_ticks=200 + number)
        for number in range(WORKERS)
    ]
    readings += [
        reading(
            3_000_000 + number,
            {3: 800_000 + 2 * number, 5: 800_001 + 2 * number},
            comm="checkout-worker",
            netns=_number(number),
            cgroup=f"0::/kubepods.slice/kubepods-pod{number:032x}.slice/cri-containerd-{_id(number)}.scope\n",
            start_ticks=900 + number,
        )
        for number in range(PODS)
    ]
    made = facts(readings, [_host(), *map(_netns_of_pod, range(PODS))])
    return made._replace(containers=tuple(map(_container, range(PODS))), taken_at_ns=made.taken_at_ns + 10**9)


def quiet() -> Facts:
    """The host without a socket."""
    return facts([reading(2, kernel_thread=True, comm="kthreadd")], [netns(is_host=True)])


def _host() -> NetnsReading:
    rows = (
        _row("0.0.0.0:443", "0.0.0.0:0", LISTEN, LISTENER),
        _row("10.0.0.1:443", "203.0.113.77:50001", TIME_WAIT, 0),
    )
    return netns(_table(AF_INET, rows), is_host=True)


def _netns_of_pod(number: int) -> NetnsReading:
    address, peer = f"fd00:10:244:1::{number + 16:x}", "fd00:10:244:2::3b"
    rows = (
        _row("[::]:8443", "[::]:0", LISTEN, 800_000 + 2 * number),
        _row(f"[{address}]:8443", f"[{peer}]:50001", ESTABLISHED, 800_001 + 2 * number),
    )
    made = netns(
        _table(AF_INET6, rows),
        inode=_number(number),
        mounts=(f"/run/netns/cni-8f4d1f9e-5f60-4d3b-9a1e-3a0d2d7f{number:04x}",),
    )
    lo = Interface(1, "lo", None, True, "00:00:00:00:00:00", ("127.0.0.1/8", "::1/128"))
    eth0 = Interface(2, "eth0", "veth", True, "02:00:00:00:00:01", (f"10.244.101.{number + 16}/24", f"{address}/64"))
    return made._replace(interfaces=(lo, eth0))


def _container(number: int) -> Container:
    pod = Pod(PodUid(f"{number:032x}"), f"checkout-7d9c54b8f6-x2{number:02}q", "shop-production")
    image = f"registry.example.com/shop/checkout-service@sha256:{number:064x}"
    return Container(
        ContainerId(_id(number)),
        f"{LONG_NAME}{number}",
        NameState.KNOWN,
        Runtime.CONTAINERD,
        image,
        True,
        "cri",
        {},
        pod=pod,
        container_name="checkout-service-with-a-long-name",
    )


def _id(number: int) -> str:
    return f"{number + 160:02x}" * 32


def _number(pod: int) -> int:
    return HOST_NETNS + 700 + pod


def _table(family: int, rows: tuple[str, ...]) -> RawTable:
    return RawTable(TableFormat.NET_INET, Protocol.TCP, family, "".join(rows).encode())


def _row(local: str, remote: str, state: int, inode: int) -> str:
    return text_row(_hex(local), _hex(remote), state, inode)


def _hex(end: str) -> str:
    """An end as /proc/net/tcp has it: the words of the address in the byte order of the machine."""
    address, _, port = end.rpartition(":")
    packed = ip_address(address.strip("[]")).packed
    words: Iterator[bytes] = (packed[place : place + 4][::-1] for place in range(0, len(packed), 4))
    return f"{b''.join(words).hex().upper()}:{int(port):04X}"
