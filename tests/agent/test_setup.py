"""What one config asks for, and what the next one takes over of it."""

import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nsagent.agent.delivery import Lane
from nsagent.agent.outputs.report import Out
from nsagent.agent.schedule import Due, Moment
from nsagent.agent.setup import Setup, World
from nsagent.agent.world import make_world
from nsagent.config.model import Config
from nsagent.errors import ServeFailed
from nsagent.scan.diff import diff_snapshots
from tests.agent.test_event_log import EMPTY, FULL, kinds
from tests.cli.conftest import NODE

EVENTS = {"name": "lives", "every": "1h", "view": "events", "outputs": [{"type": "stdout"}]}


class Place:
    """Setups of one agent, one after the other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.host = "node-1"
        self.told: list[str] = []
        world = make_world(lambda: self.host, str(NODE), str(directory / "nothing"), {})
        self.world: World = world._replace(tell=self.told.append)
        self.setup: Setup | None = None

    def load(self, **settings: Any) -> Setup:
        """The setup of another config; raises what begin() does, and the one before stays."""
        usual = {"version": 1, "engine": "proc", "runtime": "none", "events": "off", "socket": None}
        setup = Setup(Config.model_validate({**usual, **settings}), self.world, self.setup)
        setup.begin(self.setup)
        self.setup = setup
        return setup

    def close(self) -> None:
        if self.setup is not None:
            self.setup.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    try:
        yield place
    finally:
        place.close()


def test_without_the_kernels_events_a_report_of_them_has_what_passes_tell(place: Place) -> None:
    place.load(events="off", reports=[EVENTS])
    place.world.log.learn(FULL, diff_snapshots(EMPTY, FULL))
    assert kinds(place.world.log.list_since(0).events) == ["open"]


def test_who_listens_for_events_goes_on_under_another_config_unless_he_is_to_listen_otherwise(place: Place) -> None:
    first = place.load(events="auto", reports=[EVENTS], limits={"cpu": "50%"}).feed
    alike = place.load(events="auto", reports=[{**EVENTS, "every": "2h"}], limits={"cpu": "50%"}).feed
    assert first is alike is not None
    slower = place.load(events="auto", reports=[EVENTS], limits={"cpu": "5%"}).feed
    assert slower not in (None, first)
    rarer = place.load(events="auto", reports=[EVENTS], limits={"cpu": "5%"}, interval="1h").feed
    assert rarer not in (None, slower)
    silent = place.load(events="auto", limits={"cpu": "5%"}, interval="1h")
    assert silent.feed not in (None, rarer)
    assert silent.socket_feed is None
    assert place.load(events="auto", limits={"cpu": "5%"}, interval="2h").feed is silent.feed
    assert place.load(events="off").feed is None


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client.makefile("rb").readline()


def test_what_cannot_be_served_otherwise_is_served_as_before(place: Place, tmp_path: Path) -> None:
    """Two cannot listen at one place: the earlier one has ended when it shows that the later one cannot begin."""
    port = find_free_port()
    http = {"listen": f"127.0.0.1:{port}"}
    place.load(http=http)
    for unusable in (
        {"http": {**http, "token_file": str(tmp_path / "nothing")}},
        {"http": {**http, "token_file": str(make_token(tmp_path))}, "socket": str(tmp_path / "no" / "where" / "s")},
    ):
        with pytest.raises(ServeFailed):
            place.load(**unusable)
        assert b" 200 " in ask(port)
    place.load(http={**http, "token_file": str(make_token(tmp_path))})
    assert b" 200 " in ask(port)
    assert not place.told


def test_another_address_of_the_same_port_is_served(place: Place) -> None:
    port = find_free_port()
    place.load(http={"listen": f"127.0.0.1:{port}"})
    place.load(http={"listen": f"127.0.0.2:{port}"})
    place.load(http={"listen": f"0.0.0.0:{port}", "token_file": str(make_token(place.directory))})
    assert b" 200 " in ask(port)
    place.load(http={"listen": f"127.0.0.1:{port}"})
    assert b" 200 " in ask(port)
    assert not place.told


def test_a_unix_socket_that_somebody_took_away_is_there_again(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "nsagent" / "agent.sock"
    setup = place.load(socket=str(path), http={"listen": "127.0.0.1:0"})
    setup.keep_reachable()
    assert not place.told
    shutil.rmtree(path.parent)
    setup.keep_reachable()
    assert place.told == [f"socket: {path}: its file was gone, and is made anew"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        setup.keep_reachable()
        assert place.told[1:] == [f"socket: {path}: another agent answers there"]
    setup.keep_reachable()
    assert place.told[2:] == place.told[:1]


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def make_token(directory: Path) -> Path:
    path = directory / "token"
    path.write_text("secret\n")
    path.chmod(0o600)
    return path


def test_a_pass_that_kept_nothing_for_want_of_memory_is_compared_with_the_one_before(place: Place) -> None:
    setup = place.load(limits={"memory": "1MiB"}, http={"listen": "127.0.0.1:0"})
    assert [setup.make_pass(threading.Event()).changes for _ in range(3)] == [None, (), ()]


def test_a_host_that_gets_its_name_after_the_start_is_called_by_it_from_the_next_pass_on(place: Place) -> None:
    """From the network, say: at a boot the agent may be faster."""
    place.host = "localhost"
    setup = place.load()
    hosts = [setup.make_pass(threading.Event()).taken.snapshot.host]
    place.host = "node-7"
    hosts.append(setup.make_pass(threading.Event()).taken.snapshot.host)
    assert hosts == ["localhost", "node-7"]


def test_a_report_that_is_due_when_another_config_is_loaded_is_made(place: Place) -> None:
    moments = [Moment(0.0, 0.0)]
    place.world = place.world._replace(read_clocks=lambda: moments[0])
    place.load(reports=[EVENTS])
    moments[0] = Moment(3601.0, 3601.0)
    assert place.load(reports=[{**EVENTS, "limit": None}]).timetable.take_due(moments[0]) == [Due("lives", 0)]


def test_an_output_that_is_to_be_written_otherwise_takes_over_what_waits(place: Place) -> None:
    """Two that append to one file at once would tear each other's reports."""
    path = str(place.directory / "r.jsonl")

    def load(**settings: Any) -> tuple[Lane, Out]:
        output = {"type": "file", "path": path, **settings}
        ((_, lane),) = place.load(reports=[{"name": "r", "every": "1h", "outputs": [output]}]).lanes.items()
        return lane, lane.out

    (first, replaced), (second, appended), (third, same) = load(), load(max_size="1MiB"), load(max_size="1MiB")
    assert first is second is third
    assert replaced is not appended is same
    path += ".other"
    assert load()[0] is not first


def test_outputs_to_one_receiver_that_are_not_alike_have_each_what_is_theirs(place: Place) -> None:
    receiver = {"type": "http", "url": "http://127.0.0.1:1/"}

    def load(*timeouts: str) -> list[Lane]:
        outputs = [{**receiver, "timeout": each} for each in timeouts]
        return list(place.load(reports=[{"name": "r", "every": "1h", "outputs": outputs}]).lanes.values())

    (first,) = load("1s")
    kept, new = load("1s", "2s")
    assert kept is first is not new
    others = load("3s", "4s", "5s")
    assert len({id(lane) for lane in others}) == len({id(lane.out) for lane in others}) == 3


def test_who_lived_where_before_events_were_turned_off_is_not_known_when_they_are_on_again(place: Place) -> None:
    """Who came and went meanwhile is not known: what is left in a netns is not of whoever was last heard of there."""
    on = place.load(events="auto")
    on.make_pass(threading.Event())
    assert place.world.processes.count().living > 0
    place.load(events="auto", interval="20s")
    assert place.world.processes.count().living > 0
    place.load(events="off")
    place.load(events="auto")
    assert place.world.processes.count() == (0, 0, 0)
    assert place.world.processes.map_lodgers() == {}
