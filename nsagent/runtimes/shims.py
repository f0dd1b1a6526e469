"""Which containers have a network stack of their own, by the shims that containerd keeps beside their bundles.

Source: containerd, core/runtime/v2/binary.go and cmd/containerd-shim-runc-v2: in `NAMESPACE/ID` the
file `shim-binary-path` holds the path of the shim, and `runtime` what runc's shim starts in the
place of runc. No runtime's list tells that of every container, and a scan has to say whose sockets
it cannot see; so this is read in every pass, and nothing else of the bundle is. Of a pod in
containerd 2 its sandbox alone has a shim.
"""

import os
from collections.abc import Iterator

from nsagent.identity.sandboxed import name_sandbox
from nsagent.model.container import Container, NameState
from nsagent.model.ids import ContainerId, is_oci_id
from nsagent.runtimes.directory_source import ENTRY_LIMIT, DirectorySource, list_entries

_FILES = ("shim-binary-path", "runtime")
_PATH_BYTES = 4096


class ShimSource(DirectorySource):
    """One directory of containerd's bundles: those containers that are sandboxed, without a name.

    What cannot be read of one costs no other one: the files are the runtime's alone.
    """

    def __init__(
        self, directory: str, name: str = "shims", *, named: bool = True, entry_limit: int = ENTRY_LIMIT
    ) -> None:
        super().__init__(directory, name, named=named, entry_limit=entry_limit)

    def _read(self, descriptor: int) -> tuple[Container, ...]:
        return tuple(self._find_sandboxed(descriptor))

    def _find_sandboxed(self, descriptor: int) -> Iterator[Container]:
        """One record for each; costs 15 us for a container."""
        left = self.entry_limit
        for namespace in list_entries(descriptor, left):
            try:
                directory = os.open(namespace, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            except OSError:
                continue
            try:
                ids = list_entries(directory, left)
                left -= len(ids)
                for id_ in ids:
                    self.check_wanted()
                    sandboxed = _find_kernel(directory, id_) if is_oci_id(id_) else None
                    if sandboxed is not None:
                        yield Container(
                            ContainerId(id_), None, NameState.UNKNOWN, None, None, True, "bundles", sandboxed=sandboxed
                        )
            finally:
                os.close(directory)


def _find_kernel(directory: int, id_: str) -> str | None:
    """What sandboxes a container, None if nothing does."""
    programs = (_read_program(directory, f"{id_}/{name}") for name in _FILES)
    return next(filter(None, map(name_sandbox, programs)), None)


def _read_program(directory: int, path: str) -> str:
    """What a file names, empty where it cannot be read."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=directory)
    except OSError:
        return ""
    try:
        return os.read(file, _PATH_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
    finally:
        os.close(file)
