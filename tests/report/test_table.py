"""The table of sockets: whole text, choice of columns, width, colour."""

from collections.abc import Iterable, Sequence

import pytest

from nsagent.errors import UsageError
from nsagent.model.container import Pod
from nsagent.model.ids import ContainerId, Pid, PodUid
from nsagent.model.net import Protocol, SocketState, Timer, TimerKind
from nsagent.model.snapshot import ChargedTo, Snapshot, Verdict, VerdictKind
from nsagent.report.columns import SOCKET_COLUMNS, WIDE_COLUMNS, wide_columns
from tests.report.rendered import render_table

TABLE = r"""
NETNS           PROTO  STATE        LOCAL              REMOTE              PID      COMMAND                         CONTAINER     POD
web             tcp    listen       *:80               *:*                 100,101  nginx,nginx: wörker             web           shop/web-7d9c
web             tcp    established  10.0.0.2:80        10.0.0.1:50000      101      nginx: wörker                   web           shop/web-7d9c
web             tcp    time_wait    10.0.0.2:80        10.0.0.1:50001      -        (time_wait)                     -             -
host            udp    unconn       0.0.0.0%eth0:68    0.0.0.0:*           300      \x1b[31m\x0a\xff\xe2\x80\xae=x  -             -
key:4026533000  tcp    listen       [::]:22            [::]:*              400      app                             badcafe00000  -
host            tcp    syn_recv     [2001:db8::1]:443  [2001:db8::2]:6000  -        (syn_recv)                      -             -
"""  # noqa: E501

REST = """
FDS         UID  INODE  COOKIE  RXQ  TXQ  ACCEPTQ  CGROUP-ID  VERDICT    CONFIDENCE  FLAGS           RUNTIME     IMAGE
3+9,3       0    7732   4099    -    -    1/128    44         -          exact       -               containerd  shop/web:1
12          33   7740   4100    5    7    -        44         -          exact       -               containerd  shop/web:1
-           -    -      4101    0    0    -        -          time_wait  none        -               -           -
io_uring:6  0    8000   -       0    0    -        -          -          exact       -               -           -
3           0    8001   -       -    -    0/?      -          -          exact       netns_mismatch  -           -
-           -    -      -       0    0    -        -          syn_recv   none        -               -           -
"""  # noqa: E501

MORE = """
TID      CHARGED                ATTRIBUTION  MPTCP  RTT          RETRANS  CWND  SENT  RECEIVED
-        -                      fd           -      -            -        -     -     -
101/105  -                      fd           mptcp  1.234/0.056  1/5      10    3000  70
-        pid:100 container:web  none         -      -            -        -     -     -
-        -                      fd           -      -            -        -     -     -
-        -                      fd           -      -            -        -     -     -
-        -                      none         -      -            -        -     -     -
"""


def text_of(chunks: Iterable[str]) -> str:
    return "".join(chunks)


def lines_of(
    snapshot: Snapshot,
    columns: Sequence[str],
    *,
    headers: bool = True,
    width: int | None = None,
    colour: bool = False,
) -> list[str]:
    return text_of(render_table(snapshot, columns=columns, headers=headers, width=width, colour=colour)).splitlines()


def named(snapshot: Snapshot, comm: str) -> Snapshot:
    """The sample with one socket, whose owner is called so."""
    socket = snapshot.sockets[1]
    owner = socket.owners[0]
    held = owner._replace(process=owner.process._replace(comm=comm))
    return snapshot._replace(sockets=(socket._replace(owners=(held,)),))


def test_the_table_of_the_sample(snapshot: Snapshot) -> None:
    assert text_of(render_table(snapshot)) == TABLE.removeprefix("\n")


def test_the_other_columns_of_the_sample(snapshot: Snapshot) -> None:
    names = [name.lower().replace("-", "_") for name in REST.split("\n")[1].split()]
    assert text_of(render_table(snapshot, columns=names)) == REST.removeprefix("\n")


def test_the_columns_of_threads_charges_and_tcp_info(snapshot: Snapshot) -> None:
    names = MORE.split("\n")[1].lower().split()
    assert text_of(render_table(snapshot, columns=names)) == MORE.removeprefix("\n")


@pytest.mark.parametrize(
    ("charged_to", "cell"),
    [
        (ChargedTo(Pid(100), None), "pid:100"),
        (ChargedTo(None, ContainerId("c0ffee" + "0" * 58)), "container:web"),
        (ChargedTo(None, None), "-"),
        (None, "-"),
    ],
)
def test_a_charge_names_what_is_known_of_it(snapshot: Snapshot, charged_to: ChargedTo | None, cell: str) -> None:
    socket = snapshot.sockets[2]._replace(verdict=Verdict(VerdictKind.TIME_WAIT, charged_to, "closed"))
    assert lines_of(snapshot._replace(sockets=(socket,)), ["charged"], headers=False) == [cell]


@pytest.mark.parametrize(
    ("pod", "cells"),
    [(Pod(PodUid("11-22"), "web", "shop"), "pod:shop/web  shop/web"), (Pod(PodUid("11-22")), "pod:11-22  -")],
)
def test_a_pod_that_is_charged_is_named_or_told_by_its_uid(snapshot: Snapshot, pod: Pod, cells: str) -> None:
    verdict = Verdict(VerdictKind.TIME_WAIT, ChargedTo(None, None), "closed")
    socket = snapshot.sockets[2]._replace(verdict=verdict, container_id=None, pod=pod)
    assert lines_of(snapshot._replace(sockets=(socket,)), ["charged", "pod"], headers=False) == [cells]


def test_wide_shows_tcp_info_only_where_a_row_has_it(snapshot: Snapshot) -> None:
    without = snapshot._replace(sockets=snapshot.sockets[2:])
    assert wide_columns(snapshot) == (*WIDE_COLUMNS, "rtt", "retrans", "cwnd", "sent", "received")
    assert wide_columns(without) == WIDE_COLUMNS


def test_without_headers_the_first_line_is_a_row(snapshot: Snapshot) -> None:
    assert lines_of(snapshot, ["proto"], headers=False) == ["tcp", "tcp", "tcp", "udp", "tcp", "tcp"]


def test_a_snapshot_without_sockets_gives_the_headers(snapshot: Snapshot) -> None:
    assert text_of(render_table(snapshot._replace(sockets=()), columns=["proto", "state"])) == "PROTO  STATE\n"


def test_a_header_is_not_wider_than_the_cells_where_it_is_not_shown(snapshot: Snapshot) -> None:
    assert lines_of(snapshot, ["proto", "uid"], headers=False)[0] == "tcp  0"


def test_every_wide_column_exists() -> None:
    assert set(WIDE_COLUMNS) <= {column.name for column in SOCKET_COLUMNS}


def test_an_unknown_column_is_named_with_near_names(snapshot: Snapshot) -> None:
    with pytest.raises(UsageError, match=r"no column 'comand'; near names: command, cwnd \(columns: netns, proto, "):
        render_table(snapshot, columns=["pid", "comand"])


def test_no_column_at_all_is_a_usage_error(snapshot: Snapshot) -> None:
    with pytest.raises(UsageError, match="no column is named"):
        render_table(snapshot, columns=[])


@pytest.mark.parametrize("name", ["host", "4026531840", "key:4026533000"])
def test_a_netns_that_is_called_like_another_is_shown_by_its_other_name_or_its_inode(
    snapshot: Snapshot, name: str
) -> None:
    for names, shown in (((name,), "4026532500"), ((name, "web"), "web")):
        disguised = snapshot.netns[1]._replace(names=names)
        assert lines_of(snapshot._replace(netns=(disguised,)), ["netns"], headers=False)[0] == shown


def test_a_netns_of_no_record_is_shown_by_its_number(snapshot: Snapshot) -> None:
    assert lines_of(snapshot._replace(netns=()), ["netns"], headers=False)[3] == "4026531840"


def test_a_container_of_no_record_is_shown_by_its_id(snapshot: Snapshot) -> None:
    assert lines_of(snapshot._replace(containers=()), ["container", "pod"], headers=False)[0] == "c0ffee000000  -"


def test_columns_stand_in_line_after_wide_characters(snapshot: Snapshot) -> None:
    rows = (named(snapshot, "日本").sockets[0], named(snapshot, "e\u0301x").sockets[0])
    assert lines_of(snapshot._replace(sockets=rows), ["command", "uid"], headers=False) == [
        "日本  33",
        "e\u0301x    33",
    ]


@pytest.mark.parametrize("comm", ["x  ", "   ", ""])
def test_no_line_ends_in_a_space(snapshot: Snapshot, comm: str) -> None:
    assert not lines_of(named(snapshot, comm), ["pid", "command"])[1].endswith(" ")


def test_only_free_text_is_shortened_the_widest_first(snapshot: Snapshot) -> None:
    one = named(snapshot, "a-very-long-name-of-a-process")
    assert lines_of(one, ["state", "local", "command", "container"], width=50) == [
        "STATE        LOCAL        COMMAND        CONTAINER",
        "established  10.0.0.2:80  a-very…rocess  web",
    ]


def test_a_table_that_cannot_fit_keeps_ten_cells_of_free_text(snapshot: Snapshot) -> None:
    one = named(snapshot, "a-very-long-name-of-a-process")
    assert lines_of(one, ["local", "command"], width=10, headers=False) == ["10.0.0.2:80  a-ver…cess"]


def test_a_wide_character_is_never_cut_in_half(snapshot: Snapshot) -> None:
    one = named(snapshot, "日本日本日本")
    assert lines_of(one, ["command", "pid"], width=15, headers=False) == ["日本…日本   101"]


def test_a_table_that_fits_is_not_changed_by_the_width(snapshot: Snapshot) -> None:
    assert text_of(render_table(snapshot, width=200)) == TABLE.removeprefix("\n")


def test_colour_marks_the_header_listeners_and_rows_without_an_owner(snapshot: Snapshot) -> None:
    three = snapshot._replace(sockets=snapshot.sockets[:3])
    assert lines_of(three, ["state", "command"], colour=True) == [
        "\x1b[1mSTATE        COMMAND\x1b[0m",
        "\x1b[32mlisten     \x1b[0m  nginx,nginx: wörker",
        "established  nginx: wörker",
        "time_wait    \x1b[2m(time_wait)\x1b[0m",
    ]


def test_a_command_that_looks_like_a_verdict_gets_no_colour(snapshot: Snapshot) -> None:
    assert lines_of(named(snapshot, "(time_wait)"), ["command"], colour=True, headers=False) == ["(time_wait)"]


def test_a_timer_has_its_kind_its_seconds_and_what_was_sent_again(snapshot: Snapshot) -> None:
    socket = snapshot.sockets[0]
    ticking = socket._replace(row=socket.row._replace(timer=Timer(TimerKind.KEEPALIVE, 59_004, 2)))
    shown = lines_of(snapshot._replace(sockets=(ticking, socket)), ["timer"], headers=False)
    assert shown == ["keepalive/59.004/2", "-"]


@pytest.mark.parametrize(
    ("protocol", "state", "shown"),
    [
        (Protocol.UDP, SocketState.CLOSE, "unconn"),
        (Protocol.UDP, SocketState.ESTABLISHED, "established"),
        (Protocol.UDPLITE, SocketState.CLOSE, "unconn"),
        (Protocol.RAW, SocketState.CLOSE, "unconn"),
        (Protocol.ICMP, SocketState.CLOSE, "unconn"),
        (Protocol.PACKET, SocketState.CLOSE, "unconn"),
        (Protocol.NETLINK, SocketState.CLOSE, "unconn"),
        (Protocol.TCP, SocketState.CLOSE, "close"),
        (Protocol.TCP, SocketState.BOUND_INACTIVE, "bound_inactive"),
        (Protocol.SCTP, SocketState.CLOSE, "close"),
        (Protocol.VSOCK, SocketState.CLOSE, "close"),
    ],
)
def test_what_is_not_connected_and_cannot_listen_is_unconn_as_in_ss(
    snapshot: Snapshot, protocol: Protocol, state: SocketState, shown: str
) -> None:
    socket = snapshot.sockets[0]
    changed = socket._replace(row=socket.row._replace(protocol=protocol, state=state))
    assert lines_of(snapshot._replace(sockets=(changed,)), ["state"], headers=False) == [shown]
