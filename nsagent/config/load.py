"""YAML text -> Config, with everything that is wrong at once, each with its place. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from nsagent.config.document import Document, Finding, Loc, tell_path
from nsagent.config.explain import drop_tags, explain
from nsagent.config.model import Config, Outside, Report
from nsagent.config.shared import find_shared
from nsagent.config.tree import Place, Refused
from nsagent.errors import ConfigError, ConfigProblem

MAX_PROBLEMS: Final = 100
"""How many are told: there may be 10^5, and a suggestion for each takes a minute."""

Misfit = tuple[Loc, str]
"""What in a report does not fit, named from the report down, and what was expected."""


def _find_nothing(_: Report) -> Iterable[Misfit]:
    return ()


class Checks(NamedTuple):
    """What other rooms know of what may stand in a config."""

    find_misfits: Callable[[Report], Iterable[Misfit]] = _find_nothing
    """Asked of each report that is right by itself: columns that its view does not have, and the like."""
    check_runtime: Callable[[str], object] = str
    """Raises UsageError for what `--runtime` of scan does not take."""


NO_CHECKS: Final = Checks()


def load(content: bytes, file: str, environ: Mapping[str, str], checks: Checks = NO_CHECKS) -> Config:
    """The config in a file of this content; raises ConfigError with all that is wrong.

    `environ` has the variables that are put in, and POD_IP, the pod's own address: to listen on it needs no
    token. `file` is what the file is called in errors.
    """
    try:
        document = Document(content, environ)
    except Refused as err:
        raise ConfigError([ConfigProblem(file, *err.place, "", str(err))]) from err
    outside = Outside(checks.check_runtime, environ.get("POD_IP"))
    config: Config | None = None
    errors: Sequence[Mapping[str, Any]] = ()
    try:
        config = Config.model_validate(document.values, context=outside)
    except ValidationError as err:
        errors = err.errors(include_url=False)
    found = [*document.findings, *find_shared(document), *_find_misfits(document, checks.find_misfits)]
    if config is None or found:
        raise ConfigError(_list_problems(file, found, [(*_locate(document, error), error) for error in errors]))
    return config


def _locate(document: Document, error: Mapping[str, Any]) -> tuple[Place, Loc]:
    """Where an error of pydantic stands, and how that is called."""
    loc = drop_tags(error["loc"])
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        loc = (*loc, "type")
    place, found = document.locate(loc, key=error["type"] == "extra_forbidden")
    return place, loc if error["type"] in ("missing", "union_tag_not_found") else found


def _find_misfits(document: Document, find: Callable[[Report], Iterable[Misfit]]) -> Iterator[Finding]:
    reports = document.values.get("reports")
    for index, values in enumerate(reports if isinstance(reports, list) else ()):
        try:
            report = Report.model_validate(values)
        except ValidationError:
            continue
        for loc, message in find(report):
            place, called = document.locate(("reports", index, *loc))
            yield Finding(place, called, message)


def _list_problems(
    file: str, found: Iterable[Finding], errors: Iterable[tuple[Place, Loc, Mapping[str, Any]]]
) -> list[ConfigProblem]:
    """The problems in the order of the file; where something is wrong already, pydantic's view of it is no news."""
    known = {finding.place for finding in found}
    all_: list[tuple[Place, Loc, Any]] = [*found, *(each for each in errors if each[0] not in known)]
    all_.sort(key=lambda each: each[0])
    schema = Config.model_json_schema()
    problems = [
        ConfigProblem(
            file,
            *place,
            tell_path(loc),
            _on_one_line(message if isinstance(message, str) else explain(message, schema)),
        )
        for place, loc, message in all_[:MAX_PROBLEMS]
    ]
    if (rest := len(all_) - MAX_PROBLEMS) > 0:
        problems.append(ConfigProblem(file, *all_[MAX_PROBLEMS][0], "", f"and {rest} problems more"))
    return problems


def _on_one_line(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()
