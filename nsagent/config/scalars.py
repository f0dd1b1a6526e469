"""What a scalar of the file is: text, a number, true, false or null; with the environment's variables put in. Pure.

Source: YAML 1.2.2, chapters 10.2 and 10.3. `on`, `no`, `12:30` and `0644` are text, and so are whole
numbers of more digits than anything here has.
"""

import re
from collections.abc import Mapping
from typing import Final

from yaml.nodes import ScalarNode

Scalar = str | int | float | bool | None

_NAMED: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})|0o[0-7]{1,18}|0x[0-9a-fA-F]{1,15}", re.ASCII)
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    re.ASCII,
)
_VARIABLE: Final = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([-?])([^{}$]*))?\}|\$", re.ASCII)

MAX_LENGTH: Final = 1 << 16
"""Characters of a scalar with its variables put in."""


def read_scalar(node: ScalarNode, environ: Mapping[str, str]) -> Scalar:
    """The value of a scalar; text where it is quoted or holds a `$`.

    Raises ValueError for a variable that is not set, and for a `$` that is none.
    """
    text: str = node.value
    if "$" in text:
        return _put_in(text, environ)
    return text if node.style else _read_plain(text)


def _read_plain(text: str) -> Scalar:
    if text in _NAMED:
        return _NAMED[text]
    if _WHOLE.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) and not text.lstrip("+-").isdigit():
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _put_in(text: str, environ: Mapping[str, str]) -> str:
    """The text with its variables put in: `${X}`, `${X:-else}`, `${X:?why}`; `$$` is a dollar sign.

    As in the shell, one that is empty counts as not set for the latter two. Values are text, whatever they hold.
    """
    parts: list[str] = []
    end = length = 0
    for match in _VARIABLE.finditer(text):
        parts += [text[end : match.start()], _value(match, environ)]
        end = match.end()
        length += len(parts[-1]) + len(parts[-2])
        if length > MAX_LENGTH:
            raise ValueError(f"expected no more than {MAX_LENGTH} characters with the variables put in")
    return "".join([*parts, text[end:]])


def _value(match: re.Match[str], environ: Mapping[str, str]) -> str:
    name, operator, more = match.groups()
    if match[0] == "$$":
        return "$"
    if name is None:
        raise ValueError("expected ${NAME}, ${NAME:-DEFAULT} or ${NAME:?MESSAGE}; a dollar sign itself is $$")
    value = environ.get(name)
    if operator is None and value is not None:
        return value
    if value:
        return value
    if operator == "-":
        return more
    what = "is not set" if value is None else "is empty"
    raise ValueError(f"the variable {name} {what}{': ' + more if more else ''}")
