"""`nsagent inspect`: details of one process, or of each process of a container."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from nsagent.cli.completion import list_checksums, list_pids
from nsagent.cli.numbers import MAX_PID, whole_number
from nsagent.cli.options import (
    AGENT_SOCKET,
    AgentSocket,
    Debug,
    Engine,
    Host,
    Source,
    Texts,
    WhichContainers,
    output_option,
    settle_output,
)
from nsagent.cli.tell import tell
from nsagent.errors import EXIT_PARTIAL, NotFound, ProcessGone, UsageError, WrongValue
from nsagent.model.choices import EngineName, InspectFormat
from nsagent.model.ids import Pid

if TYPE_CHECKING:
    from nsagent.inspect.request import Wanted
    from nsagent.inspect.subject import Which
    from nsagent.kernel.procfs import ProcFs
    from nsagent.model.inspection import Inspection
    from nsagent.model.process import ProcessKey
    from nsagent.model.snapshot import Snapshot
    from nsagent.query.filter import Filter


_AGENT_SECONDS: Final = 2.0
"""Where an agent hangs, no longer."""


class Details(NamedTuple):
    """What is told of a process beside what always is."""

    environ: Annotated[
        bool, typer.Option("--environ", help="The environment too, without the secrets that can be told.")
    ] = False
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="The environment as it is.")] = False
    checksums: Annotated[
        Texts,
        typer.Option(
            "--checksums",
            metavar="NAME",
            help="Checksums of what runs: sha256, sha1, md5.",
            autocompletion=list_checksums,
        ),
    ] = None
    mem_of: Annotated[
        str | None,
        typer.Option(
            "--mem-of", metavar="PATH", help="What the process has in memory of this file that it maps, by checksum."
        ),
    ] = None

    def make_wanted(self) -> "Wanted":
        """Raises UsageError; warns of secrets."""
        from nsagent.inspect.request import Wanted
        from nsagent.kernel.questions import HASHED
        from nsagent.query.filter import split_values
        from nsagent.scan.scrub import scrub_variable

        algorithms = tuple(name.lower() for name in split_values(self.checksums, "--checksums"))
        if unknown := [name for name in algorithms if name not in HASHED]:
            raise WrongValue("--checksums", f"expected some of {', '.join(HASHED)}, got {unknown[0]!r}")
        if self.show_secrets and not self.environ:
            raise UsageError("--show-secrets: shows those of the environment; use it with --environ")
        if self.show_secrets:
            tell("nsagent: --show-secrets: what is printed may hold passwords and keys")
        told: Callable[[str], str] | None = (_keep if self.show_secrets else scrub_variable) if self.environ else None
        return Wanted(told, algorithms, self.mem_of)


class Sources(NamedTuple):
    """How the kernel is asked, and which agent."""

    engine: Engine = EngineName.AUTO
    agent_socket: AgentSocket = AGENT_SOCKET


class Answer(NamedTuple):
    """How the answer is given."""

    output: Annotated[str, output_option(*InspectFormat)] = InspectFormat.TABLE
    strict: Annotated[
        bool, typer.Option("--strict", envvar="NSAGENT_STRICT", help="Exit with 3 if anything could not be seen.")
    ] = False


def inspect(
    *,
    context: typer.Context,
    number: Annotated[
        int | None,
        typer.Argument(
            metavar="[PID]",
            parser=whole_number("PID", MAX_PID),
            help="The process, by its pid or that of a thread.",
            autocompletion=list_pids,
        ),
    ] = None,
    containers: WhichContainers,
    details: Details,
    sources: Sources,
    host: Host,
    answer: Answer,
    debug: Debug = False,
) -> None:
    """Details of one process: who it is and runs, what it holds open, whom it talks to, and what it may do.

    With --container, --pod, --kube-namespace or --label those of each process of a container. Where an
    agent runs, it is asked for parents that have ended.
    """
    from nsagent.cli.answer import check_named, read_snapshot
    from nsagent.cli.write import write_answer, write_coverage
    from nsagent.model.net import Protocol
    from nsagent.query.filter import Filter
    from nsagent.scan.plan import TablesWanted

    shape = settle_output(context, answer.output, *InspectFormat)
    wanted = details.make_wanted()
    chosen = containers.make_filter()
    if (number is None) is not chosen.chooses_containers:
        raise UsageError("expected a PID, or a container by -c, --pod, -n or -l, and not both")
    if number is not None:
        chosen = Filter(pids=(_find_leader(host, number),))
    tables = TablesWanted(frozenset(Protocol))
    request = replace(host.make_request(), engine=sources.engine, only=chosen, tables=tables)
    source = Source(host)
    snapshot = read_snapshot(request, source, labels_wanted=bool(chosen.labels)).snapshot
    processes = [number] if number is not None else _list_members(snapshot, chosen, host)
    check_named(snapshot, request, source, ())
    inspections = list(_inspect(snapshot, processes, wanted, host))
    if number is not None and not inspections:
        raise NotFound("process", str(number), hint="it ended while it was read")
    inspections = _add_forebears(inspections, sources.agent_socket, host)
    write_answer(_render(shape, inspections, snapshot))
    status = write_coverage(snapshot, strict=answer.strict)
    raise typer.Exit(EXIT_PARTIAL if answer.strict and any(one.gaps for one in inspections) else status)


def _keep(variable: str) -> str:
    return variable


def _find_leader(host: Host, number: int) -> Pid:
    from nsagent.inspect.subject import find_leader

    return find_leader(_look_at_procfs(host), number)


def _look_at_procfs(host: Host) -> "ProcFs":
    """That of the host, without processes at whose path there is something else."""
    from nsagent.kernel.proc_mount import read_proc_mount
    from nsagent.kernel.procfs import ProcFs

    root = str(host.proc_root)
    return ProcFs(root, read_proc_mount(root).covered)


def _list_members(snapshot: "Snapshot", chosen: "Filter", host: Host) -> "list[ProcessKey]":
    """The processes of the containers chosen, of those below them too; raises NotFound and Ambiguous."""
    from nsagent.cli.answer import tell_unmet
    from nsagent.cli.ended import explain
    from nsagent.query.containers import include_below
    from nsagent.query.select import select_containers

    tell_unmet(chosen, snapshot)
    try:
        containers = select_containers(snapshot, chosen).containers
    except NotFound as err:
        raise explain(err, host) from err
    ids = include_below(frozenset(one.id for one in containers), snapshot.containers)
    return [process.key for process in snapshot.processes if process.container_id in ids]


def _inspect(
    snapshot: "Snapshot", processes: "Sequence[Which]", wanted: "Wanted", host: Host
) -> "Iterator[Inspection]":
    """Those that are still there; of several those that cannot be read are told on stderr. Raises NotRead."""
    from nsagent.inspect.asking import Asker
    from nsagent.inspect.checksums import Checksums
    from nsagent.inspect.read import Inspector
    from nsagent.kernel.lookups import Lookups
    from nsagent.model.inspection import Inspection
    from nsagent.model.process import ProcessKey

    asker = Asker(Lookups(), clock=time.monotonic, stop=threading.Event())
    inspector = Inspector(snapshot, _look_at_procfs(host), asker, Checksums())
    for which, told in zip(processes, inspector.inspect(processes, wanted), strict=True):
        number = which.pid if isinstance(which, ProcessKey) else which
        if isinstance(told, Inspection):
            if told.is_thread:
                tell(f"nsagent: {number} is a thread of process {told.key.pid}, which is told")
            yield told
        elif isinstance(told, ProcessGone):
            continue
        elif len(processes) == 1:
            raise told
        else:
            tell(f"nsagent: pid {number} not read: {told}")


def _add_forebears(inspections: "Sequence[Inspection]", agent_socket: Path, host: Host) -> "list[Inspection]":
    """The same, with whose children they were when they began, as far as an agent tells within seconds."""
    from nsagent.cli.agent_client import find_forebears
    from nsagent.inspect.direct import list_host_namespaces
    from nsagent.kernel.procfs import ProcFs

    told, until = list(inspections), time.monotonic() + _AGENT_SECONDS
    # What an agent hears of has the pids of the first PID namespace: in any other one they are others'.
    if not list_host_namespaces(ProcFs(str(host.proc_root))):
        return told
    for index, one in enumerate(inspections):
        if time.monotonic() < until:
            told[index] = replace(one, forebears=find_forebears(agent_socket, one.key))
    return told


def _render(shape: InspectFormat, inspections: "Sequence[Inspection]", snapshot: "Snapshot") -> Iterator[str]:
    from nsagent.report import inspection, inspection_table

    match shape:
        case InspectFormat.JSON:
            return inspection.render_inspections_json(inspections, host=snapshot.host)
        case InspectFormat.YAML:
            return inspection.render_inspections_yaml(inspections, host=snapshot.host)
        case InspectFormat.TREE:
            return inspection_table.render_inspections_tree(inspections, snapshot.containers)
    return inspection_table.render_inspections_table(inspections, snapshot.containers)
