"""`nsagent scan`: every socket of the host, with its owners."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nsagent.cli import options as opt
from nsagent.cli.answer import About, make_output_options
from nsagent.cli.answer_command import answer
from nsagent.cli.read import ReadOptions
from nsagent.model.choices import ColourWhen, EngineName, OutputFormat
from nsagent.model.net import Protocol

if TYPE_CHECKING:
    from nsagent.query.filter import Filter


def scan(
    container: opt.Container = None,
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
    engine: opt.Engine = EngineName.AUTO,
    runtime: opt.RuntimeOption = None,
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
    all match.
    """
    from nsagent.query.select import select_snapshot

    wanted = _make_filter(container, netns, pid, port, protocol, state, listening=listening)
    protocols = frozenset(Protocol) if all_tables else wanted.protocols
    answer(
        About.SOCKETS,
        ReadOptions(engine, runtime, proc_root, from_file, capture, False, protocols, deep, tcp_info, since),
        make_output_options(output, columns, sort_by, no_headers=no_headers, colour=color, environ=os.environ),
        lambda snapshot: select_snapshot(snapshot, wanted),
        strict=strict,
    )


def _make_filter(
    container: list[str] | None,
    netns: list[str] | None,
    pid: list[str] | None,
    port: list[str] | None,
    protocol: list[str] | None,
    state: list[str] | None,
    *,
    listening: bool,
) -> "Filter":
    """The filter options as typed; raises UsageError."""
    from nsagent.query.filter import Filter, parse_pids, parse_ports, parse_protocols, parse_states, split_values

    return Filter(
        containers=split_values(container, "--container"),
        netns=split_values(netns, "--netns"),
        pids=parse_pids(pid),
        ports=parse_ports(port),
        protocols=parse_protocols(protocol),
        states=parse_states(state),
        listening=listening,
    )
