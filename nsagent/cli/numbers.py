"""Whole numbers as they are typed, of arguments and options that take one alone."""

from collections.abc import Callable
from typing import Final

from nsagent.errors import WrongValue

MAX_PID: Final = 1 << 31
"""Larger than any pid, as `--pid` takes it: what is above the kernel's own limit is no process, and told as such."""


def whole_number(name: str, most: int | None = None) -> Callable[[str], int]:
    """What reads for typer a number from 1 to `most`, and raises WrongValue for what is none.

    typer's own ranges say of a word that it is no valid int range.
    """

    def read(text: str) -> int:
        is_number = text.isascii() and text.isdigit() and len(text) < 20
        if not is_number or int(text) < 1 or (most is not None and int(text) > most):
            end = "" if most is None else f" to {most}"
            raise WrongValue(name, f"expected a number from 1{end}, got {text!r}")
        return int(text)

    return read
