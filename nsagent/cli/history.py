"""`nsagent history`: what the agent remembers of this host."""

import os
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from nsagent.cli.completion import list_change_kinds, list_container_names
from nsagent.cli.options import PodNames, Printing, Texts
from nsagent.cli.tell import tell
from nsagent.errors import EXIT_PARTIAL, HistoryError, UsageError
from nsagent.model.choices import View

if TYPE_CHECKING:
    from nsagent.agent.history import HistoryReader
    from nsagent.agent.history_read import Break, Wanted
    from nsagent.report.render import OutputOptions

DEFAULT_PATH: Final = Path("/var/lib/nsagent/history.db")
_MOST_BREAKS: Final = 5
"""That are told one by one: the last ones."""


class WhichChanges(NamedTuple):
    """Which changes, of which containers."""

    container: Annotated[
        Texts,
        typer.Option(
            "--container",
            "-c",
            metavar="NAME",
            help="Container by name, id, id prefix or [NS/]POD/CONTAINER, as it was called then.",
            autocompletion=list_container_names,
        ),
    ] = None
    pod: PodNames = None
    kind: Annotated[
        Texts,
        typer.Option(
            "--kind",
            metavar="CHANGE",
            help="new_listener, listener_gone, new_peer, holder_changed, state_changed, opened, closed, "
            "container_come or container_gone.",
            autocompletion=list_change_kinds,
        ),
    ] = None
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="From then on: 30m, 2h or 7d ago, or RFC 3339.")
    ] = None
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Up to then.")] = None

    def make_wanted(self, now: datetime) -> "Wanted":
        """These options as values; raises UsageError."""
        from nsagent.agent.history_read import Wanted
        from nsagent.cli.changes import parse_kinds, parse_time, tell_time
        from nsagent.query.filter import split_values

        since = None if self.since is None else tell_time(parse_time(self.since, "--since", now))
        until = None if self.until is None else tell_time(parse_time(self.until, "--until", now))
        if since is not None and until is not None and until < since:
            raise UsageError(f"--until: expected a time after --since, {since}, got {until}")
        return Wanted(
            since=since,
            until=until,
            kinds=parse_kinds(self.kind, "--kind"),
            containers=split_values(self.container, "--container"),
            pods=split_values(self.pod, "--pod"),
        )


def history(
    *,
    path: Annotated[
        Path | None,
        typer.Option("--path", readable=False, envvar="NSAGENT_HISTORY", metavar="FILE", help="Where the history is."),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", readable=False, metavar="FILE", help="The agent's config, which says where it is."),
    ] = None,
    which: WhichChanges,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Not what changed, but what was open then.")
    ] = None,
    printing: Printing,
) -> None:
    """What has changed on this host, the newest last, or with --at what was open at a time.

    The agent writes it where its config has `history`; without --path and --config it is looked for in
    /var/lib/nsagent/history.db.
    """
    from nsagent.agent.history import HistoryReader
    from nsagent.cli.changes import parse_time, tell_time

    output = printing.make_options(View.CHANGES)
    now = datetime.now(UTC)
    wanted = which.make_wanted(now)
    if at is not None and (wanted.since or wanted.until or wanted.kinds):
        raise UsageError("--at: not used with --since, --until or --kind, which are about changes")
    moment = None if at is None else tell_time(parse_time(at, "--at", now))
    place = path or (DEFAULT_PATH if config_file is None else _find_path(config_file))
    with closing(HistoryReader.open(place)) as reader:
        if moment is None:
            _write_changes(reader, wanted, output)
            runs = reader.count_runs(wanted.since, wanted.until)
            breaks = reader.list_breaks(wanted.since, wanted.until or tell_time(now))
        else:
            as_of = _write_open(reader, place, moment, wanted, output)
            runs = reader.count_runs(as_of, as_of)
            breaks = reader.list_breaks(as_of, moment)
    _tell_breaks(breaks)
    if runs.incomplete:
        tell(f"nsagent: {runs.incomplete} of {runs.all} passes could not see everything")
    raise typer.Exit(EXIT_PARTIAL if printing.strict and (runs.incomplete or breaks) else 0)


def _find_path(config_file: Path) -> Path:
    from nsagent.agent.config_file import load_config, read_config_file
    from nsagent.cli.extras import needs_agent_extra

    with needs_agent_extra():
        config = load_config(read_config_file(str(config_file)), os.environ)
    if config.history is None:
        raise HistoryError(f"{config_file}: has no history")
    return Path(config.history.path)


def _tell_breaks(breaks: Sequence["Break"]) -> None:
    """When nobody looked."""
    if len(breaks) > _MOST_BREAKS:
        tell(f"nsagent: no pass in {len(breaks) - _MOST_BREAKS} earlier stretches of time")
    for after, before in breaks[-_MOST_BREAKS:]:
        if after is None:
            tell(f"nsagent: no pass before {before}" if before else "nsagent: no pass yet")
        else:
            tell(f"nsagent: no pass from {after} to {before}" if before else f"nsagent: no pass after {after}")


def _write_changes(reader: "HistoryReader", wanted: "Wanted", output: "OutputOptions") -> None:
    from nsagent.cli.write import write_answer
    from nsagent.model.change import ChangesHead
    from nsagent.report.changes import render_changes

    span = reader.tell_span()
    head = ChangesHead(span.host, wanted.since or span.first, wanted.until or span.last)
    write_answer(render_changes(reader.list_changes(wanted), output, head=head, timed=True))


def _write_open(reader: "HistoryReader", path: Path, moment: str, wanted: "Wanted", output: "OutputOptions") -> str:
    """What was open at a time; the run that it is told by."""
    from nsagent.cli.write import write_answer
    from nsagent.model.change import ChangesHead
    from nsagent.report.changes import render_changes

    folded = reader.fold(moment, wanted)
    if folded.as_of is None:
        known = "never knows" if folded.known_from is None else f"knows from {folded.known_from} on"
        raise HistoryError(f"{path}: {known} what was open, not at {moment}")
    head = ChangesHead(reader.tell_span().host, folded.as_of, folded.as_of)
    write_answer(render_changes(folded.open, output, head=head, timed=True))
    tell(f"nsagent: as of {folded.as_of}; {path} knows from {folded.known_from} on")
    return folded.as_of
