"""What stands above or below a table that leaves the terminal: of which host and moment it is, and what it lacks."""

from collections.abc import Sequence
from typing import Final, NamedTuple

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


class Summary(NamedTuple):
    """What is told of a table beside its rows."""

    title: str
    """What the rows are."""
    host: str
    taken_at: str
    counts: tuple[tuple[int, str], ...]
    """How many there are of what, each with its noun."""
    seen: str
    """A sentence: what was looked at."""
    complete: bool = True
    lacks: tuple[str, ...] = ()
    """The lines that a command has on stderr: printable, one for each way in which something could not be seen."""


def tell_title(view: View, counted_by: Sequence[str] = ()) -> str:
    """What the rows are."""
    return f"Sockets by {', '.join(counted_by)}" if view is View.TOP else _TITLES[view]


def summarize(snapshot: Snapshot, title: str) -> Summary:
    """That of rows of a snapshot."""
    coverage = snapshot.coverage
    whole = "Complete" if coverage.complete else "Not complete"
    return Summary(
        title=title,
        host=snapshot.host,
        taken_at=snapshot.taken_at,
        counts=(
            (len(snapshot.sockets), "socket" if len(snapshot.sockets) == 1 else "sockets"),
            (len(snapshot.netns), "netns"),
            (len(snapshot.containers), "container" if len(snapshot.containers) == 1 else "containers"),
        ),
        seen=f"{whole}: {coverage.processes.seen} processes and {coverage.netns.seen} netns were looked at.",
        complete=coverage.complete,
        lacks=tuple(coverage_lines(snapshot)),
    )
