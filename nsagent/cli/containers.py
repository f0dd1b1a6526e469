"""`nsagent containers`: the containers of the host."""

import os
from pathlib import Path

from nsagent.cli import options as opt
from nsagent.cli.answer import About, make_output_options
from nsagent.cli.answer_command import answer
from nsagent.cli.read import ReadOptions
from nsagent.model.choices import ColourWhen, EngineName, OutputFormat


def containers(
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
    """The containers of this host, in which netns they are, and who told their names."""
    answer(
        About.CONTAINERS,
        ReadOptions(EngineName.AUTO, runtime, proc_root, from_file, capture),
        make_output_options(output, columns, sort_by, no_headers=no_headers, colour=color, environ=os.environ),
        lambda snapshot: snapshot,
        strict=strict,
    )
