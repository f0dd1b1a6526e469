"""`nsagent doctor`: what this machine allows, and what would help."""

import os
import time
from typing import Annotated

import typer

from nsagent.cli.options import Colour, Debug, Host, NoHeaders
from nsagent.cli.write import use_colour, write_answer
from nsagent.errors import UsageError
from nsagent.model.choices import ColourWhen, OutputFormat

FORMATS = (OutputFormat.TABLE, OutputFormat.JSON)


def doctor(
    *,
    context: typer.Context,
    host: Host,
    output: Annotated[
        OutputFormat,
        typer.Option(
            "--output",
            "-o",
            envvar="NSAGENT_OUTPUT",
            metavar=f"<{'|'.join(FORMATS)}>",
            help="How the answer is printed.",
            autocompletion=lambda incomplete: [each for each in FORMATS if each.startswith(incomplete)],
        ),
    ] = OutputFormat.TABLE,
    no_headers: NoHeaders = False,
    color: Colour = ColourWhen.AUTO,
    debug: Debug = False,
) -> None:
    """Where names of containers come from on this host: each source with its answer time, or why not and what helps.

    It looks at this host only, whatever NSAGENT_FROM says.
    """
    from nsagent.doctor.sources import check_sources
    from nsagent.report.doctor_table import render_doctor_json, render_doctor_table
    from nsagent.runtimes.discover import list_places

    if output not in FORMATS:
        # The variable is for all commands: where it names a format of others, it says nothing here.
        source = context.get_parameter_source("output")
        if source is None or source.name != "ENVIRONMENT":
            raise UsageError(f"--output: expected one of {', '.join(FORMATS)}, got '{output}'")
    places = list_places(host.runtime, os.environ, os.path.abspath(host.host_root))
    checks = check_sources(places, str(host.proc_root), clock=time.monotonic)
    if output is OutputFormat.JSON:
        write_answer(render_doctor_json(checks, host=host.name))
    else:
        write_answer(render_doctor_table(checks, headers=not no_headers, colour=use_colour(color, os.environ)))
