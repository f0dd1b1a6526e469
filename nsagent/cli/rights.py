"""Which capabilities a command needs; all others are given back before it begins."""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from nsagent.cli.options import AGENT_SOCKET
from nsagent.errors import FormatError, NotRead
from nsagent.kernel.capabilities import Capability, give_back_capabilities, read_capabilities
from nsagent.model.choices import OwnersWanted


class Rights(NamedTuple):
    """The capabilities that there were at the start, and those that may be there since, as bit masks; -1 for all."""

    before: int
    kept: int


def give_back_rights(options: Mapping[str, Any]) -> Rights | None:
    """Keep what a command with these options needs, for the whole process: no other thread may be there yet.

    None where it cannot be told what there was.
    """
    with suppress(NotRead, FormatError):  # A process that cannot be sure of its rights keeps them.
        before = read_capabilities()
        return Rights(before, give_back_capabilities(list_needed(options, os.environ)))
    return None


def list_needed(options: Mapping[str, Any], environ: Mapping[str, str]) -> set[Capability]:
    """The capabilities that a command with these options needs."""
    needed = {Capability.DAC_READ_SEARCH}
    asks_alone = "agent_socket" in options and "engine" not in options
    if options.get("agent", asks_alone):  # The agent may run as another user.
        return needed | {Capability.DAC_OVERRIDE}
    if options.get("from_file") is None:
        needed |= {Capability.SYS_PTRACE}
        if makes_pass := "from_file" in options or "engine" in options:
            needed |= {Capability.SYS_ADMIN}
        if makes_pass and options.get("owners") is not OwnersWanted.CONTAINER:
            needed |= {Capability.NET_ADMIN}
        if not {"follow", "dry_run"}.isdisjoint(options):  # watch and the agent hear of sockets in all netns.
            needed |= {Capability.NET_ADMIN, Capability.NET_BROADCAST}
    if _writes_or_asks(options, environ):
        needed |= {Capability.DAC_OVERRIDE}
    return needed


def _writes_or_asks(options: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    """Whether somebody names a file to write or a socket to ask: either may be another user's."""
    if options.get("capture") is not None or options.get("file") is not None:
        return True
    if "agent" not in options and options.get("agent_socket", AGENT_SOCKET) != AGENT_SOCKET:
        return True
    if options.get("from_file") is not None:
        return False
    from nsagent.runtimes.places import names_socket

    return names_socket(options.get("runtime"), environ)
