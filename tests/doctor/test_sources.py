"""What doctor says about each source of names, over real sockets and directories."""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nsagent.doctor.sources import check_sources
from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.model.check import Check, CheckState
from nsagent.model.container import Container, NameState
from nsagent.model.ids import ContainerId
from nsagent.runtimes.discover import make_source
from nsagent.runtimes.places import Place, PlaceState, SourceKind, list_places
from nsagent.runtimes.source import Source
from tests.kernel.proc_tree import ProcTree
from tests.live.deadlines import until
from tests.runtimes.cri_server import answering, lists
from tests.runtimes.engine_server import Behaviour, answer, rows, saying, serve

ID, OTHER_ID = "a" * 64, "b" * 64


class StandIn:
    """A source that answers as a test wants."""

    subject = "stand-in"

    def __init__(self, answer_it: Callable[["StandIn"], tuple[Container, ...]], *, named: bool) -> None:
        self.named = named
        self.abandoned = threading.Event()
        self._answer_it = answer_it

    def list_containers(self) -> tuple[Container, ...]:
        return self._answer_it(self)

    def abandon(self) -> None:
        self.abandoned.set()

    def identify(self) -> object | None:
        return None


class StagedPlace(Place):
    """A place with a source of the test."""

    source: StandIn


def make_staged(found: Place) -> Source:
    return found.source if isinstance(found, StagedPlace) else make_source(found)


def record(id_: str = ID, name: str | None = "web", *, sandbox: bool = False) -> Container:
    state = NameState.UNKNOWN if name is None else NameState.KNOWN
    return Container(ContainerId(id_), name, state, None, None, True, "docker", sandbox=sandbox)


def place(
    answer_it: Callable[[StandIn], tuple[Container, ...]],
    kind: SourceKind = SourceKind.DOCKER,
    address: str = "unix:///x",
    *,
    named: bool = False,
) -> StagedPlace:
    """A place whose source answers like that."""
    made = StagedPlace(kind, address, named)
    made.source = StandIn(answer_it, named=named)
    return made


def knows(*containers: Container) -> Callable[[StandIn], tuple[Container, ...]]:
    return lambda _: containers


def fails(err: Exception) -> Callable[[StandIn], tuple[Container, ...]]:
    def fail(_: StandIn) -> tuple[Container, ...]:
        raise err

    return fail


def hangs(source: StandIn) -> tuple[Container, ...]:
    source.abandoned.wait(60)
    return (record(name="late"),)


def check(*places: Place, proc: ProcTree, deadline_seconds: float = 2.0) -> tuple[Check, ...]:
    """The checks, without how long they took."""
    checks = check_sources(places, proc.path, clock=time.monotonic, deadline_seconds=deadline_seconds, make=make_staged)
    return tuple(without_time(each) for each in checks)


def without_time(each: Check) -> Check:
    return Check(each.subject, each.kind, each.state, None, each.containers, each.detail, each.fix)


@pytest.fixture
def proc(tmp_path: Path) -> ProcTree:
    """A procfs without processes."""
    return ProcTree(tmp_path / "proc")


def check_option(option: str, proc: ProcTree, deadline_seconds: float = 2.0) -> Check:
    """The check of the one place that the option names."""
    _, only = check(*list_places(option, {}), proc=proc, deadline_seconds=deadline_seconds)
    return only


def check_server(kind: str, behave: Behaviour, tmp_path: Path, proc: ProcTree) -> Check:
    """The check of an engine that treats connections like that, without its address."""
    with serve(tmp_path, behave) as url:
        only = check_option(f"{kind}={url}", proc)
    assert (only.subject, only.kind) == (url, kind)
    return Check("", kind, only.state, None, only.containers, only.detail, only.fix)


class TestUsed:
    """Sources that answer."""

    def test_an_engine_is_told_with_its_version_and_containers(self, tmp_path: Path, proc: ProcTree) -> None:
        body = b'[{"Id": "%s", "Names": ["/web"]}, {"Id": "%s"}]' % (ID.encode(), OTHER_ID.encode())
        told = check_server("docker", saying(answer(body, headers="Server: Docker/27.1\r\n")), tmp_path, proc)
        assert told == Check("", "docker", CheckState.USED, None, 2, "Docker/27.1, 1 without a name")

    def test_a_cri_engine_without_containers_is_used_all_the_same(self, tmp_path: Path, proc: ProcTree) -> None:
        told = check_server("cri", answering(lists()), tmp_path, proc)
        assert (told.state, told.containers, told.detail) == (CheckState.USED, 0, "containerd v1.7.27")

    def test_directories_are_read(self, tmp_path: Path, proc: ProcTree) -> None:
        logs = tmp_path / "containers"
        logs.mkdir()
        (logs / f"web-1_shop_app-{ID}.log").symlink_to(f"/var/log/pods/shop_web-1_{OTHER_ID[:32]}/app/0.log")
        bundles = tmp_path / "bundles"
        bundles.mkdir()
        checks = check(*list_places(f"bundles={bundles},logs={logs}", {}), proc=proc)
        assert checks[1:] == (
            Check(str(bundles), "bundles", CheckState.USED, None, 0),
            Check(str(logs), "logs", CheckState.USED, None, 1),
        )

    def test_pause_containers_are_not_counted(self, proc: ProcTree) -> None:
        _, told = check(place(knows(record(), record(OTHER_ID, sandbox=True))), proc=proc)
        assert (told.containers, told.detail) == (1, None)

    def test_each_answer_is_timed_by_itself(self, proc: ProcTree) -> None:
        def slowly(_: StandIn) -> tuple[Container, ...]:
            time.sleep(1)
            return ()

        checks = check_sources([place(slowly), place(knows())], proc.path, clock=time.monotonic, make=make_staged)
        _, slow, quick = (each.seconds for each in checks)
        assert slow is not None
        assert quick is not None
        assert slow >= 1
        assert quick < 1


class TestHung:
    """Runtimes that do not answer."""

    def test_those_that_hang_share_one_deadline_and_are_abandoned(self, proc: ProcTree) -> None:
        places = [place(hangs) for _ in range(5)]
        began = time.monotonic()
        checks = check(*places, place(knows(record())), proc=proc, deadline_seconds=1.0)
        assert time.monotonic() - began < 4
        fix = "is the daemon hung? its names are left out, sockets are not"
        hung = Check("unix:///x", "docker", CheckState.FAILED, None, None, "no answer within 1 s", fix)
        assert checks[1:6] == (hung,) * 5
        assert checks[6].state is CheckState.USED
        assert all(each.source.abandoned.is_set() for each in places)

    def test_a_daemon_that_accepts_nothing_does_not_hang_doctor(self, tmp_path: Path, proc: ProcTree) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "engine.sock"))
            listener.listen()
            for kind in ("docker", "cri"):
                told = check_option(f"{kind}={tmp_path}/engine.sock", proc, deadline_seconds=0.5)
                assert (told.state, told.detail) == (CheckState.FAILED, "no answer within 0.5 s")

    def test_a_late_answer_does_not_count(self, proc: ProcTree) -> None:
        _, told = check(place(hangs), proc=proc, deadline_seconds=0.1)
        assert told.containers is None


class TestFailed:
    """Why a source does not answer, and what would help."""

    def test_a_named_socket_that_is_not_there(self, tmp_path: Path, proc: ProcTree) -> None:
        assert check_option(f"cri={tmp_path}/none.sock", proc) == Check(
            f"unix://{tmp_path}/none.sock",
            "cri",
            CheckState.FAILED,
            detail="No such file or directory (ENOENT)",
            fix="mount it, or name another: --runtime cri=unix:///PATH",
        )

    def test_a_named_directory_that_is_not_there(self, tmp_path: Path, proc: ProcTree) -> None:
        for kind in ("logs", "bundles"):
            told = check_option(f"{kind}={tmp_path}/none", proc)
            assert told.detail == "No such file or directory (ENOENT)"
            assert told.fix == f"mount it, or name another: --runtime {kind}=DIR"

    def test_a_socket_at_which_nobody_listens(self, tmp_path: Path, proc: ProcTree) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "engine.sock"))
        told = check_option(f"docker={tmp_path}/engine.sock", proc)
        assert told.detail == "Connection refused (ECONNREFUSED)"
        assert told.fix == "start the engine: nobody listens at its socket"

    @pytest.mark.parametrize(
        ("kind", "fix"),
        [
            (
                SourceKind.CRI,
                "run as root or in the group of the socket; to root it is SELinux or AppArmor that refuses",
            ),
            (SourceKind.BUNDLES, "run as root, or add CAP_DAC_READ_SEARCH"),
        ],
    )
    def test_what_may_not_be_asked(self, proc: ProcTree, kind: SourceKind, fix: str) -> None:
        denied = fails(RuntimeUnavailable("Permission denied (EACCES)", Reason.DENIED))
        _, told = check(place(denied, kind), proc=proc)
        assert (told.state, told.detail, told.fix) == (CheckState.FAILED, "Permission denied (EACCES)", fix)

    def test_an_engine_that_answers_nonsense_has_no_fix(self, tmp_path: Path, proc: ProcTree) -> None:
        told = check_server("docker", saying(answer(b"{}")), tmp_path, proc)
        assert (told.state, told.containers, told.fix) == (CheckState.FAILED, None, None)
        assert told.detail is not None
        assert told.detail.startswith("no valid answer: ")

    def test_another_error_of_the_system_has_no_fix(self, proc: ProcTree) -> None:
        unreachable = fails(RuntimeUnavailable("No route to host (EHOSTUNREACH)"))
        assert check(place(unreachable), proc=proc)[1].fix is None

    def test_a_fault_of_ours_is_told_at_once(self, proc: ProcTree, monkeypatch: pytest.MonkeyPatch) -> None:
        shown = threading.Event()
        monkeypatch.setattr(threading, "excepthook", lambda _: shown.set())
        _, told = check(place(fails(AssertionError())), proc=proc)
        assert told.detail == "the question ended without an answer, by a fault of nsagent"
        assert shown.wait(60)


class TestNotServed:
    """Something else is served there."""

    FIX = "for Kubernetes' containers: remove cri from disabled_plugins in /etc/containerd/config.toml"

    def test_a_containerd_without_cri(self, tmp_path: Path, proc: ProcTree) -> None:
        """Docker's own containerd is one: it fails only if somebody named it."""
        (tmp_path / "containerd").mkdir()
        with serve(tmp_path / "containerd", answering({}, service="containerd.services.tasks.v1.Tasks")) as url:
            (found,) = list_places(f"cri={url}", {})
            _, named = check(found, proc=proc)
            _, unnamed = check(found._replace(named=False), proc=proc)
        assert (named.state, named.fix) == (CheckState.FAILED, self.FIX)
        assert (unnamed.state, unnamed.fix, unnamed.containers) == (CheckState.UNUSED, self.FIX, None)

    def test_another_engine_s_socket(self, tmp_path: Path, proc: ProcTree) -> None:
        told = check_server("cri", saying(answer(b"", "400 Bad Request")), tmp_path, proc)
        assert (told.state, told.fix) == (CheckState.FAILED, None)
        assert told.detail is not None
        assert told.detail.startswith("UNAVAILABLE: ")

    @pytest.mark.parametrize(("named", "state"), [(False, CheckState.UNUSED), (True, CheckState.FAILED)])
    def test_an_engine_that_an_extra_would_ask(self, proc: ProcTree, named: bool, state: CheckState) -> None:
        lacking = fails(RuntimeUnavailable("pip install it", Reason.MISSING_EXTRA))
        _, told = check(place(lacking, SourceKind.CRI, named=named), proc=proc)
        assert (told.state, told.detail, told.fix) == (state, "pip install it", None)

    def test_an_engine_of_another_protocol(self, proc: ProcTree) -> None:
        _, told = check(place(fails(RuntimeUnavailable("it speaks no HTTP", Reason.NOT_SERVED))), proc=proc)
        assert (told.state, told.fix) == (CheckState.UNUSED, "name another: --runtime docker=unix:///PATH")


class TestUnasked:
    """Places that are not asked."""

    @pytest.mark.parametrize(
        ("place_state", "state", "fix"),
        [
            (PlaceState.ABSENT, CheckState.ABSENT, None),
            (PlaceState.SAME, CheckState.UNUSED, None),
            (PlaceState.LEFT_OUT, CheckState.UNUSED, None),
            (PlaceState.UNFIT, CheckState.UNUSED, "remove it, start the engine, then mount its socket"),
        ],
    )
    def test_they_say_why(self, proc: ProcTree, place_state: PlaceState, state: CheckState, fix: str | None) -> None:
        _, told = check(Place(SourceKind.CRI, "unix:///c", False, place_state, "for a reason"), proc=proc)
        assert told == Check("unix:///c", "cri", state, None, None, "for a reason", fix)

    def test_every_place_of_a_host_has_its_line(self, tmp_path: Path, proc: ProcTree) -> None:
        places = list_places(None, {}, str(tmp_path))
        checks = check(*places, proc=proc)
        assert [each.subject for each in checks] == [proc.path, *(place.address for place in places)]
        assert {each.state for each in checks[1:]} == {CheckState.ABSENT}


class TestCgroups:
    """What the cgroups of the processes tell, and the sources do not."""

    def test_containers_around_others_count_and_processes_without_one_do_not(self, proc: ProcTree) -> None:
        proc.process(1)
        proc.process(2, cgroup=f"0::/docker/{ID}\n")
        proc.process(3, cgroup=f"0::/docker/{ID}\n")
        proc.process(4, cgroup=f"0::/docker/{'c' * 64}/docker/{OTHER_ID}\n")
        (told,) = check(proc=proc)
        assert (told.kind, told.state, told.containers) == ("cgroup", CheckState.USED, 3)

    def test_where_no_source_names_any_it_says_what_would(self, proc: ProcTree) -> None:
        proc.process(2, cgroup=f"0::/docker/{ID}\n")
        told, _ = check(place(knows(record(OTHER_ID), record(name=None))), proc=proc)
        assert told.detail == "1 named by no source"
        assert told.fix is not None
        assert told.fix.endswith("name one: --runtime KIND=PLACE")

    def test_where_a_source_failed_the_fix_is_its_own(self, proc: ProcTree) -> None:
        proc.process(2, cgroup=f"0::/docker/{ID}\n")
        told, _ = check(place(fails(RuntimeUnavailable("broken"))), proc=proc)
        assert (told.detail, told.fix) == ("1 named by no source", None)

    def test_where_a_source_names_some_the_others_are_counted(self, proc: ProcTree) -> None:
        proc.process(2, cgroup=f"0::/docker/{ID}\n")
        proc.process(3, cgroup=f"0::/docker/{OTHER_ID}\n")
        told, _ = check(place(knows(record())), proc=proc)
        assert (told.containers, told.detail, told.fix) == (2, "1 named by no source", None)

    def test_where_all_are_named_there_is_nothing_to_say(self, proc: ProcTree) -> None:
        """A pause container's name is its pod's; a container of LXC is called by its id."""
        proc.process(2, cgroup=f"0::/docker/{ID}\n")
        proc.process(3, cgroup=f"0::/docker/{OTHER_ID}\n")
        proc.process(4, cgroup="0::/lxc/web\n")
        told, *_ = check(place(knows(record())), place(knows(record(OTHER_ID, sandbox=True))), proc=proc)
        assert told == Check(proc.path, "cgroup", CheckState.USED, None, 3)

    def test_a_process_that_cannot_be_read_is_counted(self, proc: ProcTree) -> None:
        proc.process(2)
        directory = proc.process(3)
        (directory / "cgroup").unlink()
        (directory / "cgroup").mkdir()
        (told,) = check(proc=proc)
        assert told.detail == "1 of 2 processes not readable (EISDIR)"

    def test_a_process_that_is_gone_is_not(self, proc: ProcTree) -> None:
        directory = proc.process(2)
        (directory / "cgroup").unlink()
        (told,) = check(proc=proc)
        assert (told.containers, told.detail) == (0, None)

    def test_without_a_procfs_it_failed(self, tmp_path: Path) -> None:
        (told,) = check_sources((), str(tmp_path / "none"), clock=time.monotonic)
        assert without_time(told) == Check(
            str(tmp_path / "none"),
            "cgroup",
            CheckState.FAILED,
            detail="ENOENT",
            fix="name the directory of a procfs: --proc-root DIR",
        )

    def test_a_directory_without_a_process_is_no_procfs(self, tmp_path: Path) -> None:
        (told,) = check_sources((), str(tmp_path), clock=time.monotonic)
        assert without_time(told) == Check(
            str(tmp_path),
            "cgroup",
            CheckState.FAILED,
            detail="no procfs, nor a copy of one: there is no process in it",
            fix="name the directory of a procfs: --proc-root DIR",
        )

    def test_this_host_has_an_answer(self) -> None:
        (told,) = check_sources((), "/proc", clock=time.monotonic)
        assert told.state is CheckState.USED
        assert told.seconds is not None


def test_a_check_leaves_no_thread_and_no_fd(tmp_path: Path, proc: ProcTree) -> None:
    with serve(tmp_path, saying(rows())) as url:
        check_option(f"docker={url}", proc)
        before = len(os.listdir("/proc/self/fd")), threading.active_count()
        check_option(f"docker={url}", proc)
        until(lambda: (len(os.listdir("/proc/self/fd")), threading.active_count()) <= before, "neither is left")
