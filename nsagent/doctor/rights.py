"""What this process may do, and what each right that it lacks would show.

The profiles are those that docs/security.md describes; capabilities(7).
"""

from collections.abc import Iterator
from typing import Final

from nsagent.errors import FormatError, NotRead
from nsagent.kernel.capabilities import Capability, read_capabilities
from nsagent.model.check import Check, CheckState

_SHOWS: Final = {
    Capability.SYS_PTRACE: "who holds the sockets of other users",
    Capability.DAC_READ_SEARCH: "the files of other users' processes, and of engines",
    Capability.SYS_ADMIN: "netns from inside: sock_diag, and those that no process is in",
    Capability.NET_ADMIN: "netns that only a socket keeps",
    Capability.NET_BROADCAST: "to watch and run: sockets of other netns that end between two passes",
}
"""In the order in which they matter."""

_PROFILES: Final = (
    ("events", tuple(_SHOWS)),
    ("base", (Capability.SYS_PTRACE, Capability.DAC_READ_SEARCH, Capability.SYS_ADMIN)),
    ("observer", (Capability.SYS_PTRACE, Capability.DAC_READ_SEARCH)),
)
_KIND: Final = "rights"


def check_rights(mask: int | None = None) -> Check:
    """What the capabilities of `mask` amount to, by default those that this process has."""
    try:
        mask = read_capabilities() if mask is None else mask
    except (NotRead, FormatError) as err:
        return Check("capabilities", _KIND, CheckState.FAILED, detail=str(err))
    lacking = [each for each in _SHOWS if not mask >> each & 1]
    profile = next((name for name, needed in _PROFILES if not set(needed) & set(lacking)), "plain user")
    if not lacking:
        return Check(profile, _KIND, CheckState.USED)
    unseen = "; ".join(_SHOWS[each] for each in lacking)
    fix = "add " + ", ".join(f"CAP_{each.name}" for each in lacking)
    state = CheckState.USED if profile == "base" else CheckState.FAILED
    return Check(profile, _KIND, state, detail=f"not shown: {unseen}", fix=fix)


def check_given_back(kept: int) -> Iterator[Check]:
    """What is still there of the capabilities that are not of the mask `kept`; nothing where they have gone."""
    left = read_capabilities() & ~kept
    if not left:
        return
    known = [f"CAP_{each.name}" for each in Capability if left >> each & 1]
    others = left.bit_count() - len(known)
    told = ", ".join([*known, f"{others} others"] if others else known)
    fix = "let its seccomp filter pass capset, or start it with fewer"
    yield Check("not given back", _KIND, CheckState.FAILED, detail=f"not needed: {told}", fix=fix)
