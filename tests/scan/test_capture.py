"""Captures: written and read back, and what is wrong with a damaged one."""

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given

from nsagent.errors import CaptureError
from nsagent.model.facts import Facts
from nsagent.scan.attribute import attribute
from nsagent.scan.capture import MAX_VALUES, SCHEMA, decode_capture, encode_capture
from tests.kernel.damage import damaged
from tests.kernel.rows import read_recorded
from tests.live.capabilities import trials
from tests.scan.facts import BARE, diag_table, facts, listen_row, netns, reading, tcp_text
from tests.scan.strategies import FACTS

SAMPLE = facts(
    [reading(10, {3: 7, 4: 8}, comm="a\udcff\n"), reading(11)],
    [netns(diag_table(read_recorded("tcp"))), netns(tcp_text(listen_row(80, 7)), inode=5, closed=[3, 1, 2])],
)
DOCUMENT: dict[str, Any] = json.loads(gzip.decompress(encode_capture(SAMPLE)))


def pack(document: object) -> bytes:
    return gzip.compress(json.dumps(document).encode(), mtime=0)


def read(data: bytes) -> Facts:
    return decode_capture(data, "my.capture")


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The capture of SAMPLE after `change` was made to its facts."""
    document = json.loads(json.dumps(DOCUMENT))
    change(document["facts"])
    return pack(document)


@given(FACTS)
def test_any_facts_come_back(given_facts: Facts) -> None:
    assert read(encode_capture(given_facts)) == given_facts


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_capture_may_be_plain_json_as_other_programs_write_it(indent: int | None, ascii_only: bool) -> None:
    kept = facts([reading(10, {3: 7}, comm="wörker")])
    document = json.loads(gzip.decompress(encode_capture(kept)))
    assert read(b"\n" + json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()) == kept


def test_the_same_facts_give_the_same_bytes() -> None:
    assert encode_capture(SAMPLE) == encode_capture(read(encode_capture(SAMPLE)))


def test_a_capture_is_gzip_of_ascii_json_with_its_schema() -> None:
    text = gzip.decompress(encode_capture(SAMPLE)).decode("ascii")
    assert list(json.loads(text)) == ["schema", "facts"]
    assert json.loads(text)["schema"] == SCHEMA


def test_a_replayed_capture_means_what_the_facts_meant() -> None:
    assert attribute(read(encode_capture(SAMPLE))) == attribute(SAMPLE)


@pytest.mark.parametrize(
    ("data", "essentials"),
    [
        (b"", "cut off after 0 bytes"),
        (b"{}", "expected an object with a schema"),
        (b"PK\x03\x04", "neither gzip nor JSON"),
        (b'"text"', "neither gzip nor JSON"),
        (b"\x1f", "cut off after 1 bytes"),
        (b"\x1f\x8b", "cut off after 2 bytes"),
        (encode_capture(SAMPLE)[:-9], "cut off after"),
        (encode_capture(SAMPLE)[:100], "cut off after 100 bytes"),
        (encode_capture(SAMPLE)[:-5] + b"\0\0\0\0\0", "not a capture, or damaged"),
        (gzip.compress(b"", mtime=0), "not the JSON of a capture"),
        (gzip.compress(b"{", mtime=0), "not the JSON of a capture"),
        (b'{"schema": ', "not the JSON of a capture"),
        (gzip.compress(b"\xff\xfe\xfd", mtime=0), "not the JSON of a capture"),
        (gzip.compress(b"[" * 200_000, mtime=0), "not the JSON of a capture: nested too deep"),
        (b'{"a":' * 200_000, "not the JSON of a capture: nested too deep"),
        (b"[" + b"0," * MAX_VALUES + b"0]", "has more than 16 million values"),
        ('["é"'.encode() + b" " * (256 << 20), "has more than 256 MiB of text"),
        (gzip.compress(b"1" * 5000, mtime=0), "not the JSON of a capture"),
        (gzip.compress(b" " * (48 << 20), 1, mtime=0), "unpacks to more than"),
        (pack([]), "expected an object with a schema"),
        (pack({"facts": {}}), "expected an object with a schema"),
        (pack({"schema": "nsagent/facts/9", "facts": {}}), "schema 'nsagent/facts/9' is not 'nsagent/facts/5'"),
        (pack({"schema": None, "facts": {}}), "schema None"),
        (pack({"schema": "x" * 10_000}), f"schema '{'x' * 59}... is not"),
        (pack({"schema": ["x" * 10_000]}), f"schema ['{'x' * 58}... is not"),
        (pack({"schema": SCHEMA}), "facts: an object"),
        (pack({"schema": SCHEMA, "facts": []}), "facts: an object"),
        (pack({"schema": SCHEMA, "facts": {}}), "facts: a value for host, boot_id"),
    ],
)
def test_what_is_no_capture_is_an_error_that_names_the_file_and_what_is_wrong(data: bytes, essentials: str) -> None:
    with pytest.raises(CaptureError) as caught:
        read(data)
    assert str(caught.value).startswith("my.capture: ")
    assert essentials in str(caught.value)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda facts: facts.update(host=None), "facts.host: "),
        (lambda facts: facts.update(byteorder="middle"), "facts.byteorder: "),
        (lambda facts: facts.update(byteorder=["little"]), "facts.byteorder: "),
        (lambda facts: facts.update(taken_at_ns=1.5), "facts.taken_at_ns: "),
        (lambda facts: facts.update(taken_at_ns=True), "facts.taken_at_ns: "),
        (lambda facts: facts.update(duration_seconds="1"), "facts.duration_seconds: "),
        (lambda facts: facts.update(duration_seconds=10**400), "facts.duration_seconds: "),
        (lambda facts: facts.update(duration_seconds=float("nan")), "facts.duration_seconds: "),
        (lambda facts: facts.update(duration_seconds=float("inf")), "facts.duration_seconds: "),
        (lambda facts: facts.update(engine="bpf"), "facts.engine: "),
        (lambda facts: facts.update(engine=[]), "facts.engine: "),
        (lambda facts: facts.update(gaps={}), "facts.gaps: "),
        (lambda facts: facts["processes"][1].pop("comm"), "facts.processes[1]: "),
        (lambda facts: facts["processes"][1].update(pid="11"), "facts.processes[1].pid: "),
        (lambda facts: facts["processes"][0]["socket_fds"].append([3]), "facts.processes[0].socket_fds[2]: "),
        (lambda facts: facts["processes"][0]["socket_fds"].append([3, "7"]), "facts.processes[0].socket_fds[2]: "),
        (lambda facts: facts["processes"][0]["socket_fds"].append([True, 7]), "facts.processes[0].socket_fds[2]: "),
        (lambda facts: facts["netns"][0]["tables"][0].pop(), "facts.netns[0].tables[0]: "),
        (lambda facts: facts["netns"][0]["tables"][0].__setitem__(3, "no base64!"), "facts.netns[0].tables[0].data: "),
        (lambda facts: facts["netns"][0]["tables"][0].__setitem__(3, "\u00e9"), "facts.netns[0].tables[0].data: "),
        (lambda facts: facts["netns"][0]["tables"][0].__setitem__(3, 5), "facts.netns[0].tables[0].data: "),
        (lambda facts: facts["netns"][1].update(closed=["1"]), "facts.netns[1].closed[0]: "),
        (lambda facts: facts["netns"][1].update(id=[0]), "facts.netns[1].id: "),
    ],
)
def test_a_value_of_the_wrong_type_is_an_error_that_names_its_place(
    change: Callable[[dict[str, Any]], object], place: str
) -> None:
    with pytest.raises(CaptureError) as caught:
        read(changed(change))
    assert str(caught.value).startswith("my.capture: ")
    assert place in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.update(taken_at_ns=10**30),
        lambda facts: facts.update(taken_at_ns=-(10**30)),
        lambda facts: facts["netns"][0]["tables"][0].__setitem__(1, 132),
        lambda facts: facts["netns"][0]["tables"][0].__setitem__(1, -1),
    ],
    ids=["taken in the far future", "taken in the far past", "an unknown protocol", "a negative protocol"],
)
def test_a_number_out_of_range_is_a_capture_error_or_no_trouble_at_all(
    change: Callable[[dict[str, Any]], object],
) -> None:
    with suppress(CaptureError):
        attribute(read(changed(change)))


def test_a_capture_damaged_anywhere_gives_facts_or_a_capture_error() -> None:
    for data in damaged([encode_capture(SAMPLE)], trials(default=2000, full=100_000), number=1):
        with suppress(CaptureError):
            read(data)


def test_a_capture_whose_text_is_damaged_gives_a_snapshot_or_a_capture_error() -> None:
    text = json.dumps(DOCUMENT).encode()
    for data in damaged([text], trials(default=2000, full=100_000), number=2):
        with suppress(CaptureError):
            attribute(read(gzip.compress(data, 1)))


def test_a_field_that_this_version_does_not_know_is_passed_over() -> None:
    assert read(changed(lambda facts: facts.update(later=1))) == SAMPLE


def test_bare_facts_come_back() -> None:
    assert read(encode_capture(BARE)) == BARE
