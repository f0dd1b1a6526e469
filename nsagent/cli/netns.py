"""`nsagent netns`: the network namespaces of the host."""

import os
from pathlib import Path
from typing import Annotated

import typer

from nsagent.cli import options as opt
from nsagent.cli.answer import About, make_output_options
from nsagent.cli.answer_command import answer
from nsagent.cli.read import ReadOptions
from nsagent.model.choices import ColourWhen, EngineName, OutputFormat


def netns(
    which: Annotated[
        str | None, typer.Argument(metavar="[NETNS]", help="Only this one, by inode, name, path or 'host'.")
    ] = None,
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
    """The netns of this host: names, how each was found, its processes and containers.

    With -o wide or json also its interfaces with their addresses, and where its veths lead.
    """
    from nsagent.query.select import select_netns

    answer(
        About.NETNS,
        ReadOptions(
            engine,
            runtime,
            proc_root,
            from_file,
            capture,
            interfaces=output in (OutputFormat.WIDE, OutputFormat.JSON) or bool(columns),
            host_root=host_root,
        ),
        make_output_options(output, columns, sort_by, no_headers=no_headers, colour=color, environ=os.environ),
        lambda snapshot: snapshot if which is None else select_netns(snapshot, which),
        strict=strict,
    )
