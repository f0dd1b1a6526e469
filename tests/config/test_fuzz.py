"""Any bytes are a Config or a ConfigError that tells where, in bounded time."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nsagent.config.load import MAX_PROBLEMS, load
from nsagent.config.model import Config
from nsagent.config.show import show_config
from nsagent.errors import ConfigError
from nsagent.report.yaml import render_record
from tests.config.rows import REPORT
from tests.config.test_load import WHOLE

WORDS = st.sampled_from(
    [
        "version", "reports", "name", "every", "cron", "select", "port", "outputs", "type", "file", "stdout", "http",
        "path", "listen", "spool", "history", "socket", "view", "top", "group_by", "limits", "cpu", "1", "1m", "/a",
        "null", "5%", "${A}", "$", "*a", "&a", "!t", "- ", "[", "]", "{", "}", ": ", ":", ",", "\n", "\n  ", "\n    ",
        "\n  - ", "'", '"',
        "#", "|", ">", "?", "---", "...", "%YAML 1.2", "\t", "\x00", "\ufeff", "\u2028", "\\x", "<<", "~",
    ]
)  # fmt: skip

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
KEYS = st.sampled_from([*Config.model_fields, "name", "every", "select", "outputs", "type", "path", "url"]) | st.text(
    max_size=4
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def check(content: bytes) -> Config | None:
    """The config, None for a ConfigError of which each problem is one line with a place."""
    try:
        return load(content, "F", {"A": "1", "B": "\udcff\n"})
    except ConfigError as err:
        problems = err.problems
    assert 1 <= len(problems) <= MAX_PROBLEMS + 1
    for problem in problems:
        assert problem.line is not None
        assert problem.column is not None
        assert (problem.line >= 1, problem.column >= 1) == (True, True)
        assert str(problem).isprintable()
    return None


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"a: '\\ud800'")
@example(b"version: 1\nruntime: ${B}")
def test_any_bytes_are_a_config_or_problems(content: bytes) -> None:
    check(content)


@given(st.lists(WORDS, max_size=30).map("".join))
def test_any_words_of_a_config_are_a_config_or_problems(text: str) -> None:
    check(text.encode())


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_yaml_is_a_config_or_problems(value: dict[str, object]) -> None:
    check(render_record(value).encode())


@given(st.sampled_from([REPORT, WHOLE]), st.integers(0, len(WHOLE)), st.integers(0, 12), WORDS | st.text(max_size=3))
def test_a_damaged_config_is_a_config_or_problems(text: str, start: int, length: int, put: str) -> None:
    config = check((text[:start] + put + text[start + length :]).encode("utf-8", "surrogatepass"))
    if config is not None:
        assert check(render_record(show_config(config)).encode()) == config


# What these lines cover others cover too, and tracing them takes as long as running them.
@pytest.mark.no_cover
@pytest.mark.parametrize(
    "text",
    [
        "- a\n" * (1 << 18),
        "[" + "[]," * 300_000 + "]",
        "reports: [" + "a," * 500_000 + "]",
        "reports:\n" + "- {name: a}\n" * 80_000,
        "".join(f"a{index}: 1\n" for index in range(90_000)),
        "".join("a: 1\n" for index in range(200_000)),
        "a: " + "x" * (1 << 20 - 10),
        "a: '" + "$" * ((1 << 20) - 10) + "'",
        "a: '" + "${A:-xxx}" * 100_000 + "'",
        "version: 1\nreports: [{select: {port: [" + "9," * 500_000 + "]}}]",
        "version: 1\nreports: [{cron: '" + "*," * 500_000 + "'}]",
        "version: " + "9" * 1_000_000,
        "x" * 1_000_000 + ": 1",
    ],
    ids=str.__len__,
)
def test_a_large_file_takes_bounded_time(text: str) -> None:
    """Of the clock of this thread: the machine may be busy."""
    started = time.thread_time()
    check(text.encode()[: 1 << 20])
    assert time.thread_time() - started < 20
