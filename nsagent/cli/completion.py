"""Names that the shell completes."""

import os
import re
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Final

from nsagent.errors import NsagentError
from nsagent.model.ids import ContainerId

_DEADLINE_SECONDS: Final = 0.5
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")


def list_container_names(incomplete: str) -> list[str]:
    """Those of find_container_names(), for the shell."""
    return find_container_names(incomplete, _DEADLINE_SECONDS)


def find_container_names(incomplete: str, seconds: float) -> list[str]:
    """The names of containers that start so, as far as they are told in time; [] if nobody can be asked.

    Only those that are a plain word to every shell: whoever runs a container chooses its name and
    its labels, and the shell takes what it is offered for typed text.
    """
    try:
        names = _read_names(os.environ, seconds)
    except NsagentError:
        # As with a bad NSAGENT_RUNTIME: the command itself will say so, a half-typed line is no place for it.
        return []
    return sorted(name for name in names if name.startswith(incomplete) and _WORD.fullmatch(name))


def _read_names(environ: Mapping[str, str], seconds: float) -> set[str]:
    from nsagent.query.containers import list_names
    from nsagent.runtimes.discover import discover_runtimes

    option = environ.get("NSAGENT_RUNTIME") or None
    root = os.path.abspath(environ.get("NSAGENT_HOST_ROOT") or "/")
    with closing(discover_runtimes(option, environ, root, clock=time.monotonic, deadline_seconds=seconds)) as runtimes:
        runtimes.start()
        answers = runtimes.collect(_list_wanted)
    return {name for container in answers.containers for name in list_names(container)}


def _list_wanted() -> tuple[ContainerId, ...]:
    """An id that no runtime has.

    Runtimes are asked one group after the other while a container that is wanted has no name. Here all
    names are wanted, and who has processes is not looked at: so that all are asked, one must never
    be found.
    """
    return (ContainerId(""),)
