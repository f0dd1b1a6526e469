"""Names that the shell completes, as runtimes on real sockets tell them."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsagent.cli.completion import find_container_names, list_netns_names, list_pids, list_pod_names
from tests.kernel.proc_tree import ProcTree
from tests.runtimes.cri_server import answering, container, lists, sandbox
from tests.runtimes.engine_server import Behaviour, rows, saying, serve

ID, CRI_ID, SANDBOX_ID, LOG_ID = (digit * 64 for digit in "abcd")
DOCKER = "run/docker.sock"
CRI = "run/crio/crio.sock"
LOGS = "var/log/containers"
ANSWER_SECONDS = 10.0


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root directory of a host that has no engine yet."""
    monkeypatch.setenv("NSAGENT_HOST_ROOT", str(tmp_path))
    for path in (DOCKER, CRI):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / LOGS).mkdir(parents=True)
    return tmp_path


def named(name: str, id_: str = ID, **labels: str) -> object:
    """A container as Docker lists it."""
    return {"Id": id_, "Names": [f"/{name}"], "Labels": labels}


def docker(*containers: object) -> Behaviour:
    return saying(rows(*containers))


def offer(incomplete: str) -> list[str]:
    """What is offered where everybody has long to answer."""
    return find_container_names(incomplete, ANSWER_SECONDS)


def add_log(root: Path) -> None:
    """A link to the log of a container that no engine tells of."""
    (root / LOGS / f"batch-0_jobs_run-{LOG_ID}.log").symlink_to("/var/log/pods/jobs_batch-0_u/run/0.log")


def test_the_names_that_start_so_are_offered_in_order(root: Path) -> None:
    service = {"com.docker.compose.service": "web"}
    containers = [named("web-2", "a" * 64, **service), named("web-1", "b" * 64, **service), named("db", "c" * 64)]
    with serve(root, docker(*containers), DOCKER):
        assert offer("we") == ["web", "web-1", "web-2"]
        assert offer("") == ["db", "web", "web-1", "web-2"]
        assert offer("nobody") == []


def test_all_groups_of_sources_are_asked_although_the_first_one_names_all_that_it_has(root: Path) -> None:
    add_log(root)
    told = lists([container(CRI_ID, SANDBOX_ID, "app")], [sandbox(SANDBOX_ID, "web-7d9c")])
    with serve(root, docker(named("registry")), DOCKER), serve(root, answering(told), CRI):
        assert offer("") == [
            "app",
            "batch-0/run",
            "jobs/batch-0/run",
            "registry",
            "run",
            "shop/web-7d9c/app",
            "web-7d9c/app",
        ]


@pytest.mark.parametrize(
    "name",
    [
        "w$(touch /tmp/x)",
        "w`id`",
        "w;id",
        "w|id",
        "w&",
        "w x",
        "w'",
        'w"',
        "w\\",
        "w>x",
        "w*",
        "w{a,b}",
        "w~",
        "w:x",
        "w=x",
        "w\x1b]0;owned\x07",
        "w\x1b[2J",
        "w\nx",
        "w\n",
        "w\r",
        "w\t",
        "w\0",
        "w\udcff",
        "w\u202ex",
        "wé",
        "w\u0661",
        "-w",
        ".w",
        "/w",
        "~w",
        "!w",
        "",
    ],
)
@pytest.mark.parametrize("place", ["name", "service"])
def test_what_is_no_plain_word_is_not_offered(root: Path, name: str, place: str) -> None:
    """A container's name and its labels are whatever somebody chose."""
    hostile = named(name) if place == "name" else named("other", **{"com.docker.compose.service": name})
    with serve(root, docker(hostile, named("plain", "b" * 64)), DOCKER):
        assert [one for one in offer("") if one != "other"] == ["plain"]


@pytest.mark.parametrize("variable", ["nonsense", "docker=ftp://x", "logs=relative", ","])
def test_a_setting_that_is_no_valid_value_offers_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("NSAGENT_RUNTIME", variable)
    with serve(root, docker(named("web")), DOCKER):
        assert offer("") == []


@pytest.mark.parametrize(
    ("variable", "offered"),
    [("", ["web"]), ("none", []), ("docker", ["web"]), ("docker=/nowhere/docker.sock", []), ("cri", [])],
)
def test_who_is_asked_is_as_for_a_command(
    root: Path, monkeypatch: pytest.MonkeyPatch, variable: str, offered: list[str]
) -> None:
    monkeypatch.setenv("NSAGENT_RUNTIME", variable)
    with serve(root, docker(named("web")), DOCKER):
        assert offer("") == offered


def test_a_host_without_engines_offers_nothing(root: Path) -> None:
    assert offer("") == []


def test_an_engine_that_says_nothing_costs_little_time_and_only_its_own_names(root: Path) -> None:
    add_log(root)

    def hang(connection: socket.socket) -> None:
        while connection.recv(4096):
            continue

    with serve(root, hang, DOCKER):
        started = time.monotonic()
        assert find_container_names("", 1.0) == ["batch-0/run", "jobs/batch-0/run", "run"]
        assert time.monotonic() - started < ANSWER_SECONDS


def test_the_shell_is_given_the_names_one_a_line(root: Path) -> None:
    """By what takes no program of an engine's to ask: half a second is little on a busy machine."""
    add_log(root)
    (root / LOGS / f"b$(id)_jobs_run-{'e' * 64}.log").symlink_to("/var/log/pods/jobs_b_u/run/0.log")
    assert complete("nsagent", "scan", "--container", "ba") == ["batch-0/run"]


def test_names_of_containers_are_offered_behind_that_word(root: Path) -> None:
    add_log(root)
    assert complete("nsagent", "scan", "not", "container", "ba") == ["batch-0/run"]
    assert complete("nsagent", "scan", "container", "!=", "ba") == ["batch-0/run"]
    assert complete("nsagent", "scan", "comm", "=", "ba") == []


def complete(*words: str) -> list[str]:
    """What bash is offered for the last of these words."""
    environment = {
        **os.environ,
        "_NSAGENT_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "nsagent"], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("scan --state ti", ["time_wait"]),
        ("scan --state listen,close_", ["listen,close_wait"]),
        ("scan --protocol udp", ["udp", "udplite"]),
        ("scan --columns netns,co", ["netns,command", "netns,container", "netns,cookie", "netns,confidence"]),
        ("netns --columns fo", ["found_by", "foreign_mounts"]),
        ("containers --sort-by ima", ["image"]),
        ("scan -o js", ["json", "jsonl"]),
        ("netns ho", ["host"]),
        ("scan sp", ["sport"]),
        ("scan not sport = :80 an", ["and"]),
        ("scan --count-by cha", ["charged"]),
        ("diff --fail-on new_listener,new_", ["new_listener,new_listener", "new_listener,new_peer"]),
        ("history --kind cl", ["closed"]),
        ("inspect --checksums sha256,m", ["sha256,md5"]),
    ],
)
def test_words_are_offered_where_they_are_known(words: str, offered: list[str]) -> None:
    assert complete("nsagent", *words.split()) == offered


def test_reports_of_the_config_are_offered_and_none_of_one_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(
        "version: 1\nreports: [{name: listeners, every: 1m}, {name: lost, every: 1m}, {name: top, every: 1m}]\n"
    )
    bad.write_text("version: 2\n")
    assert complete("nsagent", "report", "run", "--config", str(good), "l") == ["listeners", "lost"]
    assert complete("nsagent", "report", "run", "--config", str(bad), "l") == []
    assert complete("nsagent", "report", "run", "--config", str(tmp_path / "nosuch"), "") == []
    monkeypatch.setenv("NSAGENT_CONFIG", str(good))
    assert complete("nsagent", "report", "run", "t") == ["top"]


@pytest.mark.parametrize(
    ("words", "loaded"),
    [("nsagent scan ", ["scan"]), ("nsagent scan --st", ["scan"]), ("nsagent scan", ["run", "scan"])],
)
@pytest.mark.parametrize(("shell", "variable"), [("bash", "COMP_WORDS"), ("zsh", "_TYPER_COMPLETE_ARGS")])
def test_only_the_command_that_is_typed_is_loaded(words: str, loaded: list[str], shell: str, variable: str) -> None:
    """All of them take as long as an empty command does."""
    program = (
        "import sys; from nsagent.cli.app import run; run([]); "
        "print([name for name in ('run', 'scan') if f'nsagent.cli.{name}' in sys.modules], file=sys.stderr)"
    )
    environment = {**os.environ, "_NSAGENT_COMPLETE": f"complete_{shell}", "COMP_CWORD": "2", variable: words}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == f"{loaded}\n"


def test_a_process_is_offered_by_its_number() -> None:
    pid = str(os.getpid())
    assert complete("nsagent", "scan", "--pid", pid) == [pid]


def test_names_of_netns_are_offered_as_ip_netns_has_them(root: Path) -> None:
    (root / "run/netns").mkdir(parents=True)
    for name in ("web", "we$(id)", "db"):
        (root / "run/netns" / name).touch()
    assert list_netns_names("") == ["host", "db", "web"]
    assert list_netns_names("w") == ["web"]


def test_pods_are_offered_with_and_without_their_namespace(root: Path) -> None:
    add_log(root)
    assert list_pod_names("") == ["batch-0", "jobs/batch-0"]
    assert list_pod_names("jobs/") == ["jobs/batch-0"]


def test_a_command_is_told_beside_a_pid_where_no_shell_can_take_it_for_one_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ProcTree(tmp_path / "proc")
    for pid, comm in ((10, "nginx"), (11, "\\$(id)"), (12, "a'b"), (20, "other")):
        tree.process(pid, comm)
    monkeypatch.setenv("NSAGENT_PROC_ROOT", str(tree.path))
    assert list_pids("1") == [("10", "nginx"), ("11", ""), ("12", "")]
