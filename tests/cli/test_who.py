"""`nsagent who`, `port` and `pid`, in a copied procfs and in captures."""

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from nsagent.errors import EXIT_NOT_FOUND, EXIT_USAGE
from tests.cli.conftest import Ran, Run
from tests.docker_proxy import play_docker_proxy


def sockets(ran: Ran) -> list[dict[str, Any]]:
    assert ran.status == 0, ran.err
    found: list[dict[str, Any]] = json.loads(ran.out)["sockets"]
    return found


def scanned(run: Run, *options: str | Path) -> list[dict[str, Any]]:
    return sockets(run("scan", "-o", "json", *options))


def test_every_end_of_the_node_leads_to_its_row(on_node: Run, node_capture: Path) -> None:
    rows = scanned(on_node)
    assert rows
    for row in rows:
        local = row["local"]
        address = f"[{local['address']}]" if ":" in local["address"] else local["address"]
        end = f"{address}:{local['port']}"
        assert row in sockets(on_node("who", "-o", "json", end))
        assert row in sockets(on_node("who", "-o", "json", end, "--from", node_capture))


def test_what_is_near_a_port_that_nobody_has_is_found_in_netns_without_it(run_cli: Run) -> None:
    asked = ("who", "--from", "fixtures/captures/docker.json.gz")
    (there, *_) = sockets(run_cli(*asked, "-o", "json", "127.0.0.1:9090"))
    ran = run_cli(*asked, "127.0.0.1:9091")
    assert ran.status == EXIT_NOT_FOUND
    assert f"9090 in netns {there['netns']}" in ran.err


def test_netns_without_the_port_count_as_skipped(run_cli: Run) -> None:
    asked = ("who", "-o", "json", "--from", "fixtures/captures/docker.json.gz", "127.0.0.1:9090")
    scanned = json.loads(run_cli("scan", "-o", "json", *asked[3:5]).out)["coverage"]["netns"]
    told = json.loads(run_cli(*asked).out)["coverage"]["netns"]
    assert told["skipped"] > 0
    assert told["read"] + told["skipped"] == scanned["read"]
    assert told["seen"] == scanned["seen"]


def test_what_is_odd_about_an_answer_is_said_on_stderr(run_cli: Run) -> None:
    asked = ("who", "-o", "json", "--from", "fixtures/captures/docker.json.gz", "10.9.9.9:7000")
    ran = run_cli(*asked, "--netns", "4026532480")
    assert [one["local"]["port"] for one in sockets(ran)] == [7000]
    assert ran.err == (
        "nsagent: 10.9.9.9:7000: not known whether this is an address of netns 4026532480, where any is waited for\n"
    )
    assert run_cli(*asked, "--netns", "host").status == EXIT_NOT_FOUND


def test_a_proxy_is_told_with_who_holds_what_it_passes_on_to(
    run_cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NSAGENT_RUNTIME", "none")
    # Others on this machine may have that port, or a closed connection at it, in netns of their own.
    asked = ("who", "-o", "json", "--protocol", "tcp", "--netns", str(os.stat("/proc/self/ns/net").st_ino))
    with socket.create_server(("127.0.0.1", 0)) as behind:
        port = behind.getsockname()[1]
        with play_docker_proxy(tmp_path, port) as proxy:
            ran = run_cli(*asked, f"127.0.0.1:{proxy.port}")
    pids = [owner["pid"] for one in sockets(ran) for owner in one["owners"]]
    notes = [line for line in ran.err.splitlines() if f"127.0.0.1:{proxy.port}:" in line or f":{port}:" in line]
    assert pids == [proxy.pid]
    # Who else looks at this machine just now may hold a duplicate of the one behind for a moment.
    others = re.compile(rf", tcp 127\.0\.0\.1:{port} of pid \d+ \([^,]*\)$")
    assert [others.sub("", line) for line in notes] == [
        (
            f"nsagent: 127.0.0.1:{proxy.port}: passed on to a container, as the name of the program says, by "
            f"tcp 127.0.0.1:{proxy.port} of pid {proxy.pid} (docker-proxy)"
        ),
        (
            f"nsagent: 127.0.0.1:{port}: this is where it is passed on to, held by "
            f"tcp 127.0.0.1:{port} of pid {os.getpid()} ({Path('/proc/self/comm').read_text().strip()})"
        ),
    ]


@pytest.mark.parametrize("port", [80, 22])
def test_port_is_what_scan_shows_of_a_local_port(on_node: Run, port: int) -> None:
    expected = [row for row in scanned(on_node) if row["local"]["port"] == port]
    assert sockets(on_node("port", "-o", "json", str(port))) == expected


def test_a_port_that_nobody_has_is_an_empty_answer(on_node: Run) -> None:
    assert on_node("port", "1", "--no-headers")[:2] == (0, "")


def test_pid_is_what_scan_shows_of_a_process(on_node: Run) -> None:
    pid = next(row["owners"][0]["pid"] for row in scanned(on_node) if row["owners"])
    assert sockets(on_node("pid", "-o", "json", str(pid))) == scanned(on_node, "--pid", str(pid))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("pid", "4194304"), EXIT_NOT_FOUND, "no process '4194304'"),
        (("who", "127.0.0.1:1"), EXIT_NOT_FOUND, "no endpoint '127.0.0.1:1'"),
        (("who", "127.0.0.1:80", "--netns", "nowhere"), EXIT_NOT_FOUND, "no netns 'nowhere'"),
        (("who", "localhost:80"), EXIT_USAGE, "names are not looked up"),
        (("who", "::1:80"), EXIT_USAGE, "brackets"),
        (("who", "*:80", "127.0.0.1:80"), EXIT_USAGE, "both ends"),
        (("who", "*:80", "--protocol", "raw"), EXIT_USAGE, "has ports"),
        (("who",), EXIT_USAGE, "ADDRESS:PORT"),
        (("port", "0"), EXIT_USAGE, "PORT"),
        (("port", "http"), EXIT_USAGE, "PORT"),
        (("pid", "0"), EXIT_USAGE, "PID"),
    ],
)
def test_what_is_not_there_or_means_nothing_is_one_line(
    on_node: Run, arguments: tuple[str, ...], status: int, said: str
) -> None:
    ran = on_node(*arguments)
    assert (ran.status, ran.out, ran.err.count("\n")) == (status, "", 1)
    assert said in ran.err
