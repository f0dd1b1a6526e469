"""A process that goes by the name and the options of docker-proxy, and passes nothing on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

_LISTEN: Final = (
    "import socket; one = socket.create_server(('127.0.0.1', 0)); print(one.getsockname()[1], flush=True); input()"
)


class PlayedProxy(NamedTuple):
    """Who it is, and at which port of 127.0.0.1 it listens."""

    pid: int
    port: int


@contextmanager
def play_docker_proxy(directory: Path, port: int) -> Iterator[PlayedProxy]:
    """One that says that it passes on to this port of 127.0.0.1; its program is linked into the directory."""
    program = directory / "docker-proxy"
    program.symlink_to(os.path.realpath(sys.executable))
    told = ["-container-ip", "127.0.0.1", "-container-port", str(port)]
    command = [str(program), "-I", "-S", "-c", _LISTEN, *told]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield PlayedProxy(process.pid, int(process.stdout.readline()))
        process.communicate("")
