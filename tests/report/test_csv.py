"""CSV of sockets: whole text, quoting, formulas."""

import csv
from io import StringIO

import pytest

from nsagent.errors import UsageError
from nsagent.model.snapshot import Snapshot
from tests.report.rendered import render_csv

RECORDS = [
    '"netns","proto","state","local","remote","pid","command","container","pod"',
    '"web","tcp","listen","*:80","*:*","100,101","nginx,nginx: wörker","web","shop/web-7d9c"',
    '"web","tcp","established","10.0.0.2:80","10.0.0.1:50000","101","nginx: wörker","web","shop/web-7d9c"',
    '"web","tcp","time_wait","10.0.0.2:80","10.0.0.1:50001","","(time_wait)","",""',
    r'"host","udp","unconn","0.0.0.0%eth0:68","0.0.0.0:*","300","\x1b[31m\x0a\xff\xe2\x80\xae=x","",""',
    '"key:4026533000","tcp","listen","[::]:22","[::]:*","400","app","badcafe00000",""',
    '"host","tcp","syn_recv","[2001:db8::1]:443","[2001:db8::2]:6000","","(syn_recv)","",""',
]


def command_cell(snapshot: Snapshot, comm: str) -> str:
    """The raw record of one socket whose owner is called so, command only."""
    socket = snapshot.sockets[1]
    owner = socket.owners[0]
    held = owner._replace(process=owner.process._replace(comm=comm))
    one = snapshot._replace(sockets=(socket._replace(owners=(held,)),))
    return "".join(render_csv(one, columns=["command"], headers=False)).removesuffix("\r\n")


def test_the_records_of_the_sample(snapshot: Snapshot) -> None:
    assert "".join(render_csv(snapshot)) == "".join(f"{record}\r\n" for record in RECORDS)


def test_without_headers_the_first_record_is_a_socket(snapshot: Snapshot) -> None:
    assert "".join(render_csv(snapshot, headers=False)) == "".join(f"{record}\r\n" for record in RECORDS[1:])


def test_a_quote_is_doubled(snapshot: Snapshot) -> None:
    assert command_cell(snapshot, 'say "hi", x') == '"say ""hi"", x"'


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_formula_is_held_back_by_a_tab_inside_the_quotes(snapshot: Snapshot, first: str) -> None:
    assert command_cell(snapshot, f"{first}1+1") == f'"\t{first}1+1"'


@pytest.mark.parametrize(("comm", "cell"), [("\t=1", '"\\x09=1"'), ("\r=1", '"\\x0d=1"'), ("\n=1", '"\\x0a=1"')])
def test_a_control_character_before_a_formula_is_escaped(snapshot: Snapshot, comm: str, cell: str) -> None:
    assert command_cell(snapshot, comm) == cell


def test_an_absent_value_is_empty_and_no_dash(snapshot: Snapshot) -> None:
    names = ["pod", "uid", "cookie", "acceptq", "verdict", "flags", "image"]
    rows = list(csv.reader(StringIO("".join(render_csv(snapshot, columns=names)), newline="")))
    assert rows[4] == ["", "0", "", "", "", "", ""]


def test_an_unknown_column_is_a_usage_error(snapshot: Snapshot) -> None:
    with pytest.raises(UsageError, match="no column 'PID'; near names: pid"):
        render_csv(snapshot, columns=["PID"])
