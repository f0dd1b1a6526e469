"""What the parsers make of each tool's output: one real row of each shape."""

import json
from typing import Any

from tests.bench.outputs import FIELDS, PARSERS, parse_lsof, parse_nsagent, parse_psutil, parse_ss
from tests.bench.score import Row


def socket_record(**changes: Any) -> dict[str, Any]:
    return {
        "netns": 7,
        "protocol": "tcp",
        "family": "ipv4",
        "mapped": True,
        "state": "established",
        "local": {"address": "127.0.0.1", "port": 80, "raw_address": "::ffff:127.0.0.1"},
        "remote": {"address": "127.0.0.1", "port": 5000},
        "inode": 10,
        "owners": [{"pid": 100, "fds": [3, 4]}, {"pid": 101, "fds": [3]}],
        **changes,
    }


def test_nsagent_tells_every_field_and_all_owners() -> None:
    assert parse_nsagent(json.dumps({"sockets": [socket_record()]})) == [
        Row(7, 10, "tcp", "ipv4", True, "established", "127.0.0.1", 80, "127.0.0.1", 5000, frozenset({100, 101}))
    ]


def test_a_null_inode_of_nsagent_is_a_row_that_nobody_can_hold() -> None:
    [row] = parse_nsagent(json.dumps({"sockets": [socket_record(inode=None, owners=[])]}))
    assert (row.inode, row.pids) == (0, frozenset())


def test_ss_rows_belong_to_the_netns_of_the_line_before_them() -> None:
    text = (
        "netns 7\n"
        'tcp LISTEN 1 64 *:80 *:* users:(("a b",pid=100,fd=4),("a",pid=101,fd=4)) ino:10 sk:1 cgroup:/ v6only:0 <->\n'
        "netns 8\n"
        'udp   ESTAB  0  0   [::1]:56525  [::1]:9  users:(("a",pid=102,fd=5)) ino:11 sk:2 cgroup:/ <->\n'
    )
    assert parse_ss(text) == [
        Row(7, 10, "tcp", local_port=80, remote_port=0, pids=frozenset({100, 101})),
        Row(8, 11, "udp", local_port=56525, remote_port=9, pids=frozenset({102})),
    ]


def test_a_time_wait_row_of_ss_has_no_inode_and_no_owner() -> None:
    line = "tcp   TIME-WAIT 0  0   127.0.0.1:2001   127.0.0.1:2000  timer:(timewait,59sec,0) ino:0 sk:37eda\n"
    assert parse_ss("netns 7\n" + line) == [Row(7, 0, "tcp", local_port=2001, remote_port=2000)]


def test_lsof_files_of_one_inode_are_one_socket() -> None:
    assert parse_lsof("netns 7\np100\nf4\nd10\nf5\nd11\np101\nf4\nd10\n") == [
        Row(7, 10, pids=frozenset({100, 101})),
        Row(7, 11, pids=frozenset({100})),
    ]


def test_psutil_rows_that_differ_in_the_pid_only_are_one_socket() -> None:
    text = "netns 7\ntcp ::ffff:127.0.0.1 80 5000 100\ntcp ::ffff:127.0.0.1 80 5000 101\nudp ::1 53 0 -\n"
    assert parse_psutil(text) == [
        Row(7, protocol="tcp", local_address="127.0.0.1", local_port=80, remote_port=5000, pids=frozenset({100, 101})),
        Row(7, protocol="udp", local_address="::1", local_port=53),
    ]


def test_each_parser_is_held_to_fields_that_rows_have() -> None:
    assert PARSERS.keys() == FIELDS.keys()
    assert {name for fields in FIELDS.values() for name in fields} <= set(Row._fields)


def test_nsagent_is_held_to_every_field() -> None:
    assert set(FIELDS["nsagent"]) == set(Row._fields) - {"pids"}
