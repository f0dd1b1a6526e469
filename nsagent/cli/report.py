"""`nsagent report`: the reports of a config, made now or listed."""

import difflib
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nsagent.agent.config_file import DEFAULT_PATH, read_config_file
from nsagent.cli.command import Command, make_command
from nsagent.cli.completion import list_report_names
from nsagent.cli.options import AGENT_SOCKET, AgentSocket, Debug, Host, output_option, settle_output
from nsagent.cli.run import ConfigPath, OwnEngine, make_loader, make_once, make_world
from nsagent.errors import NotFound, OutputFailed
from nsagent.model.choices import OutputFormat

if TYPE_CHECKING:
    from nsagent.config.model import Config, Report

FORMATS: Final = (OutputFormat.TABLE, OutputFormat.JSON)


def run(
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The report, as it is named in the config.", autocompletion=list_report_names
        ),
    ],
    config_path: ConfigPath = Path(DEFAULT_PATH),
    outputs: Annotated[
        bool, typer.Option("--outputs", help="Write it to its outputs, as the agent does, not to stdout.")
    ] = False,
    engine: OwnEngine = None,
    host: Host,
    debug: Debug = False,
) -> None:
    """Make one report now: a pass, what it selects, in its format, on stdout."""
    config = make_loader(engine, host)(read_config_file(str(config_path)))
    report = _find(config, name)
    from nsagent.config.model import StdoutOutput

    if not outputs:
        report = report.model_copy(update={"outputs": (StdoutOutput(type="stdout"),)})
    failed = make_once(config.model_copy(update={"reports": (report,)}), host)
    if (error := failed[name]) is not None:
        raise OutputFailed(f"report {name}: {error}")


def list_(
    *,
    context: typer.Context,
    config_path: ConfigPath = Path(DEFAULT_PATH),
    output: Annotated[OutputFormat, output_option(*FORMATS)] = OutputFormat.TABLE,
    agent_socket: AgentSocket = AGENT_SOCKET,
    host: Host,
    debug: Debug = False,
) -> None:
    """The reports of a config: when each is due next, and what came of it last where the agent runs."""
    output = settle_output(context, output, *FORMATS)
    config = make_loader(None, host)(read_config_file(str(config_path)))
    print_schedule(config, host, as_json=output is OutputFormat.JSON, agent_socket=agent_socket)


def print_schedule(config: "Config", host: Host, *, as_json: bool = False, agent_socket: Path | None = None) -> None:
    """The reports of a config on stdout: the next times of each, where it goes, and what the agent tells of it."""
    from nsagent.agent.report_list import list_reports, render_report_list
    from nsagent.cli.agent_client import find_status
    from nsagent.cli.write import tell_left_out, terminal_width, write_answer

    status = None if agent_socket is None else find_status(agent_socket)
    records = list_reports(config, host.name, make_world(host).read_clocks(), status)
    if as_json:
        write_answer([json.dumps({"reports": records}, indent=2), "\n"])
        return
    width = terminal_width(os.environ)
    write_answer(render_report_list(records, width, partial(tell_left_out, whole="nsagent report list -o json")))


def _find(config: "Config", name: str) -> "Report":
    for report in config.reports:
        if report.name == name:
            return report
    names = [report.name for report in config.reports]
    raise NotFound("report", name, near=difflib.get_close_matches(name, names, n=3) or names[:5])


report = typer.Typer(
    name="report", help="The agent's reports: make one now, list them.", no_args_is_help=True, rich_markup_mode=None
)
for command, called in ((run, "run"), (list_, "list")):
    report.command(called, cls=Command)(make_command(command))
