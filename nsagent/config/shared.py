"""What several parts of a config must not have in common: names of reports, and files that are written. Pure."""

import posixpath
from collections.abc import Iterator
from typing import Any

from nsagent.config.document import Document, Finding, Loc, tell_path


def find_shared(document: Document) -> Iterator[Finding]:
    """A finding for each name and each path that another part of the file has before it.

    The values are as written, of any kind: what is wrong with one is no reason to keep quiet about another.
    """
    names = [(("reports", index, "name"), report.get("name")) for index, report in _list_mappings(document.values)]
    paths = [(loc, _normal(path)) for loc, path in _list_paths(document.values) if str(path)[:1] == "/"]
    for places, what in ((names, "is the name of {} too"), (paths, "is written by {} too")):
        first: dict[str, Loc] = {}
        for loc, text in places:
            if isinstance(text, str) and text in first:
                place, called = document.locate(loc)
                yield Finding(place, called, what.format(tell_path(first[text][:-1]) or tell_path(first[text])))
            elif isinstance(text, str):
                first[text] = loc


def _normal(path: object) -> str:
    """An absolute path by which the same file is always called, but for links."""
    return posixpath.normpath("/" + str(path).lstrip("/"))


def _list_paths(values: dict[str, Any]) -> Iterator[tuple[Loc, object]]:
    for index, report in _list_mappings(values):
        for place, output in _list_mappings(report, "outputs"):
            loc: Loc = ("reports", index, "outputs", place)
            yield (*loc, "path"), output.get("path")
            if isinstance(spool := output.get("spool"), dict):
                yield (*loc, "spool", "path"), spool.get("path")
    if isinstance(history := values.get("history"), dict):
        yield ("history", "path"), history.get("path")
    yield ("socket",), values.get("socket")


def _list_mappings(values: dict[str, Any], key: str = "reports") -> Iterator[tuple[int, dict[str, Any]]]:
    """The mappings in the list of this key, with their indexes."""
    listed = values.get(key)
    for index, each in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(each, dict):
            yield index, each
