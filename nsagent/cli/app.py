"""The `nsagent` command: its subcommands, and what their errors end with."""

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Final

import typer

import nsagent
from nsagent.cli.command import Command, Group, Prepare, make_command
from nsagent.cli.tell import tell
from nsagent.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, ConfigError, NsagentError, WrongExpression
from nsagent.report.escape import escape

YES = ("1", "true", "t", "yes", "y", "on")
"""What typer takes for true in a variable."""

_TOLD: Final = (NsagentError, OSError, MemoryError, ImportError, SystemError)
"""What ends with a line: a system call that fails where none ever does, too, and what a module that is not there, or
for which there is no memory, and an interpreter without any, raise."""

COMMANDS: Final = (
    "scan",
    "who",
    "port",
    "pid",
    "netns",
    "containers",
    "inspect",
    "diff",
    "watch",
    "capture",
    "run",
    "report",
    "history",
    "status",
    "config",
    "doctor",
    "manifests",
)
"""Each is a function of its name, or a group of them, in a module of its name."""


def make_app(commands: Sequence[str] = COMMANDS) -> typer.Typer:
    """The program with these commands; to define one takes a millisecond or two."""
    app = typer.Typer(
        name="nsagent",
        cls=Group,
        context_settings={"help_option_names": ["-h", "--help"]},
        no_args_is_help=True,
        # Plain help: rich costs as much time as a scan of a small host, and must never interpret our text.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(describe)
    for name in commands:
        command = getattr(import_module(f"nsagent.cli.{name}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, cls=Group)
        else:
            app.command(name, cls=Command)(make_command(command))
    return app


def run(
    arguments: Sequence[str],
    leave: Callable[[int], object] = lambda _: None,
    prepare: Prepare | None = None,
    *,
    interruptible: bool = False,
) -> int:
    """Run one command; its exit status. Every error is one line on stderr, a traceback only with --debug.

    `prepare` is called with the command's options before it begins, and may change the process for it.
    `leave` may end the process with the status of a command that has answered. It is called while
    the answer is in memory: to take 10^5 rows apart takes a fiftieth of a scan.
    `interruptible`: Ctrl-C ends the command with a line, as Python would have it.
    """
    # A pass makes up to millions of records and no cycles: collecting them again and again takes
    # a tenth of the time and finds nothing.
    gc.disable()
    interrupted, hook = False, sys.unraisablehook

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    try:
        sys.unraisablehook = _tell_unraisable
        if interruptible:
            signal.signal(signal.SIGINT, interrupt)
        return _run(arguments, leave, prepare)
    except BaseException as err:
        # Before a command began, or after it. Python 3.11 makes a RuntimeError of one in the middle of a class.
        if not interrupted and not isinstance(err, KeyboardInterrupt):
            raise
        tell("nsagent: interrupted")
        return EXIT_INTERRUPTED
    finally:
        if interruptible:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # All is said.
        sys.unraisablehook = hook


def _tell_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Tell what nobody can be told of otherwise, but for an interrupt in a finalizer: of that its handler knows."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)


def _run(arguments: Sequence[str], leave: Callable[[int], object], prepare: Prepare | None) -> int:
    try:
        app = make_app(_list_needed(arguments))
        app(args=list(arguments), prog_name="nsagent", obj=prepare)
    except SystemExit as err:
        status = err.code if isinstance(err.code, int) else EXIT_USAGE
        leave(status)
        return status
    except _TOLD as err:
        if "--debug" in arguments or os.environ.get("NSAGENT_DEBUG", "").lower() in YES:
            traceback.print_exc()
        # Those of a config begin with FILE:LINE:COLUMN, where editors look for it.
        lines = list(map(str, err.problems)) if isinstance(err, ConfigError) else [f"nsagent: {_explain(err)}"]
        if isinstance(err, WrongExpression):
            from nsagent.cli.expression import point_at

            lines += point_at(err)
        for line in lines:
            tell(escape(line))
        return err.exit_status if isinstance(err, NsagentError) else EXIT_FAILED
    return 0


def _explain(err: Exception) -> str:
    return "out of memory" if isinstance(err, MemoryError) else str(err)


def _list_needed(arguments: Sequence[str]) -> Sequence[str]:
    """The commands that these arguments, or those that are completed, need: all, where help may be asked for."""
    first = arguments[0] if arguments else ""
    if "_NSAGENT_COMPLETE" in os.environ:
        # Of bash, and of zsh and fish; nothing after the command means that it is itself being typed.
        typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
        words = typed.split(" ", 2)
        return (words[1],) if len(words) > 2 and words[1] in COMMANDS else COMMANDS
    return () if first == "--version" else (first,) if first in COMMANDS else COMMANDS


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"nsagent {nsagent.__version__}", flush=True)
        raise typer.Exit


def describe(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Which process, container and pod holds each socket, in every network namespace of this host."""
