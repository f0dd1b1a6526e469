"""Label selectors as kubectl takes them: `app=web,tier!=db,canary,!old`. Pure.

Source: kubernetes.io, "Labels and Selectors", the equality-based form.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from nsagent.errors import WrongValue

_REQUIREMENT: Final = re.compile(
    r"\s*(?P<absent>!\s*)?(?P<key>[^\s=!,]+)\s*(?:(?P<operator>==?|!=)\s*(?P<value>[^,]*?))?\s*", re.DOTALL
)


class Requirement(NamedTuple):
    """What one label must be; `value` None asks whether it is there at all. `wanted` False asks for the contrary."""

    key: str
    value: str | None
    wanted: bool

    def __str__(self) -> str:
        if self.value is None:
            return self.key if self.wanted else f"!{self.key}"
        return f"{self.key}{'=' if self.wanted else '!='}{self.value}"


class LabelSelector(NamedTuple):
    """Requirements that must all be met."""

    requirements: tuple[Requirement, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels meet them; a label that is not there has no value, so that `key!=value` is met."""
        return all(
            ((key in labels) if value is None else labels.get(key) == value) is wanted
            for key, value, wanted in self.requirements
        )


def parse_labels(texts: Sequence[str] | None) -> tuple[LabelSelector, ...]:
    """The selectors of `-l`, one for each time it was given; raises WrongValue."""
    return tuple(LabelSelector(tuple(map(_parse_requirement, text.split(",")))) for text in texts or ())


def _parse_requirement(text: str) -> Requirement:
    match = _REQUIREMENT.fullmatch(text)
    if match is None or (match["absent"] and match["operator"]):
        raise WrongValue("--label", f"expected KEY=VALUE, KEY!=VALUE, KEY or !KEY, got {text!r}")
    return Requirement(match["key"], match["value"], not match["absent"] and match["operator"] != "!=")
