"""The comparison itself: what ss prints and what a scan prints become the same rows."""

import pytest

from tests.live.rows import Row, explain_difference, parse_scan_row, parse_ss_row

LISTENER = Row(
    protocol="tcp",
    state="listen",
    local=("127.0.0.1", 47343),
    remote=("", 0),
    mapped=False,
    inode=9466,
    uid=0,
    holders=((7624, 3),),
    cookie=0x11,
    interface=None,
    v6only=None,
)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        pytest.param(
            "tcp LISTEN     1      5               127.0.0.1:47343            0.0.0.0:*     "
            'users:(("a b",pid=7624,fd=3)) ino:9466 sk:11 cgroup:/ <->          ',
            LISTENER,
            id="listener",
        ),
        pytest.param(
            'tcp LISTEN 0 5 *:51345 *:* users:(("x",pid=9,fd=3),("x",pid=8,fd=4)) uid:65534 ino:9476 sk:1f v6only:0',
            LISTENER._replace(
                local=("::", 51345), inode=9476, uid=65534, holders=((8, 4), (9, 3)), cookie=0x1F, v6only=False
            ),
            id="dual stack listener of two processes",
        ),
        pytest.param(
            "tcp FIN-WAIT-2 0 0 127.0.0.1:60326 127.0.0.1:47343 timer:(timewait,59sec,0) ino:0 sk:14",
            LISTENER._replace(
                state="fin_wait2",
                local=("127.0.0.1", 60326),
                remote=("127.0.0.1", 47343),
                inode=None,
                uid=None,
                holders=(),
                cookie=0x14,
            ),
            id="a mini-socket has no uid",
        ),
        pytest.param(
            "tcp ESTAB 0 0 127.0.0.1:47343 127.0.0.1:60306 ino:0 sk:1a cgroup:/ -->",
            LISTENER._replace(
                state="established", remote=("127.0.0.1", 60306), inode=None, uid=0, holders=(), cookie=0x1A
            ),
            id="an unaccepted connection has its listener's uid",
        ),
        pytest.param(
            "udp ESTAB 0 0 [::ffff:127.0.0.1]:47200 [::ffff:127.0.0.1]:99 "
            'users:(("a b",pid=7624,fd=19)) ino:9484 sk:e <->',
            LISTENER._replace(
                protocol="udp",
                state="established",
                local=("127.0.0.1", 47200),
                remote=("127.0.0.1", 99),
                mapped=True,
                inode=9484,
                holders=((7624, 19),),
                cookie=0xE,
            ),
            id="mapped",
        ),
        pytest.param(
            'udp UNCONN 0 0 0.0.0.0%lo:58966 0.0.0.0:* users:(("a b",pid=7624,fd=15)) ino:9480 sk:d cgroup:/ <->',
            LISTENER._replace(
                protocol="udp",
                state="close",
                local=("0.0.0.0", 58966),
                inode=9480,
                holders=((7624, 15),),
                cookie=0xD,
                interface="lo",
            ),
            id="bound to an interface",
        ),
    ],
)
def test_a_line_of_ss_becomes_a_row(line: str, row: Row) -> None:
    assert parse_ss_row(line) == row


def test_a_comm_that_looks_like_fields_forges_nothing() -> None:
    line = 'tcp LISTEN 0 1 127.0.0.1:1 0.0.0.0:* users:((" ino:1 sk:2",pid=5,fd=3)) ino:7 sk:8 <->'
    assert (parse_ss_row(line).inode, parse_ss_row(line).cookie) == (7, 8)


def test_a_socket_of_a_scan_becomes_the_same_row() -> None:
    socket = {
        "protocol": "tcp",
        "state": "listen",
        "local": {"address": "127.0.0.1", "port": 47343},
        "remote": {"address": "0.0.0.0", "port": 0},
        "mapped": False,
        "inode": 9466,
        "uid": 0,
        "cookie": 17,
        "interface": None,
        "v6only": None,
        "owners": [{"pid": 7624, "fds": [3]}],
    }
    assert parse_scan_row(socket) == LISTENER


def test_a_difference_names_the_rows_of_each_side() -> None:
    other = LISTENER._replace(inode=1)
    assert explain_difference([LISTENER], [LISTENER]) == ""
    assert explain_difference([LISTENER], [other]).splitlines() == [
        f"only the first has {LISTENER}",
        f"only the second has {other}",
    ]
    assert "repeated" in explain_difference([LISTENER, LISTENER], [LISTENER])
