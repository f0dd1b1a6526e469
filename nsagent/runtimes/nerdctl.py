"""What nerdctl calls its containers now: its store of names.

Source: nerdctl, pkg/namestore, pkg/labels, DataStore() in pkg/clientutil and ContainerStateDirPath()
in pkg/containerutil. The spec of a container bears the name that it was made under, also when
`nerdctl rename` gave that name to another one, and its state directory, `STORE/containers/NAMESPACE/ID`.
Beside that the file `STORE/names/NAMESPACE/NAME` holds the id of what is called NAME now; renaming
renames it. A store is its owner's alone.
"""

import os
from collections.abc import Callable, Mapping
from typing import Final

from nsagent.errors import RuntimeUnavailable
from nsagent.model.ids import ContainerId
from nsagent.runtimes.directory_source import ERRNOS_OF_ALL, list_entries, read_file
from nsagent.runtimes.places import find_below

_ID_BYTES: Final = 128


class NerdctlNames:
    """The names in the stores of a host, as one look at its bundles needs them.

    `root` is where the root directory of the host is seen, `check_wanted` raises once nobody waits for
    the names any longer, `entry_limit` bounds what is in a store.
    """

    def __init__(self, root: str, check_wanted: Callable[[], None], entry_limit: int) -> None:
        self._root = root
        self._check_wanted = check_wanted
        self._entry_limit = entry_limit
        self._indexes: dict[str, Mapping[str, str]] = {}

    def find_name(self, id_: ContainerId, namespace: str, made_as: str, state_directory: str) -> str | None:
        """What a container that was made under a name is called now; None where no store that can be read tells.

        Raises OSError where the reason may be another one than the store, and RuntimeUnavailable.
        """
        store = state_directory.removesuffix(f"/containers/{namespace}/{id_}")
        if store == state_directory or not store.startswith("/"):
            return None
        path = find_below(self._root, f"{store.lstrip('/')}/names/{namespace}")
        names = None if path is None else _open_directory(path)
        if path is None or names is None:
            return None
        try:
            if _read_id(names, made_as) == id_:
                return made_as
            if path not in self._indexes:
                self._indexes[path] = self._index(names)
            return self._indexes[path].get(id_)
        finally:
            os.close(names)

    def _index(self, names: int) -> Mapping[str, str]:
        """The names in a store by ids; costs 15 us each, also for containers that do not run."""
        index: dict[str, str] = {}
        try:
            listed = list_entries(names, self._entry_limit)
        except RuntimeUnavailable:  # Too many: those that were renamed have no name.
            return index
        for name in listed:
            self._check_wanted()
            index.setdefault(_read_id(names, name), name)
        return index


def _open_directory(path: str) -> int | None:
    """A directory, None if it cannot be read; raises OSError where the reason may be another one."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except ValueError:
        return None
    except OSError as err:
        if err.errno in ERRNOS_OF_ALL:
            raise
        return None


def _read_id(names: int, name: str) -> str:
    """The id that a name in this directory stands for, empty if that cannot be read."""
    try:
        content = None if "/" in name else read_file(names, name, _ID_BYTES)
    except (PermissionError, ValueError):
        return ""
    return content.decode("utf-8", "replace").strip() if isinstance(content, bytes) else ""
