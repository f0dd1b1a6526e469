"""Filter options as values, and what is said of wrong ones."""

from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import EXIT_USAGE, UsageError
from nsagent.model.ids import Pid
from nsagent.model.net import Protocol, SocketState
from nsagent.query.filter import (
    parse_number,
    parse_pids,
    parse_ports,
    parse_protocols,
    parse_states,
    split_values,
)

Parser = Callable[[Sequence[str] | None], object]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (None, ()),
        ([], ()),
        (["a"], ("a",)),
        (["a,b", "c"], ("a", "b", "c")),
        ([" a , b "], ("a", "b")),
        (["b,a,b", "a"], ("b", "a")),
        (["a,,b,"], ("a", "b")),
    ],
)
def test_values_may_be_repeated_and_hold_commas(texts: list[str] | None, expected: tuple[str, ...]) -> None:
    assert split_values(texts, "--port") == expected


@pytest.mark.parametrize(
    ("texts", "expected"), [(None, set()), (["80"], {80}), (["80,443", "80"], {80, 443}), (["0,65535"], {0, 65535})]
)
def test_ports_are_numbers(texts: list[str] | None, expected: set[int]) -> None:
    assert parse_ports(texts) == expected


def test_pids_are_numbers_in_the_order_typed() -> None:
    assert parse_pids(["20,3", "20"]) == (Pid(20), Pid(3))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (None, set()),
        (["tcp"], {Protocol.TCP}),
        (["UDP,Tcp"], {Protocol.TCP, Protocol.UDP}),
        ([",".join(Protocol)], set(Protocol)),
        (["icmp6"], {Protocol.ICMP}),
        (["ICMPv6,ping"], {Protocol.ICMP}),
        (["UDP-Lite"], {Protocol.UDPLITE}),
    ],
)
def test_protocols_are_names_in_any_case(texts: list[str] | None, expected: set[Protocol]) -> None:
    assert parse_protocols(texts) == expected


@pytest.mark.parametrize("state", SocketState)
def test_every_state_goes_by_its_name_in_any_case_and_with_a_hyphen(state: SocketState) -> None:
    names = [state, state.upper(), state.replace("_", "-")]
    assert [parse_states([name]) for name in names] == [{state}] * 3


@pytest.mark.parametrize(
    ("alias", "state"),
    [
        ("listening", SocketState.LISTEN),
        ("ESTAB", SocketState.ESTABLISHED),
        ("closed", SocketState.CLOSE),
        ("UNCONN", SocketState.CLOSE),
        ("TIME-WAIT", SocketState.TIME_WAIT),
        ("SYN-RECV", SocketState.SYN_RECV),
    ],
)
def test_a_state_goes_by_the_name_that_ss_prints(alias: str, state: SocketState) -> None:
    assert parse_states([alias]) == {state}


@pytest.mark.parametrize(
    ("parse", "text", "essentials"),
    [
        (parse_ports, "65536", ["--port", "from 0 to 65535", "'65536'"]),
        (parse_ports, "131071", ["--port", "'131071'"]),
        (parse_ports, "-1", ["--port", "'-1'"]),
        (parse_ports, "+80", ["--port", "'+80'"]),
        (parse_ports, "8_0", ["--port", "'8_0'"]),
        (parse_ports, "0x50", ["--port", "'0x50'"]),
        (parse_ports, "http", ["--port", "'http'"]),
        (parse_ports, "80,x,443", ["--port", "'x'"]),
        (parse_ports, "\u0668\u0660", ["--port"]),
        (parse_ports, "\u00b2", ["--port"]),
        (parse_ports, "9" * 5000, ["--port", "from 0 to 65535"]),
        (parse_pids, "web", ["--pid", "'web'"]),
        (parse_pids, "99999999999", ["--pid", "'99999999999'"]),
        (parse_protocols, "dccp", ["--protocol", "expected one of tcp, udp", "'dccp'"]),
        (parse_protocols, "unix", ["--protocol", "netlink, vsock", "'unix'"]),
        (parse_protocols, "tpc", ["--protocol", "did you mean tcp?"]),
        (parse_states, "listne", ["--state", "'listne'", "did you mean listen?"]),
        (parse_states, "time wait", ["--state", "did you mean time_wait?"]),
        (parse_states, "xyz", ["--state", "expected one of established, syn_sent", "'xyz'"]),
    ],
)
def test_a_wrong_value_is_told_with_its_option_and_what_was_expected(
    parse: Parser, text: str, essentials: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        parse([text])
    assert [part for part in essentials if part not in str(caught.value)] == []
    assert caught.value.exit_status == EXIT_USAGE


def test_a_word_unlike_any_name_suggests_none() -> None:
    with pytest.raises(UsageError) as caught:
        parse_states(["zzzzzz"])
    assert "did you mean" not in str(caught.value)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_number_is_taken_up_to_its_limit(number: int, most: int) -> None:
    if number <= most:
        assert parse_number(str(number), "--n", most) == number
    else:
        with pytest.raises(UsageError, match=f"--n: expected a number from 0 to {most}, got '{number}'"):
            parse_number(str(number), "--n", most)


@given(st.text(max_size=8))
@pytest.mark.parametrize("parse", [parse_ports, parse_pids, parse_protocols, parse_states])
def test_any_text_is_a_value_or_a_usage_error(parse: Parser, text: str) -> None:
    with suppress(UsageError):
        parse([text])
