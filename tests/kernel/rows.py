"""Rows by hand, and those of the recorded tables (tests.kernel.record tells how they were made)."""

from pathlib import Path

from nsagent.model.ids import SocketCookie, SocketInode
from nsagent.model.net import Endpoint, Family, Protocol, SocketOptions, SocketRow, SocketState, Timer, TimerKind

FIXTURES = Path(__file__).parents[2] / "fixtures"
USUAL = SocketOptions(transparent=False, freebind=False, multicast_loop=True)
"""The options of a socket of which nobody set any."""
ANY, ANY6 = Endpoint("0.0.0.0", 0), Endpoint("::", 0)


def make_row(
    state: SocketState,
    local: Endpoint,
    remote: Endpoint = ANY,
    *,
    protocol: Protocol = Protocol.TCP,
    family: Family = Family.IPV4,
    mapped: bool = False,
    interface: int | None = 0,
    inode: int = 0,
    cookie: int | None = None,
    uid: int | None = 0,
    queues: tuple[int | None, int | None] = (0, 0),
    cgroup_id: int | None = 1,
    v6only: bool | None = None,
    timer: TimerKind | None = None,
) -> SocketRow:
    """A row as sock_diag shows those of the recording: all were made by root in cgroup 1."""
    known = None if cookie is None else SocketCookie(cookie)
    numbers = (interface, SocketInode(inode), known, uid, *queues)
    told = None if timer is None else Timer(timer, 0, 0)
    row = SocketRow(protocol, family, mapped, state, local, remote, *numbers, cgroup_id, v6only, timer=told)
    return row if cgroup_id is None else row._replace(options=USUAL)


def stop_timer(row: SocketRow) -> SocketRow:
    """The row with a timer that is due now: how long it still runs differs from one recording to the next."""
    return row if row.timer is None else row._replace(timer=row.timer._replace(expires_ms=0))


def four(port: int, address: str = "127.0.0.1") -> Endpoint:
    """An IPv4 endpoint."""
    return Endpoint(address, port)


def six(port: int, address: str = "::1") -> Endpoint:
    """An IPv6 endpoint."""
    return Endpoint(address, port)


def mapped(port: int) -> Endpoint:
    """127.0.0.1 as an IPv6 socket sees it."""
    return Endpoint("127.0.0.1", port, "::ffff:127.0.0.1")


def read_recorded(name: str) -> bytes:
    """A dump of the recording, as the kernel gave it."""
    return (FIXTURES / "netlink" / f"{name}.bin").read_bytes()


def read_recorded_text(name: str) -> bytes:
    """A table of /proc of the same netns, without its header line."""
    return (FIXTURES / "proc" / "tables" / name).read_bytes().partition(b"\n")[2]


_LISTEN, _ESTABLISHED = SocketState.LISTEN, SocketState.ESTABLISHED

LISTENERS = (
    make_row(_LISTEN, four(8085, "0.0.0.0"), interface=1, inode=7999612, cookie=1740062, queues=(0, 16)),
    make_row(
        _LISTEN,
        six(8081, "::"),
        ANY6,
        family=Family.IPV6,
        inode=7999605,
        cookie=1740056,
        queues=(0, 16),
        v6only=False,
    ),
    make_row(_LISTEN, four(8084), inode=7999661, cookie=1740064, uid=65534, queues=(0, 16)),
    make_row(_LISTEN, four(8080), inode=7999602, cookie=1740053, queues=(1, 16)),
    make_row(_LISTEN, four(8083, "10.9.9.1"), inode=7999610, cookie=1740061, queues=(0, 16)),
    make_row(_LISTEN, six(8082), ANY6, family=Family.IPV6, inode=7999604, cookie=1740055, queues=(0, 16), v6only=True),
)
"""Bound to interface 1, dual-stack, another user's, with one connection waiting, marked, v6only."""

CONNECTIONS = (
    make_row(_ESTABLISHED, six(8081), six(50002), family=Family.IPV6, inode=7999609, cookie=1740060, queues=(3, 0)),
    make_row(
        SocketState.SYN_RECV,
        four(8083, "10.9.9.1"),
        four(40000, "10.9.9.9"),
        cookie=1740071,
        uid=None,
        cgroup_id=None,
        timer=TimerKind.ON,
    ),
    make_row(_ESTABLISHED, four(50000), four(8080), inode=7999603, cookie=1740054),
    make_row(
        SocketState.CLOSE_WAIT, mapped(8081), mapped(50004), mapped=True, inode=7999660, cookie=1740063, queues=(1, 0)
    ),
    make_row(_ESTABLISHED, mapped(8081), mapped(50001), mapped=True, inode=7999607, cookie=1740058),
    make_row(_ESTABLISHED, four(8080), four(50000), cookie=1740072),
    make_row(_ESTABLISHED, six(50002), six(8081), family=Family.IPV6, inode=7999608, cookie=1740059),
    make_row(_ESTABLISHED, four(50001), four(8081), inode=7999606, cookie=1740057),
    make_row(
        SocketState.TIME_WAIT,
        four(50003),
        four(8081),
        cookie=1740073,
        uid=None,
        cgroup_id=None,
        timer=TimerKind.TIMEWAIT,
    ),
)
"""The sixth waits for accept: no fd holds it, so that it has no inode."""

ORPHAN = make_row(SocketState.FIN_WAIT1, four(50004), four(8081), cookie=1740074, queues=(0, 1), timer=TimerKind.ON)
"""Closed by its process a moment ago."""
LATE_ORPHAN = make_row(
    SocketState.FIN_WAIT2, four(50004), four(8081), cookie=1740074, uid=None, cgroup_id=None, timer=TimerKind.TIMEWAIT
)
"""The same a moment later: a mini-socket (timer 3), which has no uid."""

TCP_ROWS = (*LISTENERS, *CONNECTIONS, ORPHAN)
TCP_UNPRIVILEGED_ROWS = (*LISTENERS, *CONNECTIONS, LATE_ORPHAN)

_UDP = Protocol.UDP
UDP_ROWS = (
    make_row(SocketState.CLOSE, four(5353), protocol=_UDP, inode=7999662, cookie=1740065),
    make_row(_ESTABLISHED, four(5354), four(5353), protocol=_UDP, inode=7999663, cookie=1740066),
    make_row(
        SocketState.CLOSE,
        six(5355, "::"),
        ANY6,
        protocol=_UDP,
        family=Family.IPV6,
        inode=7999664,
        cookie=1740067,
        v6only=False,
    ),
    make_row(
        SocketState.CLOSE,
        six(5356),
        ANY6,
        protocol=_UDP,
        family=Family.IPV6,
        inode=7999665,
        cookie=1740068,
        v6only=True,
    ),
    make_row(_ESTABLISHED, mapped(5357), mapped(5353), protocol=_UDP, mapped=True, inode=7999666, cookie=1740069),
    make_row(SocketState.CLOSE, four(5358, "0.0.0.0"), protocol=_UDP, interface=1, inode=7999667, cookie=1740070),
)
"""Unconnected, connected, dual-stack, v6only, connected to a mapped address, bound to interface 1."""


def as_text_shows(row: SocketRow) -> SocketRow:
    """The same row in /proc, which has no interface, cookie, cgroup, v6only, options or limit of the accept queue."""
    limit = None if row.state is _LISTEN else row.tx_queue
    return row._replace(interface=None, cookie=None, cgroup_id=None, v6only=None, tx_queue=limit, options=None)
