"""Ends as people type them."""

import pytest

from nsagent.errors import EXIT_USAGE, UsageError
from nsagent.query.endpoint import AskedEnd, make_end, parse_end


@pytest.mark.parametrize(
    ("text", "end", "shown"),
    [
        ("10.0.0.1:80", AskedEnd("10.0.0.1", 80), "10.0.0.1:80"),
        ("[::1]:80", AskedEnd("::1", 80), "[::1]:80"),
        ("[2001:DB8:0::1]:65535", AskedEnd("2001:db8::1", 65535), "[2001:db8::1]:65535"),
        ("[::ffff:10.0.0.1]:80", AskedEnd("10.0.0.1", 80), "10.0.0.1:80"),
        ("[::1.2.3.4]:80", AskedEnd("::1.2.3.4", 80), "[::1.2.3.4]:80"),
        ("[fe80::1%eth0]:80", AskedEnd("fe80::1", 80, "eth0"), "[fe80::1%eth0]:80"),
        ("[fe80::1]%eth0:80", AskedEnd("fe80::1", 80, "eth0"), "[fe80::1%eth0]:80"),
        ("0.0.0.0:80", AskedEnd("0.0.0.0", 80), "0.0.0.0:80"),
        ("[::]:80", AskedEnd("::", 80), "[::]:80"),
        ("*:80", AskedEnd(None, 80), "*:80"),
        (":80", AskedEnd(None, 80), "*:80"),
        (" 10.0.0.1:00080 ", AskedEnd("10.0.0.1", 80), "10.0.0.1:80"),
    ],
)
def test_an_end_is_an_address_and_a_port(text: str, end: AskedEnd, shown: str) -> None:
    assert (parse_end(text), str(end)) == (end, shown)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("localhost:80", "names are not looked up"),
        ("example.org:443", "names are not looked up"),
        ("::1:80", "brackets"),
        ("fe80::1%eth0:80", "brackets"),
        ("::1", "brackets"),
        ("[10.0.0.1]:80", "no IPv6 address"),
        ("[localhost]:80", "no IPv6 address"),
        ("[]:80", "no IPv6 address"),
        ("10.0.0:80", "'10.0.0' is no address; expected"),
        ("10.0.0.256:80", "no address"),
        ("10.0.0.1%eth0:80", "'10.0.0.1%eth0' is no address: 10.0.0.1 goes without an interface; expected"),
        ("localhost%eth0:80", "names are not looked up"),
        ("[fe80::1%eth0]%eth0:80", "no IPv6 address"),
        ("[::1]%:80", "expected ADDRESS:PORT"),
        ("10.0.0.1", "expected ADDRESS:PORT"),
        ("[::1]80", "expected ADDRESS:PORT"),
        ("", "expected ADDRESS:PORT"),
        ("10.0.0.1:http", "port from 1 to 65535, got 'http'"),
        ("10.0.0.1:0", "port from 1 to 65535"),
        ("10.0.0.1:65536", "port from 1 to 65535"),
        ("10.0.0.1:-1", "port from 1 to 65535"),
        ("10.0.0.1:\u0663", "port from 1 to 65535"),
        ("10.0.0.1:", "port from 1 to 65535, got ''"),
    ],
)
def test_what_is_no_end_is_told_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("[", r"\[")) as caught:
        parse_end(text)
    assert (caught.value.exit_status, "\n" in str(caught.value)) == (EXIT_USAGE, False)


def test_an_address_alone_is_taken_as_programs_have_it() -> None:
    assert make_end("::ffff:10.0.0.1", 80) == AskedEnd("10.0.0.1", 80)
    with pytest.raises(UsageError, match="no address"):
        make_end("[::1]", 80)
