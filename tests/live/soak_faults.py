"""What goes wrong around an agent, one thing after the other by chance, and all of it well again at the end."""

import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.live.soak_bed import SoakBed

RECEIVER_PORT = 9470
DISK_BYTES = 1 << 20
KINDS = ("gone", "full", "fifo", "http", "well")
"""Of reports: where their outputs are, and so what happens to them."""
EACH = 6


class Faults:
    """A bed in which things go wrong; `mend` makes all of them well again, `close` lets go of what stands outside."""

    def __init__(self, soak: SoakBed, directory: Path) -> None:
        self._soak = soak
        self._directory = directory
        self._engine = directory / "docker.sock"
        self._silent: socket.socket | None = None
        self._end_receiver: Callable[[], object] | None = None
        self._edits = 0
        for name in ("gone", "full", "fifo", "well"):
            (directory / name).mkdir(mode=0o700)
        options = f"size={DISK_BYTES},mode=0700"
        soak.closed.run("mount", "-t", "tmpfs", "-o", options, "soak", str(directory / "full"))
        self.write_config()

    def storm(self, seed: int, goes_on: Callable[[], bool]) -> list[str]:
        """One fault after the other, or the end of one, while it goes on; what was done, in its order."""
        switches = (
            self._remove_directory,
            self._make_directory,
            self._fill_disk,
            self._empty_disk,
            self._put_fifos,
            self._take_fifos,
            self._end_receiving,
            self._receive,
            self._keep_silent,
            self._let_engine_go,
            self._break_config,
            self.write_config,
            self._hang_up,
        )
        chance = random.Random(seed)
        done = []
        while goes_on():
            switch = chance.choice(switches)
            switch()
            done.append(switch.__name__)
            self._soak.look()
            time.sleep(chance.uniform(0.0, 0.3))
        return done

    def break_everything(self) -> None:
        """Every fault at once, but those of the config."""
        self._remove_directory()
        self._fill_disk()
        self._put_fifos()
        self._end_receiving()
        self._keep_silent()

    def mend(self) -> None:
        """Put everything right that may be wrong."""
        self._make_directory()
        self._empty_disk()
        self._take_fifos()
        self._receive()
        self._let_engine_go()
        self.write_config()

    def close(self) -> None:
        """Let go of the engine's socket, and of the receiver."""
        self._let_engine_go()
        self._end_receiving()

    def write_config(self) -> None:
        """A good config, another one each time."""
        self._edits += 1
        names = [f"{kind}-{number}" for kind in KINDS for number in range(EACH)]
        self._soak.agent.write_config(
            *(self._make_report(name) for name in names),
            interval=f"{1 + self._edits % 2}s",
            runtime=f"docker=unix://{self._engine}",
        )

    def path_of(self, name: str) -> Path:
        """Where a report is written, as the agent sees it, unless it is posted."""
        return self._directory / name.partition("-")[0] / f"{name}.json"

    def _make_report(self, name: str) -> dict[str, Any]:
        kind = name.partition("-")[0]
        output: dict[str, Any] = {"type": "file", "path": str(self.path_of(name))}
        if kind == "http":
            url = f"http://127.0.0.1:{RECEIVER_PORT}/{name}"
            output = {"type": "http", "url": url, "timeout": "1s", "spool": {"path": str(self._directory / name)}}
        return {"name": name, "every": "1s", "format": "json", "outputs": [output]}

    def _remove_directory(self) -> None:
        """Away in one step: removed file by file, it would stay if a report were written meanwhile."""
        away = self._directory / "away"
        shutil.rmtree(away, ignore_errors=True)
        with suppress(FileNotFoundError):
            (self._directory / "gone").rename(away)

    def _make_directory(self) -> None:
        (self._directory / "gone").mkdir(mode=0o700, exist_ok=True)

    def _fill_disk(self) -> None:
        ballast = Path(self._soak.closed.root + str(self._directory / "full" / "ballast"))
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:  # The file system ends it: ENOSPC.
                file.write(bytes(1 << 14))

    def _empty_disk(self) -> None:
        Path(self._soak.closed.root + str(self._directory / "full" / "ballast")).unlink(missing_ok=True)

    def _put_fifos(self) -> None:
        for number in range(EACH):
            path = self.path_of(f"fifo-{number}")
            fifo = path.with_suffix(".fifo")
            os.mkfifo(fifo, 0o600)
            fifo.rename(path)

    def _take_fifos(self) -> None:
        for number in range(EACH):
            path = self.path_of(f"fifo-{number}")
            if path.is_fifo():
                path.unlink(missing_ok=True)

    def _receive(self) -> None:
        if self._end_receiver is None:
            self._end_receiver = self._soak.start_peer("receive", RECEIVER_PORT)

    def _end_receiving(self) -> None:
        if self._end_receiver is not None:
            self._end_receiver()
            self._end_receiver = None

    def _keep_silent(self) -> None:
        if self._silent is None:
            self._silent = socket.socket(socket.AF_UNIX)
            self._silent.bind(str(self._engine))
            self._silent.listen(64)

    def _let_engine_go(self) -> None:
        if self._silent is not None:
            self._silent.close()
            self._silent = None
            self._engine.unlink()

    def _break_config(self) -> None:
        new = self._soak.agent.config.with_suffix(".new")
        new.write_text("version: 1\nreports:\n  - name: r\n    evry: 1s\n")
        new.rename(self._soak.agent.config)

    def _hang_up(self) -> None:
        os.kill(self._soak.pid, signal.SIGHUP)
