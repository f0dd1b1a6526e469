"""What every command that answers from a snapshot does: take it, select, print."""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import typer

from nsagent.cli.options import Source
from nsagent.cli.read import read
from nsagent.cli.tell import tell
from nsagent.cli.write import write_answer, write_coverage
from nsagent.errors import EXIT_PARTIAL, CaptureError, NotFound, UsageError
from nsagent.model.choices import Cmdline, View
from nsagent.model.facts import Facts
from nsagent.model.ids import ContainerId
from nsagent.model.snapshot import Snapshot
from nsagent.query.containers import is_called_by_id, list_unmet
from nsagent.report.render import OutputOptions, render_answer
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import Taken, take_snapshot

if TYPE_CHECKING:
    from nsagent.kernel.lookups import Lookups
    from nsagent.query.filter import Filter


def answer(
    view: View,
    request: SnapshotRequest,
    source: Source,
    select: "Select",
    output: OutputOptions,
    *,
    strict: bool,
    named: Collection[str] = (),
) -> None:
    """Answer once; raises typer.Exit with the exit status, and NsagentError for what went wrong.

    `named` are names of containers that `select` looks for, beside those of the request.
    """
    by_label = request.only is not None and bool(request.only.labels)
    with explained(source):
        made = read_snapshot(request, source, labels_wanted=by_label or output.mentions("labels"))
        tell_unmet(request.only, made.snapshot)
        selected = select(made)
        check_named(made.snapshot, request, source, named)
    if output.mentions("argv"):
        selected = add_command_lines(selected, request)
    write_answer(render_answer(selected, view, output, whole=made.snapshot))
    status = write_coverage(selected, strict=strict)
    if made.not_kept is not None:
        raise made.not_kept
    raise typer.Exit(status or (EXIT_PARTIAL if strict and made.lacks else 0))


def check_named(snapshot: Snapshot, request: SnapshotRequest, source: Source, named: Collection[str]) -> None:
    """Raises NotFound where one of these names, or of those of the request, stands for a container that has ended."""
    names = {*named, *(request.only.containers if request.only else ())}
    if request.from_file is None and (claims := _list_claims(snapshot, names)):
        from nsagent.cli.ended import check_claims

        check_claims(claims, source.host)


@contextmanager
def explained(source: Source) -> Iterator[None]:
    """Raises NotFound with what is known beyond the snapshot: of a container that has ended, its engine may tell."""
    try:
        yield
    except NotFound as err:
        if source.is_captured:
            raise
        from nsagent.cli.ended import explain

        raise explain(err, source.host) from err


def add_command_lines(snapshot: Snapshot, request: SnapshotRequest, lookups: "Lookups | None" = None) -> Snapshot:
    """Those of the owners of rows, as they are now; raises UsageError for a pass of another time."""
    from nsagent.kernel.lookups import Lookups
    from nsagent.scan.collect.command_lines import CommandLines

    if request.from_file is not None:
        raise UsageError("column argv: no capture has command lines")
    lines = CommandLines(request.proc_root, lookups or Lookups(), clock=time.monotonic, stop=threading.Event())
    return lines.add(snapshot, Cmdline.FULL)


def _list_claims(snapshot: Snapshot, names: Collection[str]) -> dict[str, ContainerId]:
    """The ids that these names of containers stand for and that nobody vouches for, by name."""
    unsure = [one for one in snapshot.containers if not one.verified] if names else []
    return {name: one.id for one in unsure for name in names if is_called_by_id(one, (name,))}


class Read(NamedTuple):
    """What was asked for, without its facts, unless more may be asked of them: they may be large."""

    snapshot: Snapshot
    lacks: bool
    """Whether the source lacks any of it."""
    not_kept: CaptureError | None
    """Why the capture asked for could not be written."""
    facts: Facts | None
    """Those of a snapshot that is about some ports, None of others."""

    def make_whole(self) -> Snapshot:
        """The snapshot of all that was read, whatever ports it is about."""
        from nsagent.scan.attribute import attribute

        return self.snapshot if self.facts is None else attribute(self.facts)


Select = Callable[[Read], Snapshot]


def read_snapshot(request: SnapshotRequest, source: Source, *, labels_wanted: bool) -> Read:
    """What is asked for; what the source lacks of it is said on stderr."""
    taken = read(take_snapshot, request, source.host, labels_wanted=labels_wanted)
    for line in tell_lacking(taken, request):
        tell(f"nsagent: {line}")
    facts = None if request.ports is None else taken.facts
    return Read(taken.snapshot, bool(taken.lacking), taken.not_kept, facts)


def tell_unmet(wanted: "Filter | None", *snapshots: Snapshot) -> None:
    """Say on stderr which Kubernetes namespaces and labels no container of these snapshots has; see list_unmet."""
    for line in list_unmet_lines(wanted, *snapshots):
        tell(f"nsagent: {line}")


def list_unmet_lines(wanted: "Filter | None", *snapshots: Snapshot) -> list[str]:
    """The same as lines, without their ends."""
    if wanted is None or not (wanted.kube_namespaces or wanted.labels):
        return []
    from nsagent.report.unmet import unmet_lines

    return unmet_lines(list_unmet(wanted, [one for each in snapshots for one in (*each.containers, *each.folded)]))


def tell_lacking(taken: Taken, request: SnapshotRequest) -> list[str]:
    """A line, without its end, for each thing asked for that the source lacks."""
    if not taken.lacking:
        return []
    from nsagent.report.lacking import lacking_lines

    name = str(request.from_file or f"the pass over {request.host}")
    return lacking_lines(taken.lacking, name, captured=request.from_file is not None)
