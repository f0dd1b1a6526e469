"""`nsagent doctor`: what this machine allows, and what would help."""

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nsagent.cli import options as opt
from nsagent.cli.write import use_colour, write_answer
from nsagent.errors import Aborted
from nsagent.model.choices import ColourWhen


class DoctorFormat(StrEnum):
    """The values of `-o` here."""

    TABLE = "table"
    JSON = "json"


def doctor(
    runtime: opt.RuntimeOption = None,
    host_root: opt.HostRoot = Path("/"),
    proc_root: opt.ProcRoot = Path("/proc"),
    output: Annotated[
        DoctorFormat, typer.Option("--output", "-o", envvar="NSAGENT_OUTPUT", help="How the answer is printed.")
    ] = DoctorFormat.TABLE,
    no_headers: opt.NoHeaders = False,
    color: opt.Colour = ColourWhen.AUTO,
    debug: opt.Debug = False,
) -> None:
    """Where names of containers come from on this host: each source with its answer time, or why not and what helps.

    It looks at this host only, whatever NSAGENT_FROM says.
    """
    from nsagent.doctor.sources import check_sources
    from nsagent.report.doctor_table import render_doctor_json, render_doctor_table
    from nsagent.runtimes.discover import list_places

    try:
        checks = check_sources(
            list_places(runtime, os.environ, os.path.abspath(host_root)), str(proc_root), clock=time.monotonic
        )
    except KeyboardInterrupt as err:
        raise Aborted("interrupted") from err
    if output is DoctorFormat.JSON:
        write_answer(render_doctor_json(checks, host=os.environ.get("NSAGENT_HOST") or os.uname().nodename))
    else:
        write_answer(render_doctor_table(checks, headers=not no_headers, colour=use_colour(color, os.environ)))
