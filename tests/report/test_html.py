"""The page of HTML: its policy, its structure, its text."""

import base64
import csv
import hashlib
import re
from dataclasses import replace
from io import StringIO

import pytest

from nsagent.model.choices import OutputFormat, View
from nsagent.model.snapshot import Snapshot
from nsagent.report.html_parts import SCRIPT, STYLE
from nsagent.report.render import OutputOptions, render_answer
from tests.report.page import Page, parse_page
from tests.report.rendered import render_csv, render_html


def page_of(snapshot: Snapshot, view: View = View.SOCKETS, **options: tuple[str, ...]) -> Page:
    return parse_page("".join(render_answer(snapshot, view, OutputOptions(OutputFormat.HTML, **options))))  # type: ignore[arg-type]


def complete(snapshot: Snapshot) -> Snapshot:
    coverage = snapshot.coverage
    seen = replace(coverage.processes, denied=0)
    whole = coverage._replace(complete=True, processes=seen, netns=coverage.netns._replace(failed=0), gaps=())
    return snapshot._replace(coverage=whole)


def called(snapshot: Snapshot, comm: str) -> Snapshot:
    """One socket of the sample, whose owner is called so."""
    socket = snapshot.sockets[1]
    held = socket.owners[0]._replace(process=socket.owners[0].process._replace(comm=comm))
    return snapshot._replace(sockets=(socket._replace(owners=(held,)),))


def test_the_policy_allows_its_own_script_and_nothing_else(snapshot: Snapshot) -> None:
    (policy,) = [each for each in page_of(snapshot).find("meta") if "http-equiv" in each.attributes]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert policy.attributes == {
        "http-equiv": "Content-Security-Policy",
        "content": f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'",
    }


def test_nothing_is_fetched_and_no_attribute_is_code(snapshot: Snapshot) -> None:
    attributes = {name for each in page_of(snapshot).elements for name in each.attributes}
    assert attributes & {"src", "href", "action", "srcset", "data", "background"} == set()
    assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\(|@import|https?:", STYLE + SCRIPT)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|fetch|XMLHttp|import", SCRIPT)


def test_ids_are_unique_and_none_is_data(snapshot: Snapshot) -> None:
    assert [each.attributes["id"] for each in page_of(snapshot).elements if "id" in each.attributes] == [
        "filter",
        "shown",
    ]


def test_its_rows_are_those_of_csv(snapshot: Snapshot) -> None:
    records = list(csv.reader(StringIO("".join(render_csv(snapshot, headers=False)), newline="")))
    assert page_of(snapshot).rows() == records


def test_its_head_says_what_it_is_about(snapshot: Snapshot) -> None:
    page = page_of(snapshot)
    assert page.find("title")[0].text == "Sockets of node-1, 2026-01-02T03:04:05.678Z"
    assert page.find("h1")[0].text == "Sockets of node-1"
    assert page.find("header")[0].text.split("\n")[2] == "2026-01-02T03:04:05.678Z · 6 sockets · 3 netns · 2 containers"
    assert [each.text for each in page.find("th")] == [
        "NETNS", "PROTO", "STATE", "LOCAL", "REMOTE", "PID", "COMMAND", "CONTAINER", "POD",
    ]  # fmt: skip


def test_it_says_what_could_not_be_seen(snapshot: Snapshot) -> None:
    page = page_of(snapshot)
    (details,) = page.find("details")
    assert details.attributes == {"open": None, "class": "coverage lacking"}
    assert page.find("summary")[0].text == "Not complete: 214 processes and 3 netns were looked at."
    assert [each.text for each in page.find("li")] == [
        "3 of 214 processes not readable (EACCES): add CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
        "names from docker: no answer within 2 s",
        "1 of 3 netns not read",
    ]


def test_a_complete_pass_has_one_line(snapshot: Snapshot) -> None:
    page = page_of(complete(snapshot))
    assert page.find("details") == []
    assert [each.text for each in page.find("p") if each.attributes.get("class") == "coverage whole"] == [
        "Complete: 214 processes and 3 netns were looked at."
    ]


def test_colours_are_those_of_a_terminal(snapshot: Snapshot) -> None:
    cells = page_of(snapshot).find("td")
    assert {each.text for each in cells if each.attributes.get("class") == "listening"} == {"listen"}
    assert {each.text for each in cells if each.attributes.get("class") == "dim"} == {"(time_wait)", "(syn_recv)"}
    assert "\x1b" not in "".join(render_html(snapshot, colour=True))


def test_a_group_has_a_heading_in_the_first_part_of_its_rows(snapshot: Snapshot) -> None:
    many = snapshot._replace(sockets=snapshot.sockets * 40)
    page = page_of(many, columns=("state",), group_by=("proto",))
    headings = [each.text for each in page.find("th") if each.attributes.get("scope") == "rowgroup"]
    bodies = [each.attributes["style"] for each in page.find("tbody")]
    assert headings == ["proto tcp", "proto udp"]
    assert bodies == ["--rows: 50"] * 4 + ["--rows: 40"]
    assert [row[0] for row in page.rows()] == [
        *["listen", "established", "time_wait", "listen", "syn_recv"] * 40,
        *["unconn"] * 40,
    ]


def test_without_rows_it_is_a_page_all_the_same(snapshot: Snapshot) -> None:
    page = page_of(snapshot._replace(sockets=()))
    assert page.find("tbody") == []
    assert len(page.find("th")) == 9


@pytest.mark.parametrize(
    ("view", "title", "options"),
    [
        (View.LISTENERS, "Listeners", {}),
        (View.CONNECTIONS, "Connections", {}),
        (View.NETNS, "Network namespaces", {}),
        (View.CONTAINERS, "Containers", {}),
        (View.TOP, "Sockets by proto, state", {"group_by": ("proto", "state")}),
    ],
)
def test_each_view_has_its_title(
    snapshot: Snapshot, view: View, title: str, options: dict[str, tuple[str, ...]]
) -> None:
    assert page_of(snapshot, view, **options).find("h1")[0].text == f"{title} of node-1"


@pytest.mark.parametrize(
    ("comm", "width"), [("x", 11), ("x" * 20, 22), ("x" * 44, 46), ("x" * 45, 46), ("\u4e2d" * 10, 22)]
)
def test_the_widest_cell_makes_a_column_wide_up_to_a_limit(snapshot: Snapshot, comm: str, width: int) -> None:
    page = "".join(render_html(called(snapshot, comm), columns=["command"]))
    assert re.findall(r"--columns: ([^\"]*)", page) == [f"minmax({width}ch, {width}fr)"]


def test_what_acts_in_html_is_text(snapshot: Snapshot) -> None:
    hostile = "</td></table></script><script>alert(1)</script>\"'&amp;<!--"
    page = page_of(called(snapshot, hostile)._replace(host=hostile), columns=("command",))
    assert page.rows() == [[hostile]]
    assert page.find("h1")[0].text == f"Sockets of {hostile}"
