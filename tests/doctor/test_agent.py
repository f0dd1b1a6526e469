"""What an agent would find: real directories, a real port, a real config."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from nsagent.agent.listeners import split_listen
from nsagent.config.model import Config
from nsagent.doctor.agent import check_agent
from nsagent.model.check import Check, CheckState
from tests.live.capabilities import Capability, require


def check(*outputs: dict[str, Any], **settings: Any) -> list[Check]:
    reports = [{"name": "r", "every": "1m", "outputs": list(outputs)}] if outputs else []
    config = Config.model_validate({"version": 1, "socket": None, "reports": reports, **settings})
    return list(check_agent(config, split_listen))


def test_a_directory_that_can_be_written_to_tells_its_room(tmp_path: Path) -> None:
    (told,) = check({"type": "file", "path": f"{tmp_path}/r.json"})
    assert (told.subject, told.state, told.fix) == (str(tmp_path), CheckState.USED, None)
    assert "MiB are free" in str(told.detail)


def test_a_directory_that_is_not_there_is_to_be_made(tmp_path: Path) -> None:
    (told,) = check({"type": "file", "path": f"{tmp_path}/gone/r.json"})
    assert told == Check(
        f"{tmp_path}/gone",
        "disk",
        CheckState.FAILED,
        detail="No such file or directory",
        fix=f"mkdir -m 0750 -p {tmp_path}/gone",
    )


def test_a_directory_of_another_user_is_left_to_an_agent_of_theirs(tmp_path: Path) -> None:
    require(Capability.ROOT)
    os.chown(tmp_path, 65534, 65534)
    assert check({"type": "file", "path": f"{tmp_path}/r.json"}) == [
        Check(str(tmp_path), "disk", CheckState.UNUSED, detail="for an agent of uid 65534 alone, whose it is")
    ]


def test_each_directory_is_told_once_and_one_of_a_history_is_for_nobody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o775)
    outputs = [{"type": "file", "path": f"{tmp_path}/{name}"} for name in "ab"]
    (told,) = check(*outputs, history={"path": f"{tmp_path}/history.db"})
    assert told.state is CheckState.FAILED
    assert told.fix is not None
    assert "chmod go-w" in told.fix


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_a_port_that_somebody_listens_on_is_told_with_how_to_see_who(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address.strip("[]"), 0))
        listener.listen()
        port = listener.getsockname()[1]
        (taken,) = check(http={"listen": f"{address}:{port}"})
    assert (taken.state, taken.fix) == (CheckState.UNUSED, f"nsagent scan --listening --port {port}")
    assert check(http={"listen": f"{address}:{port}"})[0].state is CheckState.USED


def test_an_address_that_is_not_there_is_told() -> None:
    (told,) = check(http={"listen": "192.0.2.1:9469", "token_file": "/etc/nsagent/token"})
    assert (told.state, told.fix) == (CheckState.FAILED, "set http.listen")


def test_the_directory_of_the_socket_is_for_nobody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (open_,) = check(socket=f"{tmp_path}/agent.sock")
    assert (open_.state, open_.detail) == (CheckState.FAILED, "its directory is open to others")
    tmp_path.chmod(0o700)
    assert check(socket=f"{tmp_path}/agent.sock")[0].state is CheckState.USED
    (absent,) = check(socket=f"{tmp_path}/new/agent.sock")
    assert (absent.state, absent.detail) == (CheckState.USED, "its directory will be made")
    assert not os.path.exists(f"{tmp_path}/new")
