"""A capture: the facts of one pass as gzip-compressed JSON, to be replayed anywhere.

The text is `{"schema": "nsagent/facts/N", "facts": {...}}`; the number changes with any change of
the records in model.facts that older readers do not understand. Pure: bytes in, bytes out.
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

MAX_TEXT_BYTES: Final = 2 << 30
"""A capture of a million sockets has about 0.5 GiB of text; what unpacks to more than this is no capture."""

_SMALL_TEXT_BYTES: Final = 16 << 20
_MAX_RATIO: Final = 64
"""How much longer than the file its text may be, beyond a small one: captures of hosts are packed 5 to 20 times."""


def encode_capture(facts: Facts) -> bytes:
    """The file; the same facts give the same bytes."""
    text = json.dumps({"schema": SCHEMA, "facts": to_plain(facts)}, separators=(",", ":"))
    return gzip.compress(text.encode("ascii"), compresslevel=6, mtime=0)


def decode_capture(data: bytes, name: str) -> Facts:
    """The facts of a file; raises CaptureError, which says what is wrong where in the file `name`."""
    try:
        document = json.loads(_unpack(data, name))
    except (ValueError, RecursionError) as err:
        raise CaptureError(f"{name}: not the JSON of a capture: {err}") from err
    if not isinstance(document, dict) or "schema" not in document:
        raise CaptureError(f"{name}: not a capture: expected an object with a schema")
    if document["schema"] != SCHEMA:
        raise CaptureError(f"{name}: schema {document['schema']!r} is not {SCHEMA!r}, which this version reads")
    try:
        facts = from_plain(Facts, document.get("facts"), "facts")
        _check_ranges(facts)
        return facts
    except FormatError as err:
        raise CaptureError(f"{name}: {err}") from err


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
