"""Configs for tests, as short as they can be."""

from collections.abc import Mapping

from nsagent.config.load import NO_CHECKS, Checks, load
from nsagent.config.model import Config
from nsagent.errors import ConfigError

NOBODY: Mapping[str, str] = {}

REPORT = "version: 1\nreports:\n  - name: a\n    every: 1m\n"
"""A report to which keys may be added, from line 5 on, four spaces in."""


def config_of(text: str, environ: Mapping[str, str] = NOBODY, checks: Checks = NO_CHECKS) -> Config:
    """The config that a text is."""
    return load(text.encode(), "F", environ, checks)


def problems_of(text: str | bytes, environ: Mapping[str, str] = NOBODY, checks: Checks = NO_CHECKS) -> list[str]:
    """What is wrong with a text, as it is told; none where nothing is."""
    try:
        load(text.encode() if isinstance(text, str) else text, "F", environ, checks)
    except ConfigError as err:
        return str(err).split("\n")
    return []


def report_problems(*lines: str) -> list[str]:
    """What is wrong with a report that has these keys too, each in a line from line 5 on."""
    return problems_of(REPORT + "".join(f"    {line}\n" for line in lines))
