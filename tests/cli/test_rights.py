"""Which capabilities a command needs; that the others are gone then is tested in tests/live."""

import os
from pathlib import Path
from typing import Any

import pytest

from nsagent.cli.options import AGENT_SOCKET
from nsagent.cli.rights import list_needed
from nsagent.kernel.capabilities import Capability
from nsagent.model.choices import OwnersWanted

READ = {Capability.DAC_READ_SEARCH}
LOOK = READ | {Capability.SYS_PTRACE}
PASS = LOOK | {Capability.SYS_ADMIN, Capability.NET_ADMIN}
OTHERS = {Capability.DAC_OVERRIDE}


@pytest.mark.parametrize(
    ("options", "environ", "needed"),
    [
        pytest.param({"from_file": None}, {}, PASS, id="a pass"),
        pytest.param({"engine": "auto"}, {}, PASS, id="a capture to standard output"),
        pytest.param({}, {}, LOOK, id="doctor"),
        pytest.param({"from_file": Path("a")}, {}, READ, id="a replay"),
        pytest.param({"from_file": Path("a"), "runtime": "docker=unix:///a"}, {}, READ, id="a replay asks nobody"),
        pytest.param(
            {"engine": "auto", "follow": False}, {}, PASS | {Capability.NET_BROADCAST}, id="events of all netns"
        ),
        pytest.param({"engine": None, "dry_run": False}, {}, PASS | {Capability.NET_BROADCAST}, id="the agent itself"),
        pytest.param(
            {"from_file": None, "owners": OwnersWanted.CONTAINER}, {}, PASS - {Capability.NET_ADMIN}, id="by cgroups"
        ),
        pytest.param({"from_file": None, "capture": Path("a")}, {}, PASS | OTHERS, id="a pass that is kept"),
        pytest.param({"engine": "auto", "file": Path("a")}, {}, PASS | OTHERS, id="a capture"),
        pytest.param({"from_file": None, "runtime": "docker=unix:///a"}, {}, PASS | OTHERS, id="a socket by option"),
        pytest.param({"from_file": None, "runtime": "docker"}, {}, PASS, id="the usual socket"),
        pytest.param({"from_file": None}, {"DOCKER_HOST": "unix:///a"}, PASS | OTHERS, id="a socket by variable"),
        pytest.param({"from_file": None, "agent": True, "agent_socket": Path("a")}, {}, READ | OTHERS, id="the agent"),
        pytest.param({"from_file": None, "agent": False, "agent_socket": Path("a")}, {}, PASS, id="not the agent"),
        pytest.param({"agent_socket": Path("a")}, {}, READ | OTHERS, id="status"),
        pytest.param({"engine": "auto", "agent_socket": AGENT_SOCKET}, {}, PASS, id="the usual agent beside a pass"),
        pytest.param({"engine": "auto", "agent_socket": Path("a")}, {}, PASS | OTHERS, id="an agent beside a pass"),
        pytest.param({"from_file": None}, {"XDG_RUNTIME_DIR": "/nowhere"}, PASS, id="no runtime directory"),
    ],
)
def test_a_command_needs_what_its_reads_need(
    options: dict[str, Any], environ: dict[str, str], needed: set[Capability]
) -> None:
    assert list_needed(options, environ) == needed


def test_the_runtime_directory_of_another_user_may_have_a_socket_of_theirs(tmp_path: Path) -> None:
    """/proc/1 is root's whoever asks; a test of a plain user has the other case."""
    own = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert list_needed({"from_file": None}, own) == PASS
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
        assert list_needed({"from_file": None}, own) == PASS | OTHERS
