"""`-o yaml`: the document of `-o json`, the same keys and values in the same order, as people like to read it.

A text that is more than letters, digits and `_ . / -` stands in double quotes, as does one that any
reader, of YAML 1.1 or 1.2, would take for something else (`no`, `0644`, `1e3`). All of it is ASCII:
what else a text has is escaped, and comes out of a reader as it was.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final

import yaml

from nsagent.model.snapshot import Snapshot
from nsagent.report.accept_queues import sum_accept_queues
from nsagent.report.chunks import chunks
from nsagent.report.json_text import dump
from nsagent.report.records import container_record, coverage_record, head_record, netns_record
from nsagent.report.socket_rows import SocketRows

_BARE: Final = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*")
_LIKE_A_NUMBER: Final = re.compile(
    r"\.?[0-9][0-9_]*(\.[0-9_]*)?([eE]-?[0-9_]+)?|0[bBoOxX][0-9a-fA-F_]+|[0-9]+-[0-9]+-[0-9]+.*|[yYnN]"
)
"""What a reader of YAML 1.2, or one of YAML 1.1 other than PyYAML, may take for a number, a date or a truth value."""

_STRING: Final = "tag:yaml.org,2002:str"
_NEVER_FOLD: Final = 1 << 30


def render_yaml(snapshot: Snapshot, *, sockets: bool = True, whole: Snapshot | None = None) -> Iterator[str]:
    """The document in chunks of some hundred rows; `sockets` and `whole` are as for render_json."""
    queues = sum_accept_queues((whole or snapshot).sockets) if snapshot.containers else {}
    dumper = _pick_dumper()
    containers = (dump(container_record(each, queues.get(each.id))) for each in snapshot.containers)
    yield _text(dump(head_record(snapshot)), dumper)
    yield from _list("netns", (dump(netns_record(each)) for each in snapshot.netns), dumper)
    yield from _list("containers", containers, dumper)
    if sockets:
        rows = SocketRows(command_lines=snapshot.command_lines).chunks(snapshot.sockets)
        yield from _list("sockets", chain.from_iterable(rows), dumper)
    yield _text(dump({"coverage": coverage_record(snapshot.coverage)}), dumper)


def render_record(record: Mapping[str, object]) -> str:
    """One record by the same rule, with a line end at its end."""
    return _text(dump(record), _pick_dumper())


def render_document(head: str, key: str, records: Iterable[str], tail: str = "{}") -> Iterator[str]:
    """A document of JSON texts: the mapping `head`, `key` with a list of records, the mapping `tail`; in chunks."""
    dumper = _pick_dumper()
    yield _text(head, dumper)
    yield from _list(key, records, dumper)
    if tail != "{}":
        yield _text(tail, dumper)


def make_dumper(base: type) -> type:
    """PyYAML's safe dumper `base`, in C or in Python, with the rule of this module for text.

    Both write the same bytes, but for a key that is empty, has a line end or more than a hundred
    characters: before some of these the one in Python sets a question mark, which says the same.
    """
    representers = {**base.yaml_representers, str: _represent_text}  # type: ignore[attr-defined]
    return type("Dumper", (base,), {"yaml_representers": representers})


def _pick_dumper() -> type:
    return make_dumper(yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    bare = _BARE.fullmatch(text) and not _LIKE_A_NUMBER.fullmatch(text)
    # What is bare and means something to PyYAML is quoted by itself.
    return dumper.represent_scalar(_STRING, text, None if bare else '"')


def _list(key: str, records: Iterable[str], dumper: type) -> Iterator[str]:
    """One key of the document with its records, each the JSON text of one."""
    before = f"{key}:\n"
    for batch in chunks(records):
        yield before + _text(f"[{','.join(batch)}]", dumper)
        before = ""
    if before:
        yield f"{key}: []\n"


def _text(json_text: str, dumper: Any) -> str:
    # By way of JSON there is one rule for what a value is, for bytes that are no UTF-8 too, and no two keys
    # share one object, which PyYAML would write as an anchor and aliases.
    text: str = yaml.dump(json.loads(json_text), Dumper=dumper, sort_keys=False, width=_NEVER_FOLD)
    return text
