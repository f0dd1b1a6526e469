"""Records that loops build with tuple.__new__, which takes any number of fields: as many as the record has."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parent.parent / "nsagent"
TUPLE_NEW = "tuple.__new__"


class Build(NamedTuple):
    """One call that builds a record: where it is, of which class, and the fields it gives."""

    module: str
    line: int
    record: str
    fields: ast.expr


def list_builds() -> Iterator[Build]:
    """Every call of tuple.__new__, under whatever name a module has for it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        if TUPLE_NEW not in text:
            continue  # Nearly all: to walk through them takes seconds of each process that collects tests.
        tree = ast.parse(text)
        names = {TUPLE_NEW, *list_names(tree)}
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
                record, fields = node.args
                yield Build(module, node.lineno, ast.unparse(record), fields)


def list_names(tree: ast.Module) -> Iterator[str]:
    """What the module calls tuple.__new__."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == TUPLE_NEW:
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


BUILDS = list(list_builds())


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: f"{build.record} in {build.module}:{build.line}")
def test_a_record_is_built_with_as_many_fields_as_it_has(build: Build) -> None:
    record = getattr(importlib.import_module(build.module), build.record)
    assert isinstance(build.fields, ast.Tuple)
    assert not any(isinstance(field, ast.Starred) for field in build.fields.elts)
    assert len(build.fields.elts) == len(record._fields)


def test_the_records_of_the_busiest_loops_are_among_those_looked_at() -> None:
    assert {build.record for build in BUILDS} == {"Endpoint", "SocketRow", "Timer", "RowPlace", "OwnedSocket", "Owner"}
