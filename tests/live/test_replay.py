"""A capture keeps the facts of the very pass that was printed: a replay gives the same bytes to anybody."""

import json

import pytest

from tests.live.actors import Actor
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import run_nsagent
from tests.live.unprivileged import PlainUser


@pytest.fixture
def actor(bed: NetnsBed) -> Actor:
    """A netns with a bit of everything, hostile names included."""
    _, made = bed.stage()
    made.ask("rename", comm="\x1b[31m\n) R 1")
    made.pair(made.listen())
    made.pair(made.listen("::", family="ipv6"))
    made.udp()
    waiting = made.pair(made.listen())
    made.drop(waiting.client)
    made.drop(waiting.server)
    return made


@pytest.mark.parametrize("output", ["json", "jsonl", "table", "wide", "csv", "name"])
def test_a_replay_prints_the_bytes_of_the_scan(actor: Actor, capture_file: str, output: str) -> None:
    live = run_nsagent("scan", "--capture", capture_file, "-o", output)
    replay = run_nsagent("scan", "--from", capture_file, "-o", output)
    assert (live.status, replay.status) == (0, 0), live.stderr + replay.stderr
    assert live.stdout.count(b"\n") > 0
    assert replay.stdout == live.stdout


@pytest.mark.parametrize("output", ["json", "jsonl", "table", "csv"])
def test_an_ordinary_user_replays_the_bytes_that_root_scanned(
    actor: Actor, plain_user: PlainUser, capture_file: str, output: str
) -> None:
    live = run_nsagent("scan", "--capture", capture_file, "-o", output)
    replay = plain_user.run_nsagent("scan", "--from", plain_user.publish(capture_file), "-o", output)
    assert replay.status == 0, replay.stderr
    assert replay.stdout == live.stdout


def test_a_filter_applied_to_the_replay_is_that_of_the_scan(actor: Actor, capture_file: str) -> None:
    options = ("--pid", str(actor.pid), "--protocol", "tcp", "-o", "json")
    live = run_nsagent("scan", "--capture", capture_file, *options)
    replay = run_nsagent("scan", "--from", capture_file, *options)
    assert replay.stdout == live.stdout
    assert len(json.loads(replay.stdout)["sockets"]) == 7


@pytest.mark.parametrize("command", ["netns", "containers"])
@pytest.mark.parametrize("output", ["json", "table"])
def test_other_commands_read_the_capture_alike_for_root_and_others(
    actor: Actor, plain_user: PlainUser, capture_file: str, command: str, output: str
) -> None:
    scan = run_nsagent("scan", "--capture", capture_file, "-o", "json")
    as_root = run_nsagent(command, "--from", capture_file, "-o", output)
    as_other = plain_user.run_nsagent(command, "--from", plain_user.publish(capture_file), "-o", output)
    assert (as_root.status, as_other.status) == (0, 0), as_root.stderr + as_other.stderr
    assert as_other.stdout == as_root.stdout
    if output == "json":
        assert json.loads(as_root.stdout)[command] == json.loads(scan.stdout)[command]


def test_the_capture_command_keeps_the_same_facts(actor: Actor, capture_file: str) -> None:
    assert run_nsagent("capture", capture_file).status == 0
    replay = run_nsagent("scan", "--from", capture_file, "-o", "json", "--pid", str(actor.pid))
    assert replay.status == 0, replay.stderr
    assert {owner["pid"] for row in json.loads(replay.stdout)["sockets"] for owner in row["owners"]} == {actor.pid}


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_broken_capture_is_named_and_exits_1(actor: Actor, capture_file: str, damage: str) -> None:
    run_nsagent("scan", "--capture", capture_file, "-o", "json")
    with open(capture_file, "rb") as whole:
        content = whole.read()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]
    with open(capture_file, "wb") as broken:
        broken.write({"cut": content[:middle], "flipped": flipped, "empty": b"", "text": b"hello\n"}[damage])
    ran = run_nsagent("scan", "--from", capture_file, "-o", "json")
    assert (ran.status, ran.stdout) == (1, b"")
    assert capture_file in ran.stderr


def test_a_capture_that_is_not_there_exits_1(capture_file: str) -> None:
    ran = run_nsagent("scan", "--from", capture_file)
    assert (ran.status, ran.stdout) == (1, b"")
    assert capture_file in ran.stderr
