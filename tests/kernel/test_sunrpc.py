"""Connections of the RPC client, by trees of files as sysfs has them."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from nsagent.kernel.sunrpc import list_rpc_flows, read_flows
from nsagent.model.facts import Flow
from nsagent.model.net import Endpoint, Family
from tests.kernel.formats.test_sunrpc_xprt import INFO
from tests.kernel.rows import FIXTURES

RECORDED = FIXTURES / "linux-6.1" / "xprt-switches"
CLOSED = "<closed>\n"


def make_flow(port: int) -> Flow:
    return Flow(Family.IPV4, Endpoint("127.0.0.1", port), Endpoint("127.0.0.1", 2049))


def read_tree(root: Path) -> list[Flow]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return read_flows(fd)
    finally:
        os.close(fd)


@pytest.fixture
def switches(tmp_path: Path) -> Path:
    """The directory of the switches, which has none yet, below the root of a tree."""
    made = tmp_path / "kernel" / "sunrpc" / "xprt-switches"
    made.mkdir(parents=True)
    return made


def add_transport(switches: Path, name: str, info: str, source: str = "127.0.0.1\n") -> Path:
    made = switches / "switch-0" / name
    made.mkdir(parents=True)
    (switches / "switch-0" / "xprt_switch_info").write_text("num_xprts=1\n")
    for file, text in (("xprt_info", info), ("srcaddr", source), ("dstaddr", "127.0.0.1\n")):
        (made / file).write_text(text)
    return made


def test_a_kernel_tells_both_connections_of_a_mount_and_not_the_way_back(switches: Path, tmp_path: Path) -> None:
    shutil.copytree(RECORDED, switches, dirs_exist_ok=True)
    assert read_tree(tmp_path) == [make_flow(871), make_flow(897)]


def test_a_transport_that_is_closed_gone_or_damaged_costs_no_other(switches: Path, tmp_path: Path) -> None:
    add_transport(switches, "xprt-0-tcp", CLOSED)
    add_transport(switches, "xprt-1-tcp", INFO, CLOSED)
    add_transport(switches, "xprt-2-tcp", "x")
    (add_transport(switches, "xprt-3-tcp", INFO) / "dstaddr").unlink()
    add_transport(switches, "xprt-4-tcp", INFO)
    assert read_tree(tmp_path) == [make_flow(805)]


def test_a_transport_that_connects_anew_while_it_is_read_is_left_out(switches: Path, tmp_path: Path) -> None:
    """Its address is a FIFO: who opens that has read the ports once, and waits."""
    made = add_transport(switches, "xprt-0-tcp", INFO)
    (made / "dstaddr").unlink()
    os.mkfifo(made / "dstaddr")

    def connect_anew() -> None:
        with (made / "dstaddr").open("w") as address:
            (made / "xprt_info").write_text(INFO.replace("805", "806"))
            address.write("127.0.0.1\n")

    other = threading.Thread(target=connect_anew)
    other.start()
    assert read_tree(tmp_path) == []
    other.join()


def test_where_sunrpc_is_not_loaded_nothing_is_mounted(tmp_path: Path) -> None:
    assert list_rpc_flows(str(tmp_path)) == []
