"""The client of CRI as it is installed, or not: what it leaves on stderr, in the process, and in the way of its end."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.runtimes.cri import CriSource
from tests.runtimes.cri_server import answering, container, lists
from tests.runtimes.engine_server import serve
from tests.runtimes.test_cri_damage import MISBEHAVIOURS, silence

ID = "a" * 64
ASK = """
import sys, time
from nsagent.errors import RuntimeUnavailable
from nsagent.runtimes.cri import CriSource
from nsagent.runtimes.runtimes import Runtimes
runtimes = Runtimes([CriSource(sys.argv[1], float(sys.argv[2]))], float(sys.argv[2]), clock=time.monotonic)
runtimes.start()
containers, gaps, *_ = runtimes.collect()
print([container.name for container in containers], [(gap.reason.value, gap.detail) for gap in gaps])
"""


def ask_elsewhere(url: str, before: str = "", seconds: float = 10.0) -> subprocess.CompletedProcess[str]:
    """What a process that does nothing else says of an engine that has so long to answer."""
    return subprocess.run(
        [sys.executable, "-c", before + ASK, url, str(seconds)], capture_output=True, text=True, timeout=30, check=True
    )


@pytest.mark.parametrize("missing", ["grpc", "google.protobuf"])
def test_without_the_extra_it_is_told_how_to_install_it(tmp_path: Path, missing: str) -> None:
    with serve(tmp_path, silence) as url:
        done = ask_elsewhere(url, f"import sys; sys.modules[{missing!r}] = None")
    assert done.stdout == """[] [('missing_extra', "pip install 'nsagent[cri]' to ask it")]\n"""
    assert done.stderr == ""


def test_an_engine_that_is_absent_is_told_without_the_extra() -> None:
    done = ask_elsewhere("unix:///nonexistent", "import sys; sys.modules['grpc'] = None")
    assert done.stdout == "[] [('absent', 'No such file or directory (ENOENT)')]\n"


@pytest.mark.parametrize("behave", ["silence", "a status that is none", "GOAWAY", "NULs", "headers without end"])
def test_nothing_of_what_an_engine_does_reaches_stderr_or_keeps_the_process(tmp_path: Path, behave: str) -> None:
    """Nobody closes the runtimes here: the process ends all the same."""
    began = time.monotonic()
    with serve(tmp_path, MISBEHAVIOURS[behave]) as url:
        done = ask_elsewhere(url, seconds=0.5)
    assert done.stdout.startswith("[] [(")
    assert done.stderr == ""
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("name", ["a b.sock", "a%41.sock", "a?b#c.sock", "ä.sock"])
def test_any_path_of_a_socket_is_asked(tmp_path: Path, name: str) -> None:
    with serve(tmp_path, answering(lists([container(ID)])), name) as url:
        assert [one.name for one in CriSource(url, 5.0).list_containers()] == ["web"]


def test_a_proxy_in_the_environment_has_no_say(tmp_path: Path) -> None:
    proxies = "import os; os.environ.update(http_proxy='http://127.0.0.1:1', grpc_proxy='http://127.0.0.1:1')"
    with serve(tmp_path, answering(lists([container(ID)]))) as url:
        assert ask_elsewhere(url, proxies).stdout == "['web'] []\n"


def test_no_thread_of_grpcio_outlives_a_question(tmp_path: Path) -> None:
    with serve(tmp_path, answering(lists([container(ID)]))) as url:
        source = CriSource(url, 5.0)
        before = len(os.listdir("/proc/self/task"))
        for _ in range(3):
            source.list_containers()
        until = time.monotonic() + 1
        # The acceptor's threads of the test's own server come and go.
        while len(os.listdir("/proc/self/task")) > before and time.monotonic() < until:
            time.sleep(0.01)
        assert len(os.listdir("/proc/self/task")) <= before


def test_a_port_is_asked_as_well() -> None:
    with pytest.raises(RuntimeUnavailable) as raised:
        CriSource("tcp://127.0.0.1:1", 5.0).list_containers()
    assert raised.value.reason is Reason.REFUSED
