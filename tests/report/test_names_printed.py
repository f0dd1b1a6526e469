"""What `-o name` prints is taken where a name is asked for."""

from nsagent.model.snapshot import Snapshot
from nsagent.query.containers import match_containers
from nsagent.query.netns import find_netns
from nsagent.report.name import render_container_names, render_netns_names


def test_each_container_is_found_by_the_name_that_is_printed(snapshot: Snapshot) -> None:
    names = "".join(render_container_names(snapshot)).split()
    found = [match_containers(name, snapshot.containers, ()) for name in names]
    assert found == [(container,) for container in snapshot.containers]


def test_each_netns_is_found_by_the_name_that_is_printed(snapshot: Snapshot) -> None:
    names = "".join(render_netns_names(snapshot)).split()
    assert [find_netns(snapshot, name) for name in names] == list(snapshot.netns)
