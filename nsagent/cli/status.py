"""`nsagent status`: how the running agent fares."""

from typing import Annotated

import typer

from nsagent.cli.options import AGENT_SOCKET, AgentSocket, Debug, output_option, settle_output
from nsagent.model.choices import OutputFormat

FORMATS = (OutputFormat.TABLE, OutputFormat.JSON, OutputFormat.YAML)


def status(
    *,
    context: typer.Context,
    agent_socket: AgentSocket = AGENT_SOCKET,
    output: Annotated[OutputFormat, output_option(*FORMATS)] = OutputFormat.TABLE,
    debug: Debug = False,
) -> None:
    """What the running agent does: its passes, its reports and their outputs, its config."""
    from nsagent.cli.agent_client import ask_status
    from nsagent.cli.write import write_answer

    output = settle_output(context, output, *FORMATS)
    write_answer([ask_status(agent_socket, output.value)])
