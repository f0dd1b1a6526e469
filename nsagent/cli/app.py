"""The `nsagent` command: its subcommands, and what their errors end with."""

import gc
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

import nsagent
from nsagent.cli.capture import capture
from nsagent.cli.command import Prepare, make_command
from nsagent.cli.containers import containers
from nsagent.cli.diff import diff
from nsagent.cli.doctor import doctor
from nsagent.cli.history import history
from nsagent.cli.netns import netns
from nsagent.cli.scan import scan
from nsagent.errors import EXIT_FAILED, EXIT_USAGE, NsagentError
from nsagent.report.escape import escape

YES = ("1", "true", "t", "yes", "y", "on")
"""What typer takes for true in a variable."""

app = typer.Typer(
    name="nsagent",
    no_args_is_help=True,
    # Plain help: rich costs as much time as a scan of a small host, and must never interpret our text.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (scan, netns, containers, capture, diff, history, doctor):
    app.command()(make_command(command))


def run(
    arguments: Sequence[str],
    leave: Callable[[int], object] = lambda _: None,
    prepare: Prepare | None = None,
) -> int:
    """Run one command; its exit status. Every error is one line on stderr, a traceback only with --debug.

    `prepare` is called with the command's options before it begins, and may change the process for it.
    `leave` may end the process with the status of a command that has answered. It is called while
    the answer is in memory: to take 10^5 rows apart takes a fiftieth of a scan.
    """
    # A pass makes up to millions of records and no cycles: collecting them again and again takes
    # a tenth of the time and finds nothing.
    gc.disable()
    try:
        app(args=list(arguments), prog_name="nsagent", obj=prepare)
    except SystemExit as err:
        status = err.code if isinstance(err.code, int) else EXIT_USAGE
        leave(status)
        return status
    except (NsagentError, OSError) as err:  # A system call that fails where none ever does is one line, too.
        if "--debug" in arguments or os.environ.get("NSAGENT_DEBUG", "").lower() in YES:
            traceback.print_exc()
        print(f"nsagent: {escape(str(err))}", file=sys.stderr)
        return err.exit_status if isinstance(err, NsagentError) else EXIT_FAILED
    return 0


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"nsagent {nsagent.__version__}")
        raise typer.Exit


@app.callback()
def describe(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Which process, container and pod holds each socket, in every network namespace of this host."""
