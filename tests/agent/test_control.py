"""Where an agent is asked, when there is nothing left to ask it with."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nsagent.agent.control import Control, serve_http, serve_socket
from nsagent.agent.metrics import Metrics
from nsagent.config.model import Http
from nsagent.errors import ServeFailed
from nsagent.report.changes import change_record
from nsagent.report.prom import make_families
from tests.agent.boards import make_board
from tests.kernel.conftest import few_fds, same_fds
from tests.live.deadlines import until

__all__ = ["few_fds", "same_fds"]

pytestmark = pytest.mark.usefixtures("same_fds")


@pytest.mark.parametrize("kind", ["http", "socket"])
def test_without_fds_it_is_served_or_refused_and_nothing_is_left_behind(
    kind: str, few_fds: Callable[[int], None], tmp_path: Path
) -> None:
    board, metrics, path = make_board(), Metrics(make_families, clock=lambda: 0.0), tmp_path / "run" / "agent.sock"

    def serve() -> Control:
        if kind == "http":
            return serve_http(
                Http.model_validate({"listen": "127.0.0.1:0"}), board, metrics, change_record, clock=lambda: 0.0
            )
        return serve_socket(str(path), board, metrics, change_record, clock=lambda: 0.0)

    threads, served = threading.active_count(), []
    for count in range(12):
        few_fds(count)
        try:
            control = serve()
        except ServeFailed:
            served.append(False)
        else:
            control.close()
            served.append(True)
        until(lambda: threading.active_count() == threads, "its threads have ended")
        assert not path.exists()
    assert served == sorted(served)
    assert set(served) == {False, True}
