"""The order of rows by columns."""

import pytest

from nsagent.errors import UsageError
from nsagent.model.ids import SocketInode
from nsagent.model.net import Endpoint
from nsagent.model.snapshot import Snapshot
from nsagent.report.columns import SOCKET_COLUMNS
from nsagent.report.containers_table import CONTAINER_COLUMNS
from nsagent.report.netns_table import NETNS_COLUMNS
from tests.report.rendered import sort_containers, sort_netns, sort_sockets


def order(snapshot: Snapshot, *names: str) -> list[int]:
    """The places of the sample's sockets after sorting."""
    return [snapshot.sockets.index(socket) for socket in sort_sockets(snapshot, names).sockets]


def test_numbers_sort_as_numbers(snapshot: Snapshot) -> None:
    first = snapshot.sockets[0]
    rows = [first._replace(row=first.row._replace(inode=SocketInode(inode))) for inode in (100, 20, 3)]
    ordered = sort_sockets(snapshot._replace(sockets=tuple(rows)), ["inode"])
    assert [socket.row.inode for socket in ordered.sockets] == [3, 20, 100]


def test_addresses_sort_as_numbers(snapshot: Snapshot) -> None:
    first = snapshot.sockets[0]
    rows = [first._replace(row=first.row._replace(local=Endpoint(each, 1))) for each in ("::1", "10.0.0.1", "9.0.0.1")]
    ordered = sort_sockets(snapshot._replace(sockets=tuple(rows)), ["local"])
    assert [socket.row.local.address for socket in ordered.sockets] == ["9.0.0.1", "10.0.0.1", "::1"]


@pytest.mark.parametrize(("name", "places"), [("pid", [0, 1, 3, 4, 2, 5]), ("-pid", [4, 3, 1, 0, 2, 5])])
def test_absent_values_are_last_both_ways(snapshot: Snapshot, name: str, places: list[int]) -> None:
    assert order(snapshot, name) == places


def test_the_host_netns_is_first(snapshot: Snapshot) -> None:
    assert order(snapshot, "netns") == [3, 5, 0, 1, 2, 4]


def test_the_keys_of_netns_sort_after_inodes(snapshot: Snapshot) -> None:
    assert [one.netns for one in sort_sockets(snapshot, ["netns"]).sockets][-1] == -4026533000
    assert [one.number for one in sort_netns(snapshot, ["netns"]).netns][-1] == -4026533000


def test_the_first_column_is_foremost(snapshot: Snapshot) -> None:
    assert order(snapshot, "proto", "inode") == [0, 1, 4, 2, 5, 3]


def test_a_dash_descends_and_equal_rows_keep_their_order(snapshot: Snapshot) -> None:
    assert order(snapshot, "-proto") == [3, 0, 1, 2, 4, 5]


@pytest.mark.parametrize("name", [column.name for column in SOCKET_COLUMNS])
def test_every_column_of_sockets_can_sort(snapshot: Snapshot, name: str) -> None:
    assert sorted(order(snapshot, name)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", [column.name for column in NETNS_COLUMNS])
def test_every_column_of_netns_can_sort(snapshot: Snapshot, name: str) -> None:
    assert {one.number for one in sort_netns(snapshot, [name]).netns} == {one.number for one in snapshot.netns}


@pytest.mark.parametrize("name", [column.name for column in CONTAINER_COLUMNS])
def test_every_column_of_containers_can_sort(snapshot: Snapshot, name: str) -> None:
    assert len(sort_containers(snapshot, [name]).containers) == len(snapshot.containers)


def test_an_unknown_column_is_a_usage_error(snapshot: Snapshot) -> None:
    with pytest.raises(UsageError, match="no column 'pod_id'; near names: pod"):
        sort_sockets(snapshot, ["-pod_id"])
