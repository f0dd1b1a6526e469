"""`nsagent status`: how the running agent fares."""

from typing import Annotated

import typer

from nsagent.cli.options import AGENT_SOCKET, AgentSocket, Debug
from nsagent.errors import UsageError
from nsagent.model.choices import OutputFormat

FORMATS = (OutputFormat.TABLE, OutputFormat.JSON, OutputFormat.YAML)


def status(
    *,
    context: typer.Context,
    agent_socket: AgentSocket = AGENT_SOCKET,
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
    debug: Debug = False,
) -> None:
    """What the running agent does: its passes, its reports and their outputs, its config."""
    from nsagent.cli.agent_client import ask_status
    from nsagent.cli.write import write_answer

    if output not in FORMATS:
        # The variable is for all commands: where it names a format of others, it says nothing here.
        source = context.get_parameter_source("output")
        if source is None or source.name != "ENVIRONMENT":
            raise UsageError(f"--output: expected one of {', '.join(FORMATS)}, got '{output}'")
        output = OutputFormat.TABLE
    write_answer([ask_status(agent_socket, output.value)])
