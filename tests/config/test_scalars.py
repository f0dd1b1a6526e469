"""Scalars as YAML 1.2 has them, and variables in them."""

import math
from collections.abc import Mapping

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from yaml.nodes import ScalarNode

from nsagent.config.scalars import MAX_LENGTH, Scalar, read_scalar
from tests.config.rows import config_of, problems_of


def read(text: str, environ: Mapping[str, str] | None = None) -> Scalar:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, ScalarNode)
    return read_scalar(node, environ or {})


@pytest.mark.parametrize("text", ["on", "off", "yes", "no", "y", "n", "12:30", "0644", "1_000", "0b11", "2026-01-02",
                                  "<<", "+", ".", "1.2.3", "0x", "1e", "99999999999999999999", "-99999999999999999999",
                                  "TRue", "nULL", "abc"])  # fmt: skip
def test_what_is_text_in_yaml_1_2_stays_text(text: str) -> None:
    assert read(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0), ("-1", -1), ("+7", 7), ("0o17", 15), ("0x1F", 31), ("1.5", 1.5), (".5", 0.5), ("1.", 1.0),
        ("1e3", 1000.0), ("-1.5E-3", -0.0015), (".inf", math.inf), ("-.INF", -math.inf), ("true", True),
        ("False", False), ("null", None),
        ("~", None), ("''", ""), ("'1'", "1"), ('"true"', "true"), ("|\n  1\n", "1\n"), ("'null'", "null"),
    ],
)  # fmt: skip
def test_what_is_more_than_text_is_told_by_its_look(text: str, expected: Scalar) -> None:
    value = read(text)
    assert (value, type(value)) == (expected, type(expected))


def test_nan_is_one() -> None:
    value = read(".nan")
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "1"), ("x${A}y${A}", "x1y1"), ("$$", "$"), ("$${A}", "${A}"), ("$$$${A}", "$${A}"), ("${E}", ""),
        ("${NO:-else}", "else"), ("${E:-else}", "else"), ("${A:-else}", "1"), ("${NO:-}", ""), ("${NO:-a:-b}", "a:-b"),
        ("${A:?why}", "1"), ("'${A}'", "1"), ("${M}", "[a, b]: {c"), ("${D}", "${A}"), ("${T}", "true"),
    ],
)  # fmt: skip
def test_variables_are_put_in_as_text(text: str, expected: str) -> None:
    environ = {"A": "1", "E": "", "M": "[a, b]: {c", "D": "${A}", "T": "true"}
    assert read(text, environ) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NO}", "the variable NO is not set"),
        ("${NO:?set it to a port}", "the variable NO is not set: set it to a port"),
        ("${E:?set it to a port}", "the variable E is empty: set it to a port"),
        ("$NO", "expected ${NAME}, ${NAME:-DEFAULT} or ${NAME:?MESSAGE}; a dollar sign itself is $$"),
        ("a$", "expected ${NAME}"),
        ("${NO", "expected ${NAME}"),
        ("${1}", "expected ${NAME}"),
        ("${}", "expected ${NAME}"),
        ("${NO:+x}", "expected ${NAME}"),
        ("${NO:-${A}}", "expected ${NAME}"),
    ],
)
def test_a_variable_that_cannot_be_put_in_is_told_with_its_place(text: str, message: str) -> None:
    (problem,) = problems_of(f"version: 1\nruntime: '{text}'", {"E": "", "A": "1"})
    assert problem.startswith(f"F:2:10: runtime: {message}")


def test_variables_do_not_make_a_text_of_any_length() -> None:
    (problem,) = problems_of(f"version: 1\nruntime: {'${A}' * 100}", {"A": "x" * (MAX_LENGTH // 50)})
    assert problem.startswith("F:2:10: runtime: expected no more than 65536 characters")


def test_a_variable_gives_a_number_or_a_switch_where_one_is_expected() -> None:
    keep = "outputs: [{type: file, path: /a, keep: '${K}'}]"
    text = f"version: 1\nreports:\n  - {{name: a, every: '${{E}}', diff: '${{D}}', {keep}}}"
    (report,) = config_of(text, {"E": "2m", "D": "true", "K": "7"}).reports
    assert (report.every, report.diff, report.outputs[0].model_dump()["keep"]) == (120.0, True, 7)


def test_what_a_variable_holds_is_not_told_in_an_error() -> None:
    url = "    outputs: [{type: http, url: '${URL}'}]\n"
    (problem,) = problems_of(f"version: 1\nreports:\n  - name: a\n    every: 1m\n{url}", {"URL": "http://u:secret@h/"})
    assert "secret" not in problem


@given(st.text(st.sampled_from("${}:-?A1_ x"), max_size=12), st.text(max_size=5))
def test_any_text_with_variables_is_a_text_or_an_error(text: str, value: str) -> None:
    node = ScalarNode("", text, style="'")
    try:
        assert isinstance(read_scalar(node, {"A": value}), str)
    except ValueError as err:
        assert str(err).startswith(("the variable", "expected ${NAME}"))  # noqa: PT017
