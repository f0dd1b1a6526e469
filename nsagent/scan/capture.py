"""A capture: the facts of one pass as gzip-compressed JSON, to be replayed anywhere.

The text is `{"schema": "nsagent/facts/N", "facts": {...}}`; the number changes with any change of
the records in model.facts that older readers do not understand. Text that is not compressed is read
too: somebody may have looked into it. Pure: bytes in, bytes out.

A capture may be anybody's: its text and its values are counted before anything is made of them, so that one at
its limits takes 5 GiB of memory, and one of a million sockets 0.7.
"""

import gzip
import json
import zlib
from typing import Final

from nsagent.errors import CaptureError, FormatError
from nsagent.model.facts import Facts
from nsagent.model.plain import from_plain, to_plain

SCHEMA: Final = "nsagent/facts/5"

YEAR_10000_NS: Final = 253_402_300_800 * 10**9

MAX_TEXT_BYTES: Final = 1 << 30
"""A capture of a million sockets has 0.2 GiB of text, and 0.5 with all that TCP knows of each."""

MAX_VALUES: Final = 16 << 20
"""A capture of a million sockets has 3 million, three for each fd."""

_BYTES_PER_CHARACTER: Final = 4
"""What Python takes for each one of a text that has any outside of ASCII; no capture as it is written has."""

_MOST_TOLD: Final = 60
"""So much of what is in a file is told of it."""

_GZIP: Final = b"\x1f\x8b"
_SMALL_TEXT_BYTES: Final = 16 << 20
_MAX_RATIO: Final = 64
"""How much longer than the file its text may be, beyond a small one: captures of hosts are packed 5 to 20 times."""


def encode_capture(facts: Facts) -> bytes:
    """The file; the same facts give the same bytes."""
    text = json.dumps({"schema": SCHEMA, "facts": to_plain(facts)}, separators=(",", ":"))
    return gzip.compress(text.encode("ascii"), compresslevel=6, mtime=0)


def decode_capture(data: bytes, name: str) -> Facts:
    """The facts of a file; raises CaptureError, which says what is wrong where in the file `name`."""
    document = _parse(data, name)
    if not isinstance(document, dict) or "schema" not in document:
        raise CaptureError(f"{name}: not a capture: expected an object with a schema")
    if document["schema"] != SCHEMA:
        schema = repr(document["schema"])
        told = schema if len(schema) <= _MOST_TOLD else f"{schema[:_MOST_TOLD]}..."
        raise CaptureError(f"{name}: schema {told} is not {SCHEMA!r}, which this version reads")
    try:
        facts = from_plain(Facts, document.get("facts"), "facts")
        _check_ranges(facts)
        return facts
    except FormatError as err:
        raise CaptureError(f"{name}: {err}") from err


def _parse(data: bytes, name: str) -> object:
    """The values of the text that a file is, or is the gzip of."""
    if data.startswith(_GZIP):
        text = _unpack(data, name)
    elif data.lstrip()[:1] in (b"{", b"["):
        text = data
    elif _GZIP.startswith(data.lstrip()):
        raise CaptureError(f"{name}: cut off after {len(data)} bytes")
    else:
        raise CaptureError(f"{name}: not a capture: neither gzip nor JSON")
    most = MAX_TEXT_BYTES if text.isascii() else MAX_TEXT_BYTES // _BYTES_PER_CHARACTER
    if len(text) > most:
        raise CaptureError(f"{name}: has more than {most >> 20} MiB of text")
    if sum(map(text.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise CaptureError(f"{name}: has more than {MAX_VALUES >> 20} million values")
    try:
        return json.loads(text)
    except RecursionError as err:
        raise CaptureError(f"{name}: not the JSON of a capture: nested too deep") from err
    except ValueError as err:
        raise CaptureError(f"{name}: not the JSON of a capture: {err}") from err


def _check_ranges(facts: Facts) -> None:
    """Raises FormatError for numbers that are of the right type and mean nothing."""
    if not 0 <= facts.taken_at_ns < YEAR_10000_NS:
        raise FormatError("facts.taken_at_ns: ns since the epoch", str(facts.taken_at_ns))


def _unpack(data: bytes, name: str) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    most = min(MAX_TEXT_BYTES, _SMALL_TEXT_BYTES + _MAX_RATIO * len(data))
    try:
        text = unpacker.decompress(data, most)
    except zlib.error as err:
        raise CaptureError(f"{name}: not a capture, or damaged: {err}") from err
    if unpacker.unconsumed_tail:
        raise CaptureError(f"{name}: unpacks to more than {most >> 20} MiB")
    if not unpacker.eof:
        raise CaptureError(f"{name}: cut off after {len(data)} bytes")
    return text
