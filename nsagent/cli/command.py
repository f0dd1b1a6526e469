"""How a function becomes a command.

Options that belong together are one parameter of it, a theme: a NamedTuple, whose fields are
options as typer reads them, or themes again. Help lists options in the order of the parameters.
To define a dataclass takes a millisecond, and a scan of a small host has 120.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from nsagent.errors import Aborted, UsageError

Prepare = Callable[[Mapping[str, Any]], object]
"""Called with the values of all options of a command, by name, before it begins; `context.obj` is what it gives."""

_OF_HOSTS: Final = ("engine", "runtime", "host_root", "proc_root")
"""Parameters that say how a host is read."""

_OPTIONS: Final = {"from_file": "--from"}
"""Parameters whose option is not called like them."""


def make_command(function: Callable[..., None]) -> Callable[..., None]:
    """`function` as typer takes it: in the place of a theme stands a parameter for each option of it.

    It takes its parameters by keyword. One that is no theme stays as it is. One called `context`, of the
    function or of a theme, is typer's. An interrupt ends the command with Aborted.
    """
    taken = list(signature(function).parameters.values())
    spread = [parameter for parameter in _spread(taken) if parameter.name != "context"]
    spread.append(Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context))

    @wraps(function)
    def run(**values: Any) -> None:
        context: typer.Context | None = values.setdefault("context", None)
        _check_used(context, values)
        if context is not None and context.obj is not None:
            context.obj = context.obj(values)
        try:
            function(**_gather(taken, values))
        except KeyboardInterrupt as err:
            raise Aborted("interrupted") from err

    run.__signature__ = Signature(spread)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in spread}
    return run


class Command(TyperCommand):
    """A command whose help that cannot be printed is one line."""

    def parse_args(self, ctx: Any, args: Any) -> Any:
        with _one_output(), _named(ctx):
            return super().parse_args(ctx, args)


class Group(TyperGroup):
    """Commands whose usage errors are one line as all others are, and whose help that cannot be printed is."""

    def parse_args(self, ctx: Any, args: Any) -> Any:
        with _one_output(), _named(ctx):
            return super().parse_args(ctx, args)

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        with _one_line():
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: Any) -> Any:
        with _one_line():
            return super().invoke(ctx)


@contextmanager
def _one_output() -> Iterator[None]:
    """While options are parsed nothing but help, the version and completion is written: their stdout may be closed."""
    try:
        yield
    except OSError as err:
        from nsagent.cli.write import end_output

        end_output(err)
        raise typer.Exit from err


@contextmanager
def _named(context: Any) -> Iterator[None]:
    """typer does not say of an option without its value in which command that was."""
    try:
        yield
    except TyperException as err:
        if getattr(err, "ctx", context) is None:
            err.ctx = context  # type: ignore[attr-defined]
        raise


@contextmanager
def _one_line() -> Iterator[None]:
    """Raises UsageError for what typer calls one, with the command whose help says what there is."""
    try:
        yield
    except TyperException as err:
        if err.__class__.__name__ == "NoArgsIsHelpError":  # Its message is the help itself.
            raise
        context = getattr(err, "ctx", None)
        command = context.command_path if context else "nsagent"
        message = " ".join(err.format_message().split()).rstrip(".")
        raise UsageError(f"{message}; see {command} --help") from err


def _check_used(context: typer.Context | None, values: Mapping[str, Any]) -> None:
    """Raises UsageError for an option that was typed and is of no use beside another one.

    One that a variable sets is left alone: it is meant for many commands.
    """
    if context is None:
        return
    if values.get("agent"):
        _refuse(context, values, ("from_file", *_OF_HOSTS), "not used with --agent, which tells of a pass that it made")
    elif values.get("from_file") is not None and _is_typed(context, "from_file"):
        _refuse(context, values, _OF_HOSTS, "not used with --from, which reads a capture and no host")
    if values.get("watch") is False:
        _refuse(context, values, ("interval",), "not used without --watch")


def _refuse(context: typer.Context, values: Mapping[str, Any], unused: Iterable[str], why: str) -> None:
    typed = [name for name in unused if name in values and _is_typed(context, name)]
    if typed:
        options = ", ".join(_OPTIONS.get(name) or f"--{name.replace('_', '-')}" for name in typed)
        raise UsageError(f"{options}: {why}")


def is_of_environment(context: typer.Context | None, name: str) -> bool:
    """Whether the value of an option is that of its NSAGENT_* variable."""
    source = None if context is None else context.get_parameter_source(name)
    return source is not None and source.name == "ENVIRONMENT"


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _spread(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    for parameter in parameters:
        if fields := _list_fields(parameter):
            yield from _spread(fields)
        else:
            yield parameter


def _gather(parameters: Iterable[Parameter], values: dict[str, Any]) -> dict[str, Any]:
    """The value of each parameter; that of a theme is made of the values of its options."""
    return {
        parameter.name: parameter.annotation(**_gather(fields, values))
        if (fields := _list_fields(parameter))
        else values[parameter.name]
        for parameter in parameters
    }


def _list_fields(parameter: Parameter) -> list[Parameter]:
    """The fields of a theme as parameters, none of what is no theme."""
    theme = parameter.annotation
    if not hasattr(theme, "_field_defaults"):
        return []
    types, defaults = theme.__annotations__, theme._field_defaults
    return [
        Parameter(name, Parameter.KEYWORD_ONLY, default=defaults.get(name, Parameter.empty), annotation=types[name])
        for name in theme._fields
    ]
