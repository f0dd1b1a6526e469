"""What stands above or below a table that leaves the terminal: of which host and moment it is, and what it lacks."""

from collections.abc import Sequence
from typing import Final

from nsagent.model.choices import View
from nsagent.model.snapshot import Snapshot
from nsagent.report.coverage import coverage_lines

_TITLES: Final = {
    View.SOCKETS: "Sockets",
    View.LISTENERS: "Listeners",
    View.CONNECTIONS: "Connections",
    View.NETNS: "Network namespaces",
    View.CONTAINERS: "Containers",
}


def tell_title(view: View, counted_by: Sequence[str] = ()) -> str:
    """What the rows are."""
    return f"Sockets by {', '.join(counted_by)}" if view is View.TOP else _TITLES[view]


def tell_counts(snapshot: Snapshot) -> tuple[tuple[int, str], ...]:
    """How many there are of what a snapshot holds, each with its noun."""
    return (
        (len(snapshot.sockets), "socket" if len(snapshot.sockets) == 1 else "sockets"),
        (len(snapshot.netns), "netns"),
        (len(snapshot.containers), "container" if len(snapshot.containers) == 1 else "containers"),
    )


def tell_seen(snapshot: Snapshot) -> str:
    """How much the pass behind a snapshot looked at, and whether it saw all of it."""
    coverage = snapshot.coverage
    whole = "Complete" if coverage.complete else "Not complete"
    return f"{whole}: {coverage.processes.seen} processes and {coverage.netns.seen} netns were looked at."


def tell_lacks(snapshot: Snapshot) -> list[str]:
    """The lines that a command has on stderr: printable, one for each way in which something could not be seen."""
    return coverage_lines(snapshot)
