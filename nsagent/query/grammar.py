"""Filter expressions in the words of ss(8), and some more: `sport = :443 and not dst 10.0.0.0/8`. Pure.

Source: FILTER of ss(8); left out are `fwmark`, `cgroup`, names of hosts, and families other than IP. `and` binds
closer than `or`, as that page says: ss of iproute2 6.1 takes the two from left to right.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from parsy import ParseError, Parser, alt, index, regex, seq, success

from nsagent.errors import WrongExpression, WrongValue
from nsagent.model.net import SocketState
from nsagent.query.conditions import (
    AUTOBOUND,
    FindPort,
    check_word,
    join,
    negate,
    read_condition,
    read_states,
)
from nsagent.query.expression import Autobound, Every, Expression, Some
from nsagent.query.filter import Filter

T = TypeVar("T")

MAX_LENGTH: Final = 16384
"""Characters."""
MAX_DEPTH: Final = 12
"""Of parentheses: the parser calls itself for each."""

_CONDITION: Final = "a condition like sport = :443"
_FOUND: Final = re.compile(r"[^\s()!=<>&|\"']+|\S|$")
"""What stands where something else was expected."""
_EXPECTED: Final = {"EOF": "the end"}
"""What parsy calls its own expectations -> what is said of them."""
_BARE: Final = r"[^\s()!=<>&|\"']+"
_END_OF_WORD: Final = r"(?![^\s()!=<>&|\"'])"
_OPERATORS: Final = {"==": "=", "eq": "=", "ne": "!=", "neq": "!=", "lt": "<", "gt": ">"} | {
    "le": "<=", "leq": "<=", "ge": ">=", "geq": ">=",
}  # fmt: skip
"""Other names of operators."""


def parse_expression(text: str, find_port: FindPort | None = None) -> Expression:
    """What an expression asks for; raises WrongExpression.

    `find_port` tells the ports of services; without it none has a name.
    """
    if len(text) > MAX_LENGTH:
        raise WrongExpression(f"expected at most {MAX_LENGTH} characters, got {len(text)}", text, MAX_LENGTH)
    try:
        expression: Expression = _Grammar(text, find_port).make().parse(text)
    except ParseError as err:
        expected = sorted(_EXPECTED.get(each, each) for each in err.expected)
        found = _FOUND.search(text, err.index)
        got = repr(found[0][:60]) if found and found[0] else "the end"
        told = expected[0] if len(expected) == 1 else f"one of {', '.join(expected)}"
        raise WrongExpression(f"expected {told}; got {got}", text, err.index) from err
    return expression


def _token(pattern: str, description: str, group: int = 0) -> Parser:
    """What matches a pattern in any case, and the space behind it."""
    return regex(pattern, re.IGNORECASE, group).desc(description) << regex(r"\s*")


class _Grammar:
    """The grammar, for one text: it is told in errors."""

    def __init__(self, text: str, find_port: FindPort | None) -> None:
        self._text = text
        self._find_port = find_port

    def make(self) -> Parser:
        """The parser of whole expressions.

        Each pair of parentheses has a parser of its own inside, so that none recurses without end.
        """
        inner = index.map(self._refuse_depth)
        condition = self._make_condition()
        for _ in range(MAX_DEPTH + 1):
            inner = _make_level(inner, condition)
        return regex(r"\s*") >> alt(self._make_states(inner), inner)

    def _make_condition(self) -> Parser:
        word = _token(rf"(?!(?:and|or|not){_END_OF_WORD}){_BARE}", _CONDITION)
        autobound = _token(rf"{AUTOBOUND}{_END_OF_WORD}", _CONDITION).result(Autobound())
        return autobound | seq(
            seq(index, word).combine(self._check_word), _make_operator(), index, _make_value()
        ).combine(self._read_condition)

    def _make_states(self, inner: Parser) -> Parser:
        """States in front of an expression, as ss has them: those of `state` together, without those of `exclude`."""
        keyword = _token(rf"(?:state|exclude)(?=\s+(?!(?:eq|neq?){_END_OF_WORD})[^\s=!])", _CONDITION)
        states = seq(keyword, index, _make_value()).at_least(1).map(self._read_states)
        either = seq(index, _token(rf"(?:\|\|?|or{_END_OF_WORD})", "or")).combine(self._refuse_or)
        more = either | (_make_and().optional() >> inner)
        return seq(states, more.optional()).combine(lambda first, rest: first if rest is None else Every((first, rest)))

    def _check_word(self, place: int, word: str) -> str:
        return self._place(place, check_word, word)

    def _read_condition(self, word: str, operator: str, place: int, value: str) -> Expression:
        return self._place(place, read_condition, word, operator, value, self._find_port)

    def _read_states(self, listed: Iterable[tuple[str, int, str]]) -> Filter:
        states: frozenset[SocketState] | None = None
        for keyword, place, value in listed:
            states = self._place(place, read_states, keyword.lower() == "exclude", value, states)
        return Filter(states=states or frozenset())

    def _refuse_depth(self, place: int) -> None:
        raise WrongExpression(f"expected no more than {MAX_DEPTH} parentheses in each other", self._text, place)

    def _refuse_or(self, place: int, _: str) -> None:
        expected = "expected and, or a condition, behind states in front: those of an or are written `state = NAME`"
        raise WrongExpression(expected, self._text, place)

    def _place(self, place: int, read: Callable[..., T], *values: object) -> T:
        """What `read` makes of these; raises WrongExpression for what it does not take, which stands at `place`."""
        try:
            return read(*values)
        except WrongValue as err:
            raise WrongExpression(err.expected, self._text, place) from err


def _make_level(inner: Parser, condition: Parser) -> Parser:
    """Conditions and what is in parentheses, joined by not, and, or: each of these binds closer than the next."""
    group = _token(r"\(", _CONDITION) >> inner << _token(r"\)", ")")
    not_ = _token(rf"!|not{_END_OF_WORD}", _CONDITION)
    negation = seq(not_.many(), group | condition).combine(lambda nots, part: negate(part) if len(nots) % 2 else part)
    conjunction = negation.sep_by(_make_and().optional(), min=1).map(lambda parts: join(Every, parts))
    or_ = _token(rf"\|\|?|or{_END_OF_WORD}", "or")
    return conjunction.sep_by(or_, min=1).map(lambda parts: join(Some, parts))


def _make_and() -> Parser:
    return _token(rf"&&?|and{_END_OF_WORD}", "and")


def _make_operator() -> Parser:
    """An operator between a word and its value; = where there is none."""
    written = rf"==|!=|<=|>=|[=<>]|(?:eq|neq?|lt|gt|leq?|geq?){_END_OF_WORD}"
    named = _token(written, "an operator").map(lambda name: _OPERATORS.get(name.lower(), name))
    return named | success("=")


def _make_value() -> Parser:
    return alt(*(_token(f"{quote}([^{quote}]*){quote}", "a value", 1) for quote in "\"'"), _token(_BARE, "a value"))
