"""Markdown: whole text, and what other people's text may not do in it."""

import re

import pytest

from nsagent.model.snapshot import Snapshot
from nsagent.report.escape import escape
from tests.report.rendered import render_containers_markdown, render_markdown, render_netns_markdown

TABLE = r"""
| netns | proto | state | local | remote | pid | command | container | pod |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| web | tcp | listen | \*:80 | \*:\* | 100,101 | nginx,nginx: wörker | web | shop/web-7d9c |
| web | tcp | established | 10.0.0.2:80 | 10.0.0.1:50000 | 101 | nginx: wörker | web | shop/web-7d9c |
| web | tcp | time_wait | 10.0.0.2:80 | 10.0.0.1:50001 |  | (time_wait) |  |  |
| host | udp | unconn | 0.0.0.0%eth0:68 | 0.0.0.0:\* | 300 | \\x1b\[31m\\x0a\\xff\\xe2\\x80\\xae=x |  |  |
| key:4026533000 | tcp | listen | \[::\]:22 | \[::\]:\* | 400 | app | badcafe00000 |  |
| host | tcp | syn_recv | \[2001:db8::1\]:443 | \[2001:db8::2\]:6000 |  | (syn_recv) |  |  |

Taken on node-1 at 2026-01-02T03:04:05.678Z. Not complete: 214 processes and 3 netns were looked at; 3 of 214 processes not readable (EACCES): add CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; names from docker: no answer within 2 s; 1 of 3 netns not read.
"""  # noqa: E501

GROUPS = """
### proto tcp, container badcafe00000

| state |
| --- |
| listen |

### proto tcp, container web

| state |
| --- |
| listen |
| established |

### proto tcp, container -

| state |
| --- |
| time_wait |
| syn_recv |

### proto udp, container -

| state |
| --- |
| unconn |

"""


def command_cell(snapshot: Snapshot, comm: str) -> str:
    """The cell of one socket whose owner is called so."""
    socket = snapshot.sockets[1]
    owner = socket.owners[0]
    held = owner._replace(process=owner.process._replace(comm=comm))
    one = snapshot._replace(sockets=(socket._replace(owners=(held,)),))
    return "".join(render_markdown(one, columns=["command"])).split("\n")[2].removeprefix("| ").removesuffix(" |")


def test_the_table_of_the_sample_and_what_it_lacks(snapshot: Snapshot) -> None:
    assert "\n" + "".join(render_markdown(snapshot)) == TABLE


def test_each_group_is_a_table_below_its_heading(snapshot: Snapshot) -> None:
    text = "\n" + "".join(render_markdown(snapshot, columns=["state"], group_by=["proto", "container"]))
    assert text.partition("Taken on")[0] == GROUPS


def test_numbers_stand_at_the_right(snapshot: Snapshot) -> None:
    lines = "".join(render_netns_markdown(snapshot, columns=["netns", "sockets"])).split("\n")
    assert lines[:3] == ["| netns | sockets |", "| --- | ---: |", "| 4026531840 | 2 |"]


def test_a_snapshot_without_rows_is_a_table_without_rows(snapshot: Snapshot) -> None:
    text = "".join(render_containers_markdown(snapshot._replace(containers=()), columns=["id"]))
    assert text.startswith("| id |\n| --- |\n\nTaken on node-1 ")


@pytest.mark.parametrize(
    ("comm", "cell"),
    [
        ("a|b", r"a\|b"),
        ("`x`", r"\`x\`"),
        ("a\\", r"a\\"),
        ("a\\|b", r"a\\\|b"),
        ("**b** __i__", r"\*\*b\*\* \_\_i\_\_"),
        ("snake_case_name _x_", r"snake_case_name \_x\_"),
        ("~~gone~~ $x$", r"\~\~gone\~\~ \$x\$"),
        ("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>"),
        ("&lt;", r"\&lt;"),
        ("![x](http://evil)", r"!\[x\](http\://evil)"),
        ("https://evil WWW.evil a@b.c", r"https\://evil WWW\.evil a\@b.c"),
        ("a\nb\r\x1b", r"a\\x0ab\\x0d\\x1b"),
        ("\u202e", r"\\xe2\\x80\\xae"),
    ],
)
def test_text_of_others_does_nothing(snapshot: Snapshot, comm: str, cell: str) -> None:
    assert command_cell(snapshot, comm) == cell
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell) == escape(comm)
