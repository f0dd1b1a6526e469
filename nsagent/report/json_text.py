"""JSON text of plain values: ASCII, `", "` and `": "` between, as json.dumps writes them.

A string keeps its value by JSON's own escapes. Only bytes that were not UTF-8 (surrogate escapes)
have no value in JSON: they become the four characters `\\xNN`.
"""

import json
from collections.abc import Mapping, Sequence

from nsagent.report.escape import hex_escape


def quote(text: str | None) -> str:
    """The JSON literal of a string, `null` for None."""
    return "null" if text is None else json.dumps(without_surrogates(text))


def dump(value: object) -> str:
    """The JSON text of a value of dicts, lists, tuples, strings, numbers, bools and None."""
    return json.dumps(_plain(value))


def without_surrogates(text: str) -> str:
    """The text with each lone surrogate as `\\xNN` per byte that it stands for."""
    if text.isascii():
        return text
    return "".join(hex_escape(each) if "\ud800" <= each <= "\udfff" else each for each in text)


def _plain(value: object) -> object:
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, Mapping):
        return {without_surrogates(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [_plain(each) for each in value]
    return value
