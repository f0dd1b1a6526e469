"""A Config as the mapping that a file would have, without what is secret in it. Pure."""

from typing import Any, Final

from nsagent.config.model import Config

HIDDEN: Final = "HIDDEN"
"""What stands for a value that is not shown."""

_NULL_MEANS: Final = ("socket",)
"""Keys of which null is not the default."""


def show_config(config: Config) -> dict[str, Any]:
    """All that is in force, defaults too, as `load` takes it; without keys that are absent, or lists of nothing.

    Of a URL the values of its query are hidden: they are often keys, and often come from the environment.
    """
    shown: dict[str, Any] = _show(config.model_dump(mode="json"))
    return shown


def _show(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        items = {name: _show(each, name) for name, each in value.items()}
        return {name: each for name, each in items.items() if each not in (None, []) or name in _NULL_MEANS}
    if isinstance(value, list):
        return [_show(each) for each in value]
    if isinstance(value, str):
        # A dollar sign is doubled: what is shown is read back as it is.
        return (_hide_query(value) if key == "url" else value).replace("$", "$$")
    return value


def _hide_query(url: str) -> str:
    before, mark, query = url.partition("?")
    return before + mark + "&".join(map(_hide_value, query.split("&")))


def _hide_value(part: str) -> str:
    """One of `NAME=VALUE`, or a value alone."""
    name, mark, value = part.rpartition("=") if "=" not in part else part.partition("=")
    return name + mark + (HIDDEN if value else "")
