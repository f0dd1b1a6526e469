"""`nsagent capture FILE`: the facts of one pass, kept."""

import os
from pathlib import Path
from typing import Annotated

import typer

from nsagent.cli import options as opt
from nsagent.cli.read import ReadOptions, read_facts
from nsagent.errors import Aborted
from nsagent.model.choices import EngineName
from nsagent.model.net import Protocol


def capture(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; replaced as a whole.")],
    engine: opt.Engine = EngineName.AUTO,
    runtime: opt.RuntimeOption = None,
    host_root: opt.HostRoot = Path("/"),
    proc_root: opt.ProcRoot = Path("/proc"),
    all_tables: opt.AllTables = False,
    deep: opt.Deep = False,
    tcp_info: opt.WithTcpInfo = False,
    debug: opt.Debug = False,
) -> None:
    """Keep the raw facts of one pass in FILE, interfaces included; read it back with --from FILE.

    The file names every process and socket of this host: it is readable by its owner only.
    """
    protocols = frozenset(Protocol) if all_tables else frozenset()
    reading = ReadOptions(
        engine,
        runtime,
        proc_root,
        capture=file,
        interfaces=True,
        protocols=protocols,
        deep=deep,
        tcp_info=tcp_info,
        host_root=host_root,
    )
    try:
        read_facts(reading, os.environ)
    except KeyboardInterrupt as err:
        raise Aborted("interrupted") from err
