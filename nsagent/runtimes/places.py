"""Where names of containers may come from: what `--runtime` names, else the environment and the usual places of a host.

Source: DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH in docker(1), CONTAINER_HOST in
podman-remote(1), CONTAINER_RUNTIME_ENDPOINT in crictl; the default sockets of kubeadm
(constants_unix.go), k3s, k0s and microk8s. What is asked, and how, is each source's own business:
here is only which there are, and in which order.
"""

import os
import stat
from collections.abc import Hashable, Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from nsagent.errors import UsageError
from nsagent.runtimes.connect import read_owner

_LINKS: Final = 40


class SourceKind(StrEnum):
    """What is asked for names; the value is what `--runtime` takes, and the `source` of the records."""

    DOCKER = "docker"
    PODMAN = "podman"
    CRI = "cri"
    BUNDLES = "bundles"
    LOGS = "logs"


class PlaceState(StrEnum):
    """What becomes of a place.

    `asked`, or not: `absent`, nothing is there; `unfit`, something else is; `same`, what another place
    leads to as well; `left_out`, on purpose.
    """

    ASKED = "asked"
    ABSENT = "absent"
    UNFIT = "unfit"
    SAME = "same"
    LEFT_OUT = "left_out"


class Place(NamedTuple):
    """One place where names were looked for; `address` is a base URL or a directory.

    `named`: the user asked for it, by the option or a variable. `reason` is a few words where it is
    not asked. `tls` are the variables of docker's TLS that are set, and their values.
    """

    kind: SourceKind
    address: str
    named: bool = False
    state: PlaceState = PlaceState.ASKED
    reason: str | None = None
    tls: tuple[tuple[str, str], ...] = ()


KINDS_OF_DIRECTORIES: Final = frozenset({SourceKind.BUNDLES, SourceKind.LOGS})
_TLS_VARIABLES: Final = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
_VARIABLES: Final = ((SourceKind.DOCKER, "DOCKER_HOST"), (SourceKind.PODMAN, "CONTAINER_HOST"))
_CRI_VARIABLE: Final = "CONTAINER_RUNTIME_ENDPOINT"
# Below the root of the host; of several names of one socket the first that is there.
_SOCKETS: Final = (
    (SourceKind.CRI, ("run/containerd/containerd.sock",)),
    (SourceKind.CRI, ("run/k3s/containerd/containerd.sock",)),
    (SourceKind.CRI, ("run/k0s/containerd.sock",)),
    (SourceKind.CRI, ("var/snap/microk8s/common/run/containerd.sock",)),
    (SourceKind.CRI, ("run/crio/crio.sock",)),
    (SourceKind.CRI, ("run/cri-dockerd.sock",)),
    # A mounted /run is there without the link to it in /var.
    (SourceKind.DOCKER, ("var/run/docker.sock", "run/docker.sock")),
    (SourceKind.PODMAN, ("run/podman/podman.sock",)),
)
# Below the root of the host too; that of the logs is fixed in the kubelet's source.
_DIRECTORIES: Final = (
    (SourceKind.BUNDLES, "run/containerd/io.containerd.runtime.v2.task"),
    (SourceKind.BUNDLES, "run/k3s/containerd/io.containerd.runtime.v2.task"),
    (SourceKind.BUNDLES, "run/k0s/containerd/io.containerd.runtime.v2.task"),
    (SourceKind.BUNDLES, "var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task"),
    (SourceKind.BUNDLES, "run/docker/containerd/daemon/io.containerd.runtime.v2.task"),
    (SourceKind.BUNDLES, "run/containers/storage/overlay-containers"),
    (SourceKind.LOGS, "var/log/containers"),
)
_ROOTLESS: Final = ((SourceKind.DOCKER, "docker.sock"), (SourceKind.PODMAN, "podman/podman.sock"))
_DOCKER_NAMES: Final = ("docker.sock", "podman.sock")


def parse_runtime_option(text: str) -> tuple[tuple[SourceKind, str | None], ...]:
    """The (kind, address) pairs of `docker=unix:///run/docker.sock,logs=/var/log/containers`; of `none` there are none.

    An address is a base URL, for which a path stands too, or a directory; None, the usual places
    of that kind, where a kind stands alone. Raises UsageError.
    """
    if text.strip() == "none":
        return ()
    return tuple(_parse_runtime(part.strip()) for part in text.split(","))


def list_places(option: str | None, environ: Mapping[str, str], root: str = "/") -> tuple[Place, ...]:
    """Every place that was looked at, in order; `root` is where the root directory of the host is seen.

    With `option` only what it names. Else the runtimes that the environment names, the usual
    sockets, and the directories that tell without a runtime. Paths in the option and in variables
    that name a runtime are taken as they are, the others lie below `root`. Each socket and
    directory is asked once, however many names lead to it. What is named is asked even if it is
    not there or cannot be read, so that this is told. Raises UsageError for `option` only: a
    DOCKER_HOST that suits docker does not have to suit nsagent.
    """
    distinct: dict[tuple[SourceKind, str], Place] = {}
    tls = tuple((name, environ[name]) for name in _TLS_VARIABLES if environ.get(name))
    for place in _list_found(environ, root) if option is None else _list_chosen(option, root):
        # A variable most often names a usual place.
        own_tls = tls if place.kind is SourceKind.DOCKER and place.address.startswith("tcp://") else ()
        distinct.setdefault((place.kind, place.address), place._replace(tls=own_tls))
    seen: dict[Hashable, str] = {}
    return tuple(_judge(place, seen) for place in distinct.values())


def _parse_runtime(part: str) -> tuple[SourceKind, str | None]:
    """One `kind=address`."""
    name, _, address = part.partition("=")
    kinds = [kind.value for kind in SourceKind]
    if name not in kinds:
        expected = f"expected {', '.join(kinds)}, as in docker=unix:///run/docker.sock, or none"
        raise UsageError(f"--runtime {part!r}: unknown kind {name!r}; {expected}")
    kind = SourceKind(name)
    if not address:
        return kind, None
    if kind in KINDS_OF_DIRECTORIES:
        if not address.startswith("/"):
            raise UsageError(f"--runtime {part}: {address!r} is no directory; expected a path like /run")
        return kind, address
    url = _complete(address)
    scheme, _, rest = url.partition("://")
    if scheme not in ("unix", "tcp") or not rest:
        raise UsageError(f"--runtime {part}: {url!r} cannot be asked; expected unix:///PATH or tcp://HOST:PORT")
    return kind, url


def _complete(address: str) -> str:
    """The base URL of an address; a bare path is that of a unix socket."""
    return f"unix://{address}" if address.startswith("/") else address


def names_socket(option: str | None, environ: Mapping[str, str]) -> bool:
    """Whether the option or a variable names a socket, or XDG_RUNTIME_DIR is another user's, who may have one there.

    Those that are looked for are the system's or the own user's.
    """
    if option is not None:
        return "=" in option
    if any(environ.get(variable) for variable in (*(name for _, name in _VARIABLES), _CRI_VARIABLE)):
        return True
    try:
        return os.stat(environ.get("XDG_RUNTIME_DIR", "")).st_uid != os.geteuid()
    except (OSError, ValueError):
        return False


def _list_chosen(option: str, root: str) -> Iterator[Place]:
    """What the option names; a kind alone, its usual places that are there, or the first, so that it is told."""
    for kind, address in parse_runtime_option(option):
        if address is not None:
            yield Place(kind, address, named=True)
            continue
        usual = [place for place in (*_list_sockets(root), *_list_directories(root)) if place.kind is kind]
        there = [place for place in usual if _look_at(place)[1] is PlaceState.ASKED]
        for place in there or usual[:1]:
            if place.state is not PlaceState.ASKED:
                raise UsageError(f"--runtime {kind}: {place.address} cannot be asked: {place.reason}")
            yield place._replace(named=True)


def _list_found(environ: Mapping[str, str], root: str) -> Iterator[Place]:
    """What to look at where nobody chose."""
    for kind, variable in _VARIABLES:
        if environ.get(variable):
            yield Place(kind, _complete(environ[variable]), named=True)
    if environ.get(_CRI_VARIABLE):
        yield _read_cri_variable(environ[_CRI_VARIABLE])
    yield from _list_sockets(root)
    runtime_dir = environ.get("XDG_RUNTIME_DIR", "").lstrip("/")
    for kind, path in _ROOTLESS if runtime_dir else ():
        name = f"{runtime_dir}/{path}"
        place = _place_below(root, kind, name, find_below(root, name), "unix://")
        if place.state is not PlaceState.ASKED:
            yield place
            continue
        # `su` takes the variable along. Another user's runtime may say anything, and asking would start it.
        is_own = read_owner(place.address) in (None, os.geteuid())
        yield place if is_own else place._replace(state=PlaceState.LEFT_OUT, reason="another user's")
    yield from _list_directories(root)


def _read_cri_variable(text: str) -> Place:
    """What crictl asks; of old it was given dockerd's socket, which speaks no CRI."""
    place = Place(SourceKind.CRI, _complete(text), named=True)
    name = os.path.basename(os.path.realpath(place.address.removeprefix("unix://")))
    if name not in _DOCKER_NAMES:
        return place
    return place._replace(state=PlaceState.LEFT_OUT, reason="speaks Docker's API and no CRI")


def _list_sockets(root: str) -> Iterator[Place]:
    """The usual sockets of the system's runtimes, existing or not."""
    for kind, names in _SOCKETS:
        paths = [find_below(root, name) for name in names]
        there = next((path for path in paths if path and os.path.lexists(path)), None)
        path = there or (None if None in paths else paths[0])
        yield _place_below(root, kind, names[0], path, "unix://")


def _list_directories(root: str) -> Iterator[Place]:
    """The usual directories that tell names without a runtime, existing or not."""
    for kind, name in _DIRECTORIES:
        yield _place_below(root, kind, name, find_below(root, name))


def _place_below(root: str, kind: SourceKind, name: str, path: str | None, scheme: str = "") -> Place:
    """The place called `name` on the host, which is `path` from here; with None, where links loop, not to be asked."""
    if path is None:
        # Followed from here such a link may lead out of `root`.
        address = f"{scheme}{os.path.join(root, name)}"
        return Place(kind, address, state=PlaceState.LEFT_OUT, reason="too many symbolic links (ELOOP)")
    return Place(kind, f"{scheme}{path}")


def find_below(root: str, path: str) -> str | None:
    """Where `path` of the host lies as seen from here: its links are followed below `root`, as on the host.

    None where that goes round in a circle.
    """
    if root == "/":
        return f"/{path}"
    done: list[str] = []
    rest = path.split("/")[::-1]
    links = 0
    while rest:
        part = rest.pop()
        if part == "..":
            done = done[:-1]
            continue
        try:
            target = os.readlink(os.path.join(root, *done, part))
        except (OSError, ValueError):
            # No link; or nothing that may be looked at, which is told when it is asked.
            done += [part] if part not in ("", ".") else []
            continue
        links += 1
        if links > _LINKS:
            return None
        done = [] if target.startswith("/") else done
        rest += target.split("/")[::-1]
    return os.path.join(root, *done)


def _judge(place: Place, seen: dict[Hashable, str]) -> Place:
    """The place, or why it is not asked; `seen` maps what is asked to its address, and is added to."""
    if place.state is not PlaceState.ASKED:
        return place
    identity, state, reason = _look_at(place)
    if place.named:
        state, reason = PlaceState.ASKED, None
    if state is PlaceState.ASKED and identity in seen:
        state, reason = PlaceState.SAME, f"the same as {seen[identity]}"
    if state is not PlaceState.ASKED:
        return place._replace(state=state, reason=reason)
    seen[identity] = place.address
    return place


def _look_at(place: Place) -> tuple[Hashable, PlaceState, str | None]:
    """What is there: one thing by whatever name, whether to ask it, and why not.

    What may not be looked at is asked, so that it is told.
    """
    address = place.address
    path = address.removeprefix("unix://")
    if not path.startswith("/"):
        return address, PlaceState.ASKED, None
    is_directory = place.kind in KINDS_OF_DIRECTORIES
    fits, what = (stat.S_ISDIR, "directory") if is_directory else (stat.S_ISSOCK, "socket")
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return address, PlaceState.ABSENT, f"no such {what}"
    except (OSError, ValueError):
        return address, PlaceState.ASKED, None
    identity = (status.st_dev, status.st_ino)
    if not fits(status.st_mode):
        return identity, PlaceState.UNFIT, f"is no {what}"
    return identity, PlaceState.ASKED, None
