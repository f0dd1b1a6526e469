"""`nsagent run`: the agent."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsagent.agent.config_file import DEFAULT_PATH, ConfigFile, load_config, read_config_file
from nsagent.cli.extras import needs_agent_extra
from nsagent.cli.options import Debug, Host
from nsagent.cli.tell import tell
from nsagent.cli.write import write_bytes, write_coverage
from nsagent.errors import EXIT_FAILED
from nsagent.model.choices import EngineName
from nsagent.report.escape import escape

if TYPE_CHECKING:
    from nsagent.agent.setup import World
    from nsagent.config.model import Config

ConfigPath = Annotated[
    Path, typer.Option("--config", readable=False, envvar="NSAGENT_CONFIG", metavar="FILE", help="The config.")
]
OwnEngine = Annotated[
    EngineName | None,
    typer.Option("--engine", envvar="NSAGENT_ENGINE", help="How tables are read, whatever the config says."),
]


def run(
    *,
    config_path: ConfigPath = Path(DEFAULT_PATH),
    once: Annotated[bool, typer.Option("--once", help="Make each report once, now, and end: with 1 if one failed.")] = (
        False
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print when each report would be made.")] = False,
    engine: OwnEngine = None,
    host: Host,
    debug: Debug = False,
) -> None:
    """The agent: passes over this host without end, and the reports that the config asks for.

    SIGTERM ends it, SIGHUP loads the config anew, as a change of the file does.
    """
    file = read_config_file(str(config_path))
    load = make_loader(engine, host)
    config = load(file)
    if dry_run:
        from nsagent.cli.report import print_schedule

        print_schedule(config, host)
    elif once:
        _run_once(config, host)
    else:
        _run(file, load, config, host)


def make_loader(engine: EngineName | None, host: Host) -> "Callable[[ConfigFile], Config]":
    """What makes a Config of a file: options and NSAGENT_* variables count more than the file."""

    def load(file: ConfigFile) -> "Config":
        with needs_agent_extra():
            config = load_config(file, os.environ)
        own = {"engine": engine, "runtime": host.runtime}
        return config.model_copy(update={key: value for key, value in own.items() if value is not None})

    return load


def make_world(host: Host) -> "World":
    """This process, for the agent."""
    with needs_agent_extra():
        from nsagent.agent.world import make_world
    return make_world(lambda: host.name, str(host.proc_root), os.path.abspath(host.host_root), os.environ)


def _run(file: ConfigFile, load: "Callable[[ConfigFile], Config]", config: "Config", host: Host) -> None:
    world = make_world(host)
    from nsagent.agent.logs import start_logging
    from nsagent.agent.loop import Agent
    from nsagent.agent.notify import Notifier
    from nsagent.agent.setup import Setup
    from nsagent.kernel.heap import share_heap

    share_heap()
    start_logging(config.log, clock=world.clock)
    setup = Setup(config, world)
    setup.begin()
    agent = Agent(file, load, setup, world, Notifier(os.environ))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    signal.signal(signal.SIGHUP, lambda *_: agent.reload())
    agent.run()


def make_once(config: "Config", host: Host) -> "dict[str, str | None]":
    """Make each report of a config now, print those that go to stdout; why each one failed, None where it did not."""
    world = make_world(host)
    from nsagent.agent import once
    from nsagent.agent.outputs.stdout import KeptStdout

    stdout = KeptStdout()
    snapshot, failed = once.make_once(config, world._replace(stdout=stdout, tell=_tell))
    if stdout.reports:
        write_bytes(b"".join(stdout.reports))
    write_coverage(snapshot, strict=False)
    return failed


def _tell(line: str) -> None:
    """What an agent would log: nothing is logged here, and what is told holds text of others."""
    tell(f"nsagent: {escape(line)}")


def _run_once(config: "Config", host: Host) -> None:
    failed = make_once(config, host)
    errors = [f"report {name}: {error}" for name, error in failed.items() if error is not None]
    for line in errors:
        _tell(line)
    raise typer.Exit(EXIT_FAILED if errors else 0)
