"""What pydantic finds wrong, in the words of this project. Pure."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final

from nsagent.config.document import Loc

_EXPECTED: Final = {
    "dict_type": "expected keys and values",
    "model_type": "expected keys and values",
    "model_attributes_type": "expected keys and values",
    "missing": "is missing",
    "string_type": "expected text: a number, true, false or null is text in quotes",
    "string_unicode": "expected text of Unicode characters",
    "tuple_type": "expected a list",
}
"""Type of an error of pydantic -> what is said of it."""

_NOT_YET: Final = {
    "events": "is not supported yet",
}
"""Keys that are laid out and that this version does not have."""

_MAX_COMPARED: Final = 64


def drop_tags(loc: Loc) -> Loc:
    """The place of an error without the types of outputs, which pydantic puts behind their indexes."""
    tags = {index + 2 for index, part in enumerate(loc) if part == "outputs" and len(loc) > index + 2}
    return tuple(part for index, part in enumerate(loc) if index not in tags)


def explain(error: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What is wrong and what was expected; never the value, which may have come from the environment.

    `schema` is the JSON Schema of a config, which tells what keys there are.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _explain_key(error["loc"], schema)
    if kind in ("enum", "literal_error"):
        return _explain_choice(context["expected"], error["input"])
    if kind == "union_tag_invalid":
        return _explain_choice(context["expected_tags"], context["tag"])
    if kind == "union_tag_not_found":
        return "is missing: expected one of file, stdout, textfile, http"
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return "expected lower-case letters, digits, - and _, at most 63, the first no - or _"
    return _EXPECTED.get(kind) or error["msg"]


def _explain_choice(quoted: str, got: object) -> str:
    """Of the choices as pydantic lists them: `'a', 'b' or 'c'`."""
    choices = re.findall(r"'([^']*)'", quoted) or [quoted]
    expected = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    return f"expected {expected}{_near(got, choices) if isinstance(got, str) else ''}"


def _explain_key(loc: tuple[int | str, ...], schema: Mapping[str, Any]) -> str:
    key = str(loc[-1])
    if key in _NOT_YET:
        return _NOT_YET[key]
    known = list_keys(loc[:-1], schema)
    return "unknown key" + (_near(key, known) or f"; expected {', '.join(known)}")


def list_keys(loc: tuple[int | str, ...], schema: Mapping[str, Any]) -> list[str]:
    """The keys of the section that pydantic calls so, types of outputs included."""
    section = schema
    for part in loc:
        if isinstance(part, int):
            section = section["items"]
        elif "discriminator" in section:
            section = {"$ref": section["discriminator"]["mapping"][part]}
        else:
            section = section["properties"][part]
        section = next((each for each in section.get("anyOf", ()) if "$ref" in each), section)
        if "$ref" in section:
            section = schema["$defs"][section["$ref"].rpartition("/")[2]]
    return list(section["properties"])


def _near(text: str, known: list[str]) -> str:
    near = difflib.get_close_matches(text[:_MAX_COMPARED].lower(), known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
