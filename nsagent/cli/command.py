"""How a function becomes a command.

Options that belong together are one parameter of it, a theme: a frozen dataclass, whose fields are
options as typer reads them. Help lists options in the order of the parameters.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any

from nsagent.errors import Aborted


def make_command(function: Callable[..., None]) -> Callable[..., None]:
    """`function` as typer takes it: in the place of a theme stands a parameter for each of its fields.

    Fields of a base class come first. A parameter that is no theme stays one. An interrupt ends it with Aborted.
    """
    spread: list[Parameter] = []
    themes: dict[str, tuple[Callable[..., object], list[str]]] = {}
    for parameter in signature(function).parameters.values():
        theme = parameter.annotation
        if isinstance(theme, type) and is_dataclass(theme):
            options = [
                Parameter(each.name, Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type)
                for each in fields(theme)
            ]
            themes[parameter.name] = theme, [option.name for option in options]
            spread += options
        else:
            spread.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))

    @wraps(function)
    def run(**values: Any) -> None:
        made = {name: theme(**{each: values.pop(each) for each in names}) for name, (theme, names) in themes.items()}
        try:
            function(**values, **made)
        except KeyboardInterrupt as err:
            raise Aborted("interrupted") from err

    run.__signature__ = Signature(spread)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in spread}
    return run
