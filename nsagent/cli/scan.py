"""`nsagent scan`: every socket of the host, with its owners."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nsagent.cli import options as opt
from nsagent.cli.answer import About, make_output_options
from nsagent.cli.answer_command import answer
from nsagent.cli.choice import make_choice
from nsagent.cli.read import ReadOptions
from nsagent.errors import UsageError
from nsagent.model.choices import ColourWhen, EngineName, OutputFormat, OwnersWanted
from nsagent.model.net import Protocol

if TYPE_CHECKING:
    from nsagent.query.filter import Filter


def scan(
    container: opt.Container = None,
    pod: opt.PodOption = None,
    kube_namespace: opt.KubeNamespace = None,
    label: opt.Label = None,
    netns: opt.NetnsOption = None,
    pid: opt.PidOption = None,
    port: opt.Port = None,
    protocol: opt.ProtocolOption = None,
    state: opt.State = None,
    listening: opt.Listening = False,
    all_tables: opt.AllTables = False,
    deep: opt.Deep = False,
    tcp_info: opt.WithTcpInfo = False,
    since: opt.Since = None,
    owners: opt.Owners = OwnersWanted.PID,
    engine: opt.Engine = EngineName.AUTO,
    runtime: opt.RuntimeOption = None,
    host_root: opt.HostRoot = Path("/"),
    proc_root: opt.ProcRoot = Path("/proc"),
    from_file: opt.FromFile = None,
    capture: opt.CaptureFile = None,
    output: opt.Output = OutputFormat.TABLE,
    no_headers: opt.NoHeaders = False,
    sort_by: opt.SortBy = None,
    columns: opt.Columns = None,
    color: opt.Colour = ColourWhen.AUTO,
    strict: opt.Strict = False,
    debug: opt.Debug = False,
) -> None:
    """Every TCP and UDP socket in every netns, with the processes and containers that hold it.

    Other protocols are read if --protocol names them, and all of them with --all.

    Options repeat or take commas: values of one option are alternatives, different options must
    all match. A pass about some containers only reads the netns in which they have something.
    """
    from nsagent.query.select import select_snapshot

    choice = make_choice(container, pod, kube_namespace, label)
    wanted = _add_rows(choice, netns, pid, port, protocol, state, listening=listening)
    if owners is OwnersWanted.CONTAINER and wanted.pids:
        raise UsageError("--pid: with --owners container nobody is looked for who holds a socket; use --owners pid")
    protocols = frozenset(Protocol) if all_tables else wanted.protocols
    only = choice if choice.chooses_containers else None
    reading = ReadOptions(engine, runtime, proc_root, from_file, capture, False, protocols, deep, tcp_info, since)
    answer(
        About.SOCKETS,
        replace(reading, host_root=host_root, owners=owners, only=only),
        make_output_options(output, columns, sort_by, no_headers=no_headers, colour=color, environ=os.environ),
        lambda snapshot: select_snapshot(snapshot, wanted),
        strict=strict,
    )


def _add_rows(
    choice: "Filter",
    netns: list[str] | None,
    pid: list[str] | None,
    port: list[str] | None,
    protocol: list[str] | None,
    state: list[str] | None,
    *,
    listening: bool,
) -> "Filter":
    """The filter with the options about rows as typed; raises UsageError."""
    from nsagent.query.filter import parse_pids, parse_ports, parse_protocols, parse_states, split_values

    return replace(
        choice,
        netns=split_values(netns, "--netns"),
        pids=parse_pids(pid),
        ports=parse_ports(port),
        protocols=parse_protocols(protocol),
        states=parse_states(state),
        listening=listening,
    )
