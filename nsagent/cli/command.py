"""How a function becomes a command.

Options that belong together are one parameter of it, a theme: a NamedTuple, whose fields are
options as typer reads them, or themes again. Help lists options in the order of the parameters.
To define a dataclass takes a millisecond, and a scan of a small host has 120.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any

from nsagent.errors import Aborted


def make_command(function: Callable[..., None]) -> Callable[..., None]:
    """`function` as typer takes it: in the place of a theme stands a parameter for each option of it.

    It takes its parameters by keyword. One that is no theme stays as it is. An interrupt ends the
    command with Aborted.
    """
    taken = list(signature(function).parameters.values())
    spread = list(_spread(taken))

    @wraps(function)
    def run(**values: Any) -> None:
        try:
            function(**_gather(taken, values))
        except KeyboardInterrupt as err:
            raise Aborted("interrupted") from err

    run.__signature__ = Signature(spread)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in spread}
    return run


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
