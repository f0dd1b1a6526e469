"""Texts of filter expressions: what they mean, and what is said of those that mean nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import EXIT_USAGE, WrongExpression
from nsagent.model.ids import Pid
from nsagent.model.net import Protocol, SocketState
from nsagent.query.conditions import WORDS
from nsagent.query.expression import Autobound, Between, Every, Expression, Not, Number, Some
from nsagent.query.filter import Filter
from nsagent.query.grammar import MAX_DEPTH, MAX_LENGTH, parse_expression
from nsagent.query.network import parse_network
from tests.query.expressions import LAST, conditions, trees, write

SERVICES = {"ssh": 22, "http-alt": 8080}
LISTEN, ESTABLISHED, CLOSE = SocketState.LISTEN, SocketState.ESTABLISHED, SocketState.CLOSE
A, B, C = (Between(Number.LOCAL_PORT, port, port) for port in (1, 2, 3))


def src(text: str) -> Filter:
    return Filter(local=(parse_network(text, ""),))


def dst(text: str) -> Filter:
    return Filter(remote=(parse_network(text, ""),))


def sport(first: int, last: int | None = None) -> Between:
    return Between(Number.LOCAL_PORT, first, first if last is None else last)


def dport(port: int) -> Between:
    return Between(Number.REMOTE_PORT, port, port)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, sport(443)) for text in ("sport = :443", "sport=443", "sport :443", "sport == 443", "SPORT EQ :443")),
        *((text, Not(sport(443))) for text in ("sport != :443", "sport ne 443", "sport neq :443", "! sport :443")),
        *((text, sport(0, 442)) for text in ("sport < :443", "sport lt 443")),
        *((text, sport(0, 443)) for text in ("sport <= :443", "sport le 443", "sport leq 443")),
        *((text, sport(444, LAST)) for text in ("sport > :443", "sport gt 443")),
        *((text, sport(443, LAST)) for text in ("sport >= :443", "sport ge 443", "sport geq 443")),
        ("sport < 0", sport(0, -1)),
        ("dport = :ssh", dport(22)),
        ("port = http-alt", Some((sport(8080), dport(8080)))),
        ("src 10.0.0.1", src("10.0.0.1")),
        ("src = 10/8", src("10.0.0.0/8")),
        ("src != 10/8", Not(src("10.0.0.0/8"))),
        ("dst 10.0.0.1:80", Every((dst("10.0.0.1"), dport(80)))),
        ("dst 10.0.0.1:ssh", Every((dst("10.0.0.1"), dport(22)))),
        ("src 10.0.0.0/8:80", Every((src("10/8"), sport(80)))),
        ("src [::1]:80", Every((src("::1"), sport(80)))),
        ("src [fd00::/8]:80", Every((src("fd00::/8"), sport(80)))),
        ("src [::1]", src("::1")),
        ("src ::1", src("::1")),
        ("src 2001:db8::5:ab", src("2001:db8::5:ab")),
        ("src 1:2:3:4:5:6:7:80", src("1:2:3:4:5:6:7:80")),
        ("src [::1:80]", src("::1:80")),
        ("src 10.0.0.1:*", src("10.0.0.1")),
        ("src *:80", sport(80)),
        ("src :80", sport(80)),
        ("src *", Filter()),
        ("src *:*", Filter()),
        ("addr ::1", Some((src("::1"), dst("::1")))),
        ("addr :80", Some((sport(80), dport(80)))),
        ("autobound", Autobound()),
        ("uid < 1000", Between(Number.UID, 0, 999)),
        ("uid = 0", Between(Number.UID, 0, 0)),
        ("state = listening,estab", Filter(states=frozenset((LISTEN, ESTABLISHED)))),
        ("proto = UDP,icmp6", Filter(protocols=frozenset((Protocol.UDP, Protocol.ICMP)))),
        ("container = web", Filter(containers=("web",))),
        ("container shop/web-1/app", Filter(containers=("shop/web-1/app",))),
        ("container = web,db", Some((Filter(containers=("web",)), Filter(containers=("db",))))),
        ("pod = a,b", Some((Filter(pods=("a",)), Filter(pods=("b",))))),
        ("pid = 1,2", Some((Filter(pids=(Pid(1),)), Filter(pids=(Pid(2),))))),
        ("netns = /run/netns/a,host", Filter(netns=("/run/netns/a,host",))),
        ("comm = 'my app'", Filter(comms=("my app",))),
        ('comm = "it\'s"', Filter(comms=("it's",))),
        ("comm = 'a,b'", Filter(comms=("a", "b", "a,b"))),
        ("comm = ' x'", Filter(comms=("x", " x"))),
        ("comm = and", Filter(comms=("and",))),
        ("comm eqx", Filter(comms=("eqx",))),
        ("unit = ssh.service", Filter(units=("ssh.service",))),
        ("dev = eth0", Filter(interfaces=("eth0",))),
        ("owner = none", Filter(ownerless=True)),
        ("owner != none", Not(Filter(ownerless=True))),
    ],
)
def test_a_condition_is_a_word_an_operator_and_a_value(text: str, expected: Expression) -> None:
    assert parse_expression(text, SERVICES.get) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sport 1 and sport 2 or sport 3", Some((Every((A, B)), C))),
        ("sport 1 or sport 2 and sport 3", Some((A, Every((B, C))))),
        ("sport 1 or sport 2 sport 3", Some((A, Every((B, C))))),
        ("sport 1 sport 2 sport 3", Every((A, B, C))),
        ("sport 1&sport 2&&sport 3", Every((A, B, C))),
        ("sport 1|sport 2||sport 3", Some((A, B, C))),
        ("sport 1 AND sport 2 Or sport 3", Some((Every((A, B)), C))),
        ("not sport 1 and sport 2", Every((Not(A), B))),
        ("not sport 1 sport 2", Every((Not(A), B))),
        ("not ( sport 1 and sport 2 )", Not(Every((A, B)))),
        ("!(sport 1)", Not(A)),
        ("not not sport 1", A),
        ("not (not sport 1)", A),
        ("(sport 1 or sport 2) and sport 3", Every((Some((A, B)), C))),
        ("((sport 1))", A),
        (" \t\nsport 1\n", A),
    ],
)
def test_not_binds_closer_than_and_and_that_than_or(text: str, expected: Expression) -> None:
    assert parse_expression(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state listening", Filter(states=frozenset((LISTEN,)))),
        ("state listening state established", Filter(states=frozenset((LISTEN, ESTABLISHED)))),
        ("exclude listening", Filter(states=frozenset(SocketState) - {LISTEN})),
        ("state connected", Filter(states=frozenset(SocketState) - {LISTEN, CLOSE, SocketState.BOUND_INACTIVE})),
        ("state bucket", Filter(states=frozenset((SocketState.TIME_WAIT, SocketState.SYN_RECV)))),
        ("state bucket exclude syn-recv", Filter(states=frozenset((SocketState.TIME_WAIT,)))),
        ("state listening sport 1 or sport 2", Every((Filter(states=frozenset((LISTEN,))), Some((A, B))))),
        ("state listening and sport 1", Every((Filter(states=frozenset((LISTEN,))), A))),
        ("sport 1 and state listening", Every((A, Filter(states=frozenset((LISTEN,)))))),
        ("not state listening", Not(Filter(states=frozenset((LISTEN,))))),
        ("state eq listening or sport 1", Some((Filter(states=frozenset((LISTEN,))), A))),
        ("state != listening", Not(Filter(states=frozenset((LISTEN,))))),
    ],
)
def test_states_in_front_are_those_of_ss(text: str, expected: Expression) -> None:
    assert parse_expression(text) == expected


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 0, "expected a condition like sport = :443; got the end"),
        ("  ", 2, "expected a condition like sport = :443; got the end"),
        ("sport", 5, "expected one of a value, an operator; got the end"),
        ("sport =", 7, "expected a value; got the end"),
        ("sport = )", 8, "expected a value; got ')'"),
        ("sport = :1 or", 13, "expected a condition like sport = :443; got the end"),
        ("sport = :1 and or", 15, "expected a condition like sport = :443; got 'or'"),
        ("sport = :1 )", 11, "expected one of a condition like sport = :443, and, or, the end; got ')'"),
        ("( sport = :1", 12, "expected one of ), a condition like sport = :443, and, or; got the end"),
        ("not", 3, "expected a condition like sport = :443; got the end"),
        ("comm = 'x", 7, 'expected a value; got "\'"'),
        ("web", 0, f"expected one of {', '.join(WORDS)}, got 'web'"),
        ("sport = :1 sprot = 2", 11, f"expected one of {', '.join(WORDS)}, got 'sprot'; did you mean sport?"),
        ("sport = 1 android = 1", 10, f"expected one of {', '.join(WORDS)}, got 'android'"),
        ("nothing", 0, f"expected one of {', '.join(WORDS)}, got 'nothing'"),
        ("fwmark = 1", 0, f"expected one of {', '.join(WORDS)}, got 'fwmark'"),
        ("sport = :65536", 8, "expected a number from 0 to 65535, got '65536'"),
        ("sport = :nope", 8, "expected a port from 0 to 65535 or the name of a service, got 'nope'"),
        ("sport = 'a\x00'", 8, "expected a port from 0 to 65535 or the name of a service, got 'a\\x00'"),
        ("src = 10.0.0.1.2", 6, "expected an address or a prefix like 10.0.0.0/8 or fd00::/8, got '10.0.0.1.2'"),
        ("src = example.net", 6, "expected an address or a prefix like 10.0.0.0/8 or fd00::/8, got 'example.net'"),
        ("src = unix:/run/x", 6, "expected an address or a prefix like 10.0.0.0/8 or fd00::/8, got 'unix'"),
        ("src = 10.0.0.1/33", 6, "expected a prefix length from 0 to 32, got '10.0.0.1/33'"),
        ("src ::1:80", 4, "expected [::1]:80 for its port, or [::1:80] for the address, got '::1:80'"),
        ("src = [::1]80", 6, "expected ADDRESS[/LENGTH][:PORT], got '[::1]80'"),
        ("src = :", 6, "expected ADDRESS[/LENGTH][:PORT], got ':'"),
        ("src ''", 4, "expected ADDRESS[/LENGTH][:PORT], got ''"),
        ("src > 10.0.0.1", 6, "expected = or != between src and its value"),
        ("comm < x", 7, "expected = or != between comm and its value"),
        ("comm = containerd-shim-runc-v2", 7, "expected at most 15 bytes: the kernel keeps no more of a name"),
        ("comm = ''", 7, "expected a value, got ''"),
        ("netns = ','", 8, "expected a value, got ','"),
        ("owner = web", 8, "expected none, got 'web': ask for one by pid, comm, unit or container"),
        ("pid = x", 6, "expected a number from 0 to 2147483648, got 'x'"),
        ("uid = root", 6, "expected a number from 0 to 4294967295, got 'root'"),
        ("proto = unix", 8, f"expected one of {', '.join(Protocol)}, got 'unix'"),
        ("state listne", 6, f"expected one of {', '.join(SocketState)}, got 'listne'; did you mean listen?"),
        ("state listen exclude listen", 21, "expected to leave a state"),
        (
            "state listen or sport 1",
            13,
            "expected and, or a condition, behind states in front: those of an or are written `state = NAME`",
        ),
    ],
)
def test_what_is_no_expression_is_told_with_its_place(text: str, position: int, expected: str) -> None:
    with pytest.raises(WrongExpression) as caught:
        parse_expression(text, SERVICES.get)
    assert (caught.value.expected, caught.value.text, caught.value.position) == (expected, text, position)
    assert (str(caught.value), caught.value.exit_status) == (f"filter: {expected}", EXIT_USAGE)


def test_services_have_no_names_where_nobody_tells_them() -> None:
    with pytest.raises(WrongExpression, match="got 'ssh': services have other names on other hosts"):
        parse_expression("sport = :ssh")


@pytest.mark.parametrize("text", ["sport 1 " * (MAX_LENGTH // 8 + 1), "(" * (1 << 16), "not " * (1 << 14)])
def test_what_is_longer_than_anybody_types_is_refused(text: str) -> None:
    with pytest.raises(WrongExpression, match=rf"^filter: expected at most {MAX_LENGTH} characters, got \d+$"):
        parse_expression(text)


def test_parentheses_stand_in_each_other_only_so_often() -> None:
    assert parse_expression("(" * MAX_DEPTH + "sport 1" + ")" * MAX_DEPTH) == A
    for text in ("(" * (MAX_DEPTH + 1) + "sport 1" + ")" * (MAX_DEPTH + 1), "(" * MAX_LENGTH, "!(" * 8000):
        with pytest.raises(WrongExpression, match=f"^filter: expected no more than {MAX_DEPTH} parentheses in each"):
            parse_expression(text)


def test_what_stands_side_by_side_may_fill_the_length() -> None:
    assert parse_expression("not " * 4001 + "sport 1") == Not(A)
    assert parse_expression(" or ".join(["sport 1"] * 1400)) == Some((A,) * 1400)
    assert parse_expression("sport 1 " * 2000) == Every((A,) * 2000)


TOKENS = (
    *WORDS, "and", "or", "not", "(", ")", "!", "&", "|", "=", "!=", "<", ">=", "'", '"', ":", ":443", "443", "10/8",
    "[::1]:80", "*", "none", "listen", "state", "exclude", ",", "\x00", "\udcff", "a,b", " ",
)  # fmt: skip


@given(
    text=st.one_of(
        st.text(), st.lists(st.sampled_from(TOKENS)).map(" ".join), st.lists(st.sampled_from(TOKENS)).map("".join)
    )
)
def test_any_text_is_an_expression_or_is_told_why_not(text: str) -> None:
    position = None
    try:
        parse_expression(text, SERVICES.get)
    except WrongExpression as err:
        position = err.position
    assert position is None or 0 <= position <= len(text)


@given(tree=trees(conditions()))
def test_a_tree_that_is_written_is_read_as_the_same_tree(tree: Expression) -> None:
    assert parse_expression(write(tree)) == tree
