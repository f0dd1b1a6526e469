"""Commands that need more than a plain installation has."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nsagent.errors import MissingExtra

_OF_AGENT: Final = ("waitress", "cronsim", "prometheus_client", "pydantic")
"""What the extra `agent` installs, by the names of modules."""


@contextmanager
def needs_agent_extra() -> Iterator[None]:
    """For the imports of a command of the agent: raises MissingExtra where its extra is not installed."""
    try:
        yield
    except ModuleNotFoundError as err:
        module = (err.name or "").partition(".")[0]
        if module not in _OF_AGENT:
            raise
        raise MissingExtra("this command", module, "agent") from err
