"""`nsagent config`: the agent's config checked, told, described, and one to begin with."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsagent.agent.config_file import DEFAULT_PATH, load_config, read_config_file
from nsagent.cli.command import Command, make_command
from nsagent.cli.extras import needs_agent_extra
from nsagent.cli.options import Debug
from nsagent.cli.write import write_answer

if TYPE_CHECKING:
    from nsagent.config.model import Config

File = Annotated[
    Path,
    typer.Argument(readable=False, metavar="[FILE]", envvar="NSAGENT_CONFIG", help="The config.", show_default=True),
]


def validate(*, config_file: File = Path(DEFAULT_PATH), debug: Debug = False) -> None:
    """Check a config: everything that is wrong with it, as FILE:LINE:COLUMN: KEY: what was expected."""
    config = _load(config_file)
    count = len(config.reports)
    write_answer([f"{config_file}: valid, {count} report{'' if count == 1 else 's'}\n"])


def schema(*, debug: Debug = False) -> None:
    """Print the JSON Schema of a config, for editors and other tools."""
    import json

    with needs_agent_extra():
        from nsagent.config.schema import make_schema
    write_answer([json.dumps(make_schema(), indent=2), "\n"])


def show(*, config_file: File = Path(DEFAULT_PATH), debug: Debug = False) -> None:
    """Print a config as it is in force: with variables put in, and with defaults."""
    config = _load(config_file)
    from nsagent.config.show import show_config
    from nsagent.report.yaml import render_record

    write_answer([render_record(show_config(config))])


def init(*, debug: Debug = False) -> None:
    """Print a config to begin with, with comments."""
    from nsagent.config.sample import SAMPLE

    write_answer([SAMPLE])


config = typer.Typer(
    name="config", help="The agent's config: check it, show it, begin one.", no_args_is_help=True, rich_markup_mode=None
)
for command in (validate, schema, show, init):
    config.command(cls=Command)(make_command(command))


def _load(file: Path) -> "Config":
    with needs_agent_extra():
        return load_config(read_config_file(str(file)), os.environ)
