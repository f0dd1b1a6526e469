"""Records of many fields tell of each where it stands, as no reader keeps a paragraph about twenty names in mind."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "nsagent"
MANY = 8


def list_large_records() -> Iterator[tuple[str, str, list[str]]]:
    """(where, docstring, fields) of each class with many fields; but in cli, where the help of an option tells."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "cli" not in path.relative_to(PACKAGE).parts:
                fields = [ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)]
                if len(fields) > MANY:
                    yield f"{path.relative_to(PACKAGE)}:{node.name}", ast.get_docstring(node) or "", fields


@pytest.mark.parametrize(("text", "fields"), [pytest.param(*each, id=where) for where, *each in list_large_records()])
def test_a_record_of_many_fields_tells_of_each_where_it_stands(text: str, fields: list[str]) -> None:
    assert [name for name in re.findall(r"`(\w+)`", text) if name in fields] == []
