"""`nsagent doctor`: what this machine allows, and what would help."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from nsagent.agent.config_file import DEFAULT_PATH, load_config, read_config_file
from nsagent.cli.extras import needs_agent_extra
from nsagent.cli.options import Colour, Debug, Host, NoHeaders, output_option, settle_output
from nsagent.cli.rights import Rights
from nsagent.cli.write import use_colour, write_answer
from nsagent.errors import ConfigError, MissingExtra
from nsagent.model.check import Check, CheckState
from nsagent.model.choices import ColourWhen, OutputFormat

FORMATS = (OutputFormat.TABLE, OutputFormat.JSON)


def doctor(
    *,
    context: typer.Context,
    host: Host,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            readable=False,
            envvar="NSAGENT_CONFIG",
            metavar="FILE",
            help=f"The agent's config; {DEFAULT_PATH}, if it is there.",
        ),
    ] = None,
    output: Annotated[OutputFormat, output_option(*FORMATS)] = OutputFormat.TABLE,
    no_headers: NoHeaders = False,
    color: Colour = ColourWhen.AUTO,
    debug: Debug = False,
) -> None:
    """What this machine allows, each line with what would help: rights, sources of names, what the agent would need.

    It looks at this host only, whatever NSAGENT_FROM says.
    """
    from nsagent.doctor.host import check_confinement, check_engine
    from nsagent.doctor.rights import check_given_back, check_rights
    from nsagent.doctor.sources import check_sources
    from nsagent.report.doctor_table import render_doctor_json, render_doctor_table
    from nsagent.runtimes.discover import make_source
    from nsagent.runtimes.places import list_places

    output = settle_output(context, output, *FORMATS)
    root = os.path.abspath(host.host_root)
    places = list_places(host.runtime, os.environ, root)
    sources = check_sources(
        places, str(host.proc_root), clock=time.monotonic, make=lambda place: make_source(place, root)
    )
    given: Rights | None = context.obj
    before = given and given.before
    left = check_given_back(given.kept) if given else ()
    rights = (check_rights(before), *left, check_engine(before), check_confinement())
    checks = [*rights, *sources, *_check_config(config_file)]
    if output is OutputFormat.JSON:
        write_answer(render_doctor_json(checks, host=host.name))
    else:
        write_answer(render_doctor_table(checks, headers=not no_headers, colour=use_colour(color, os.environ)))


def _check_config(file: Path | None) -> Iterator[Check]:
    """What is to be said of a config and of what it needs; nothing where there is none that anybody named."""
    path = str(file or DEFAULT_PATH)
    if file is None and not os.path.lexists(path):
        return
    try:
        with needs_agent_extra():
            config = load_config(read_config_file(path), os.environ)
    except ConfigError as err:
        for problem in err.problems:
            fix = f"nsagent config validate {path}"
            yield Check(path, "config", CheckState.FAILED, detail=str(problem).removeprefix(f"{path}:"), fix=fix)
        return
    except MissingExtra as err:
        yield Check(path, "config", CheckState.FAILED, detail=str(err))
        return
    yield Check(path, "config", CheckState.USED, detail=f"{len(config.reports)} reports")
    from nsagent.agent.listeners import split_listen
    from nsagent.doctor.agent import check_agent

    yield from check_agent(config, split_listen)
