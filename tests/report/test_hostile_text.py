"""No writer lets a character of data act, whatever a process, a container or a netns is called."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nsagent.errors import Reason
from nsagent.model.choices import OutputFormat, View
from nsagent.model.gap import Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.ids import ContainerId
from nsagent.model.snapshot import Snapshot
from nsagent.report.columns import SOCKET_COLUMNS
from nsagent.report.containers_table import CONTAINER_COLUMNS
from nsagent.report.coverage import coverage_lines
from nsagent.report.escape import escape
from nsagent.report.json import render_json
from nsagent.report.jsonl import render_jsonl
from nsagent.report.name import render_container_names, render_netns_names, render_socket_names
from nsagent.report.netns_table import NETNS_COLUMNS
from nsagent.report.render import OutputOptions, render_answer
from tests.gaps import unnamed
from tests.live.capabilities import trials
from tests.report.page import parse_page
from tests.report.rendered import (
    render_containers_csv,
    render_containers_html,
    render_containers_markdown,
    render_containers_table,
    render_csv,
    render_html,
    render_markdown,
    render_netns_csv,
    render_netns_html,
    render_netns_markdown,
    render_netns_table,
    render_table,
)

TEXTS_PER_SNAPSHOT = 10
MARKED = r"\\([!-/:-@\[-`{-~])"
UNMARKED = re.compile(r"[\\`*\[\]<>|~&$#@]|://|www\.|(?<![a-z0-9])_|_(?![a-z0-9])", re.ASCII | re.IGNORECASE)
"""What does something in Markdown, where no backslash stands before it."""
MARKDOWN_CELL = re.compile(r"\| ((?:\\.|[^\\|])*?) (?=\|)")
HTML_TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "small", "p", "time", "details", "summary", "ul",
    "li", "div", "label", "input", "output", "table", "thead", "tbody", "tr", "th", "td", "script",
}  # fmt: skip
SOCKET_NAMES = [column.name for column in SOCKET_COLUMNS]
NETNS_NAMES = [column.name for column in NETNS_COLUMNS]
CONTAINER_NAMES = [column.name for column in CONTAINER_COLUMNS]

# 10^5 texts where the full numbers are asked for.
EXAMPLES = trials(default=50, full=10_000)
ACTING = (
    "|`*_~$[]<>&#@:/w."
    "\x1b\x9b\x00\n\r\t\x7f\x85\u061c\u200b\u202e\u2028\u2066\ufeff\U000e0041\udcff\udc80\ud800\\\"',;=+-@\uff1d\uff20 "
)
HOSTILE = st.text(st.sampled_from(ACTING) | st.characters(codec=None), max_size=30)
TEXTS = st.lists(HOSTILE, min_size=TEXTS_PER_SNAPSHOT, max_size=TEXTS_PER_SNAPSHOT)


def poisoned(snapshot: Snapshot, texts: Sequence[str]) -> Snapshot:
    """The sample with these texts wherever a name comes from outside."""
    comm, other_comm, interface, name, image, pod_name, label, netns_name, mount, reason = texts
    process = snapshot.sockets[0].owners[0].process._replace(comm=comm, unit=other_comm)
    other = process._replace(comm=other_comm)
    both, one, *rest = snapshot.sockets
    owners = (both.owners[0]._replace(process=process), both.owners[1]._replace(process=other))
    container, nameless = snapshot.containers
    pod = replace(container.pod, name=pod_name, kube_namespace=label) if container.pod else None
    gaps = (
        unnamed(name, reason),
        Gap(Stage.TABLES, Subject(Kind.TABLE, name), Reason.MALFORMED, detail=reason),
        Gap(Stage.NETNS, Subject(Kind.MOUNT, mount), Reason.UNREACHABLE),
    )
    return snapshot._replace(
        sockets=(both._replace(owners=owners, interface=interface), one._replace(owners=owners[1:]), *rest),
        containers=(
            container._replace(name=name, image=image, labels={label: reason}, pod=pod, sandboxed=mount),
            nameless._replace(source=reason, id=ContainerId(comm), chain=(ContainerId(name),)),
        ),
        netns=(
            snapshot.netns[0]._replace(names=(netns_name,)),
            snapshot.netns[1]._replace(names=(netns_name, mount), mounts=(mount,), containers=(ContainerId(comm),)),
        ),
        coverage=snapshot.coverage._replace(gaps=merge_gaps(gaps)),
    )


@settings(max_examples=EXAMPLES)
@given(texts=TEXTS, width=st.none() | st.integers(1, 300))
def test_a_table_is_printable_lines_one_per_row(snapshot: Snapshot, texts: list[str], width: int | None) -> None:
    hostile = poisoned(snapshot, texts)
    for text, rows in (
        ("".join(render_table(hostile, columns=SOCKET_NAMES, width=width)), 6),
        ("".join(render_netns_table(hostile, columns=NETNS_NAMES, width=width)), 2),
        ("".join(render_containers_table(hostile, columns=CONTAINER_NAMES, width=width)), 2),
    ):
        lines = text.split("\n")
        assert len(lines) == 1 + rows + 1
        assert all(line.isprintable() and not line.endswith(" ") for line in lines)


@settings(max_examples=EXAMPLES)
@given(texts=TEXTS)
def test_colour_is_the_only_thing_that_acts(snapshot: Snapshot, texts: list[str]) -> None:
    text = "".join(render_table(poisoned(snapshot, texts), columns=SOCKET_NAMES, colour=True))
    for sequence in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[32m"):
        text = text.replace(sequence, "")
    assert text == "".join(render_table(poisoned(snapshot, texts), columns=SOCKET_NAMES))


@settings(max_examples=EXAMPLES)
@given(texts=TEXTS)
def test_csv_has_no_formula_and_nothing_that_acts(snapshot: Snapshot, texts: list[str]) -> None:
    hostile = poisoned(snapshot, texts)
    for text, names, rows in (
        ("".join(render_csv(hostile, columns=SOCKET_NAMES)), SOCKET_NAMES, 6),
        ("".join(render_netns_csv(hostile, columns=NETNS_NAMES)), NETNS_NAMES, 2),
        ("".join(render_containers_csv(hostile, columns=CONTAINER_NAMES)), CONTAINER_NAMES, 2),
    ):
        records = list(csv.reader(StringIO(text, newline=""), strict=True))
        cells = [cell for record in records for cell in record]
        assert records[0] == names
        assert [len(record) for record in records] == [len(names)] * (1 + rows)
        assert all(cell.removeprefix("\t").isprintable() for cell in cells)
        assert not any(cell.startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20\r")) for cell in cells)


@settings(max_examples=EXAMPLES)
@given(texts=TEXTS)
def test_csv_keeps_the_escaped_text(snapshot: Snapshot, texts: list[str]) -> None:
    text = "".join(render_csv(poisoned(snapshot, texts), columns=["command"], headers=False))
    cells = [record[0].removeprefix("\t") for record in csv.reader(StringIO(text, newline=""), strict=True)]
    assert cells[:2] == [escape(f"{texts[0]},{texts[1]}"), escape(texts[1])]


def with_hex(text: str) -> str:
    return "".join(escape(character) if "\ud800" <= character <= "\udfff" else character for character in text)


@settings(max_examples=EXAMPLES)
@given(texts=TEXTS)
def test_json_is_ascii_and_keeps_every_value(snapshot: Snapshot, texts: list[str]) -> None:
    hostile = poisoned(snapshot, texts)
    comm, other_comm, interface, name, image, pod_name, label, netns_name, mount, reason = map(with_hex, texts)
    text = "".join(render_json(hostile))
    document: dict[str, Any] = json.loads(text)
    socket, container, netns = document["sockets"][0], document["containers"][0], document["netns"][1]
    assert text.replace("\n", "").isascii()
    assert text.replace("\n", "").isprintable()
    assert [owner["comm"] for owner in socket["owners"]] == [comm, other_comm]
    assert (socket["interface"], container["name"], container["image"]) == (interface, name, image)
    assert (container["labels"], container["pod"]["name"]) == ({label: reason}, pod_name)
    assert (netns["names"], netns["mounts"]) == ([netns_name, mount], [mount])


@settings(max_examples=EXAMPLES)
@given(texts=TEXTS)
def test_every_line_of_jsonl_is_the_same_value_as_in_the_document(snapshot: Snapshot, texts: list[str]) -> None:
    hostile = poisoned(snapshot, texts)
    document: dict[str, Any] = json.loads("".join(render_json(hostile)))
    lines: list[dict[str, Any]] = [json.loads(line) for line in "".join(render_jsonl(hostile)).splitlines()]
    containers = {container["id"]: container for container in document["containers"]}
    assert lines[0]["netns"] == document["netns"]
    assert lines[1:-1] == [
        {"type": "socket", **row, "container": containers.get(row["container_id"])} for row in document["sockets"]
    ]
    assert lines[-1] == {"type": "coverage", **document["coverage"]}


@settings(max_examples=EXAMPLES)
@given(texts=TEXTS)
def test_names_and_coverage_are_printable_lines(snapshot: Snapshot, texts: list[str]) -> None:
    hostile = poisoned(snapshot, texts)
    names = [*render_socket_names(hostile), *render_netns_names(hostile), *render_container_names(hostile)]
    lines = [*"".join(names).removesuffix("\n").split("\n"), *coverage_lines(hostile)]
    assert len(lines) == 6 + 2 + 2 + 5
    assert all(line.isprintable() for line in lines)


@settings(max_examples=EXAMPLES)
@given(texts=TEXTS)
def test_markdown_is_one_line_a_row_whose_cells_are_the_escaped_text(snapshot: Snapshot, texts: list[str]) -> None:
    hostile = poisoned(snapshot, texts)
    for text, csv_text, names, rows in (
        (render_markdown(hostile, columns=SOCKET_NAMES), render_csv(hostile, columns=SOCKET_NAMES), SOCKET_NAMES, 6),
        (
            render_netns_markdown(hostile, columns=NETNS_NAMES),
            render_netns_csv(hostile, columns=NETNS_NAMES),
            NETNS_NAMES,
            2,
        ),
        (
            render_containers_markdown(hostile, columns=CONTAINER_NAMES),
            render_containers_csv(hostile, columns=CONTAINER_NAMES),
            CONTAINER_NAMES,
            2,
        ),
    ):
        lines = "".join(text).split("\n")
        cells = [MARKDOWN_CELL.findall(line) for line in lines[2 : 2 + rows]]
        records = list(csv.reader(StringIO("".join(csv_text), newline="")))[1:]
        assert len(lines) == 2 + rows + 3
        assert all(line.isprintable() for line in lines)
        assert [len(row) for row in cells] == [len(names)] * rows
        assert [[re.sub(MARKED, r"\1", cell) for cell in row] for row in cells] == [
            [cell.removeprefix("\t") for cell in record] for record in records
        ]
        assert not any(UNMARKED.search(re.sub(MARKED, " ", cell)) for row in cells for cell in row)


@settings(max_examples=EXAMPLES)
@given(texts=TEXTS)
def test_html_parses_to_the_escaped_text(snapshot: Snapshot, texts: list[str]) -> None:
    hostile = poisoned(snapshot, texts)
    for page, csv_text in (
        (render_html(hostile, columns=SOCKET_NAMES), render_csv(hostile, columns=SOCKET_NAMES)),
        (render_netns_html(hostile, columns=NETNS_NAMES), render_netns_csv(hostile, columns=NETNS_NAMES)),
        (
            render_containers_html(hostile, columns=CONTAINER_NAMES),
            render_containers_csv(hostile, columns=CONTAINER_NAMES),
        ),
    ):
        text = "".join(page)
        records = list(csv.reader(StringIO("".join(csv_text), newline="")))[1:]
        parsed = parse_page(text)
        assert text.replace("\n", "").isprintable()
        assert parsed.rows() == [[cell.removeprefix("\t") for cell in record] for record in records]
        assert [each.text for each in parsed.find("li")] == coverage_lines(hostile)
        assert {each.tag for each in parsed.elements} == HTML_TAGS


@settings(max_examples=EXAMPLES)
@given(texts=TEXTS)
def test_headings_of_groups_are_text(snapshot: Snapshot, texts: list[str]) -> None:
    hostile = poisoned(snapshot, texts)
    by = ["command", "container", "pod"]
    page = parse_page("".join(render_html(hostile, columns=["state"], group_by=by)))
    headings = [each.text for each in page.find("th") if each.attributes.get("scope") == "rowgroup"]
    lines = "".join(render_markdown(hostile, columns=["state"], group_by=by)).split("\n")
    table = "".join(render_table(hostile, columns=["state"], group_by=by))
    assert [re.sub(MARKED, r"\1", line[4:]) for line in lines if line.startswith("### ")] == headings
    assert all(line.isprintable() for line in (*headings, *lines, *table.split("\n")))
    assert [each for each in table.split("\n") if each.startswith("command ")] == [each.rstrip() for each in headings]


@settings(max_examples=EXAMPLES)
@given(texts=TEXTS)
def test_counts_are_of_the_text_itself(snapshot: Snapshot, texts: list[str]) -> None:
    hostile = poisoned(snapshot, texts)
    options = OutputOptions(OutputFormat.JSON, group_by=("command", "pod"))
    document = json.loads("".join(render_answer(hostile, View.TOP, options)))
    assert sum(each["count"] for each in document["counts"]) == 6
    commands = {each["command"] for each in document["counts"]}
    assert {with_hex(f"{texts[0]},{texts[1]}"), with_hex(texts[1]) or None} <= commands
