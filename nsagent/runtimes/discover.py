"""Which engines to ask: `--runtime`, else those of the environment and the sockets that exist.

Source: DOCKER_HOST in docker(1), CONTAINER_HOST in podman-remote(1). Only what speaks Docker's API
can be asked.
"""

import os
import stat
from collections.abc import Mapping

from nsagent.errors import UsageError
from nsagent.runtimes.docker import DockerSource

TIMEOUT_SECONDS = 2.0
"""How long one wait for an engine may last: no longer than the deadline of them all."""

_USUAL = {"docker": "unix:///var/run/docker.sock", "podman": "unix:///run/podman/podman.sock"}
_VARIABLES = (("docker", "DOCKER_HOST"), ("podman", "CONTAINER_HOST"))
# Below another root /var/run may be a link to this root's /run, so both names are tried.
_SOCKETS = (("docker", "var/run/docker.sock"), ("docker", "run/docker.sock"), ("podman", "run/podman/podman.sock"))


def parse_runtime_option(text: str) -> tuple[tuple[str, str], ...]:
    """The (kind, base URL) pairs of `docker=unix:///run/docker.sock,podman=...`; of `none` there are none.

    A kind alone stands for its usual socket, a path for `unix://` and it. Raises UsageError.
    """
    if text.strip() == "none":
        return ()
    return tuple(_parse_runtime(part.strip()) for part in text.split(","))


def discover_sources(option: str | None, environ: Mapping[str, str], root: str = "/") -> list[DockerSource]:
    """The engines to ask, in order; `root` is where the root directory of the host is seen.

    With `option` only those it names, else those of DOCKER_HOST and CONTAINER_HOST, and then the
    usual sockets below `root` that exist, each once, however many names lead to it. What is named
    is asked even if it is not there or cannot be read, so that this is told. Raises UsageError for
    `option` only: a DOCKER_HOST that suits docker does not have to suit nsagent.
    """
    if option is not None:
        return [DockerSource(url, TIMEOUT_SECONDS, kind) for kind, url in parse_runtime_option(option)]
    found = [(kind, _complete(environ[variable])) for kind, variable in _VARIABLES if environ.get(variable)]
    seen = {_identify(url) for _, url in found}
    for kind, path in _list_usual(environ, root):
        identity = _identify(f"unix://{path}")
        if identity is not None and identity not in seen:
            seen.add(identity)
            found.append((kind, f"unix://{path}"))
    return [DockerSource(url, TIMEOUT_SECONDS, kind) for kind, url in found]


def _parse_runtime(part: str) -> tuple[str, str]:
    """One `kind=address`."""
    kind, _, address = part.partition("=")
    expected = f"expected {' or '.join(_USUAL)}, as in docker=unix:///run/docker.sock, or none"
    if kind == "cri":
        raise UsageError(f"--runtime {part}: cri is not supported by this version; {expected}")
    if kind not in _USUAL:
        raise UsageError(f"--runtime {part!r}: unknown kind {kind!r}; {expected}")
    url = _complete(address or _USUAL[kind])
    scheme, _, rest = url.partition("://")
    if scheme not in ("unix", "tcp") or not rest:
        raise UsageError(f"--runtime {part}: {url!r} cannot be asked; expected unix:///PATH or tcp://HOST:PORT")
    return kind, url


def _complete(address: str) -> str:
    """The base URL of an address; a bare path is that of a unix socket."""
    return f"unix://{address}" if address.startswith("/") else address


def _list_usual(environ: Mapping[str, str], root: str) -> list[tuple[str, str]]:
    """The usual sockets below `root`, existing or not: the system's, then the user's."""
    runtime_dir = environ.get("XDG_RUNTIME_DIR", "").lstrip("/")
    rootless = (("docker", "docker.sock"), ("podman", "podman/podman.sock")) if runtime_dir else ()
    users = [(kind, f"{runtime_dir}/{path}") for kind, path in rootless]
    return [(kind, os.path.join(root, path)) for kind, path in (*_SOCKETS, *users)]


def _identify(url: str) -> tuple[int, int] | str | None:
    """What makes a socket the same one; its path where it may not be looked at, None where there is none."""
    path = url.removeprefix("unix://")
    try:
        status = os.stat(path)
    except PermissionError:
        return path
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISSOCK(status.st_mode) else None
