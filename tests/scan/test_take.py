"""A snapshot as every caller takes it: from a procfs or a capture, with what the capture lacks."""

import resource
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nsagent.errors import Aborted, CaptureError
from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.model.facts import Facts
from nsagent.model.lacking import Lacking, LackingKind
from nsagent.model.net import Protocol
from nsagent.query.filter import Filter
from nsagent.runtimes.runtimes import Runtimes
from nsagent.scan.attribute import attribute
from nsagent.scan.capture_file import read_capture, write_capture
from nsagent.scan.plan import TablesWanted
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import take_facts, take_snapshot
from tests.kernel.rows import FIXTURES
from tests.scan.collect.passes import STARTED_AT_NS, run_pass
from tests.scan.facts import WEB_ID, facts, netns

NODE = str(FIXTURES / "proc" / "node")
REQUEST = SnapshotRequest("node-1", STARTED_AT_NS, NODE)
ALL = TablesWanted(frozenset(Protocol), deep=True, tcp_info=True)


@pytest.fixture(autouse=True)
def unchanged_limit() -> Iterator[tuple[int, int]]:
    """The limit of open files, which a pass raises."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield limits
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A capture of the node."""
    write_capture(run_pass(NODE), tmp_path / "kept")
    return tmp_path / "kept"


def keep(path: Path, kept: Facts) -> Path:
    write_capture(kept, path)
    return path


def without_duration(taken: Facts) -> Facts:
    return taken._replace(duration_seconds=0.0)


def test_a_pass_gives_its_facts_what_they_mean_and_lacks_nothing() -> None:
    taken = take_snapshot(REQUEST, None, clock=time.monotonic)
    assert without_duration(taken.facts) == without_duration(run_pass(NODE))
    assert (taken.snapshot, taken.lacking) == (attribute(taken.facts), ())


def test_the_request_reaches_the_pass() -> None:
    request = replace(REQUEST, engine=EngineName.PROC, tables=TablesWanted(frozenset({Protocol.RAW}), deep=True))
    taken = take_facts(request, None, clock=time.monotonic)
    assert (taken.host, taken.taken_at_ns, taken.engine) == ("node-1", STARTED_AT_NS, EngineName.PROC)
    assert (set(taken.protocols), taken.deep) == ({Protocol.TCP, Protocol.UDP, Protocol.RAW}, True)


def test_a_capture_needs_no_engines_and_gives_the_same_facts(kept: Path) -> None:
    assert take_facts(replace(REQUEST, from_file=kept), None, clock=time.monotonic) == read_capture(kept)


@pytest.mark.parametrize("from_capture", [False, True])
def test_the_facts_are_kept_where_the_request_says(kept: Path, tmp_path: Path, from_capture: bool) -> None:
    request = replace(REQUEST, from_file=kept if from_capture else None, capture=tmp_path / "copy")
    taken = take_facts(request, None, clock=time.monotonic)
    assert read_capture(tmp_path / "copy") == taken


def test_a_pass_raises_the_limit_of_open_files(unchanged_limit: tuple[int, int]) -> None:
    hard = unchanged_limit[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    take_facts(REQUEST, None, clock=time.monotonic)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_a_pass_that_is_told_to_stop_is_aborted() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Aborted):
        take_snapshot(REQUEST, None, clock=time.monotonic, stop=stop)


def test_runtimes_are_left_open_for_the_next_pass() -> None:
    runtimes = Runtimes([], clock=time.monotonic)
    first, second = (take_facts(REQUEST, runtimes, clock=time.monotonic) for _ in range(2))
    runtimes.close()
    assert without_duration(first) == without_duration(second)


@pytest.mark.parametrize(
    ("changes", "unread"),
    [
        ({}, True),
        ({"owners": OwnersWanted.CONTAINER}, False),
        ({"since": "kept"}, False),
        ({"only": Filter(ports=frozenset({80}))}, False),
    ],
)
def test_a_pass_about_some_containers_leaves_netns_out_where_nothing_else_can_stand_there(
    kept: Path, changes: dict[str, object], unread: bool
) -> None:
    changes = {"only": Filter(containers=(WEB_ID,)), **changes}
    if "since" in changes:
        changes["since"] = keep(kept.with_name("since"), read_capture(kept)._replace(taken_at_ns=STARTED_AT_NS - 1))
    taken = take_snapshot(replace(REQUEST, **changes), None, clock=time.monotonic)  # type: ignore[arg-type]
    assert any(one.skipped for one in taken.facts.netns) is unread


def test_a_capture_that_lacks_what_is_asked_for_says_so(kept: Path) -> None:
    taken = take_snapshot(replace(REQUEST, from_file=kept, tables=ALL), None, clock=time.monotonic)
    others = tuple(each for each in Protocol if each not in (Protocol.TCP, Protocol.UDP))
    assert taken.lacking == (
        Lacking(LackingKind.TABLES, others),
        Lacking(LackingKind.IDLE_SOCKETS),
        Lacking(LackingKind.TCP_INFO),
    )


def test_a_capture_without_owners_lacks_them_only_where_they_are_asked_for(tmp_path: Path) -> None:
    file = keep(
        tmp_path / "kept", facts()._replace(owners=OwnersWanted.CONTAINER, protocols=(Protocol.TCP, Protocol.UDP))
    )
    request = replace(REQUEST, from_file=file)
    assert take_snapshot(request, None, clock=time.monotonic).lacking == (Lacking(LackingKind.OWNERS),)
    request = replace(request, owners=OwnersWanted.CONTAINER)
    assert take_snapshot(request, None, clock=time.monotonic).lacking == ()


def test_a_capture_without_interfaces_lacks_them_only_where_they_are_asked_for(kept: Path) -> None:
    request = replace(REQUEST, from_file=kept)
    assert take_snapshot(request, None, clock=time.monotonic).lacking == ()
    request = replace(request, interfaces=True)
    assert take_snapshot(request, None, clock=time.monotonic).lacking == (Lacking(LackingKind.INTERFACES),)


def test_a_capture_of_some_containers_lacks_the_netns_that_were_left_out(tmp_path: Path) -> None:
    read, skipped = netns(), netns(inode=5)._replace(skipped=True)
    file = keep(tmp_path / "kept", facts([], [read, skipped])._replace(protocols=(Protocol.TCP, Protocol.UDP)))
    taken = take_snapshot(replace(REQUEST, from_file=file), None, clock=time.monotonic)
    assert taken.lacking == (Lacking(LackingKind.NETNS, skipped=1, seen=2),)


def test_a_capture_that_is_a_directory_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot be read: Is a directory"):
        take_facts(replace(REQUEST, from_file=tmp_path), None, clock=time.monotonic)
