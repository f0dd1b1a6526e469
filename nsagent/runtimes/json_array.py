"""A JSON array that arrives in pieces -> its elements, one at a time.

Source: RFC 8259. A runtime's answer is as long as the runtime likes. Decoded as a whole it would
be held several times in memory, and json.loads() keeps the GIL until it is done: 64 MiB of `[],`
stop every other thread for seconds. So elements are decoded as they arrive, and each is bounded.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator

from nsagent.errors import FormatError

_WHITESPACE = re.compile(r"[ \t\n\r]*")


def decode_array(chunks: Iterable[bytes], *, element_limit: int) -> Iterator[object]:
    """The elements of the array that `chunks` make up; what follows its end is not looked at.

    Bytes that are not UTF-8 become surrogate escapes. Raises FormatError if it is no array, ends
    early, or has an element that is malformed or longer than about `element_limit` characters.
    """
    decode_utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    # Making one takes as long as decoding a small element.
    decoder = json.JSONDecoder()
    text = ""
    opened = False
    separator = ""
    for chunk in chunks:
        text += decode_utf8(chunk)
        position = _skip_whitespace(text, 0)
        while position < len(text):
            if not opened:
                if text[position] != "[":
                    raise FormatError("a JSON array", text[position:])
                opened = True
                position = _skip_whitespace(text, position + 1)
                continue
            if text[position] == "]":
                return
            start = position
            if separator:
                if text[position] != ",":
                    raise FormatError("a comma between elements", text[position:])
                start = _skip_whitespace(text, position + 1)
            decoded = _decode_element(decoder, text, start)
            if decoded is None:
                if len(text) - start > element_limit:
                    raise FormatError(f"an element of at most {element_limit} characters", text[start:])
                break
            element, end = decoded
            yield element
            separator = ","
            position = _skip_whitespace(text, end)
        text = text[position:]
    raise FormatError("a complete JSON array", text)


def _decode_element(decoder: json.JSONDecoder, text: str, start: int) -> tuple[object, int] | None:
    """The element at `start` and where it ends; None if it is malformed or has not all arrived."""
    try:
        return decoder.raw_decode(text, start)
    except json.JSONDecodeError:
        return None
    except (ValueError, RecursionError) as err:
        # An integer of over 4300 digits; arrays in arrays in arrays.
        raise FormatError("a JSON element of ordinary size and depth", text[start : start + 80]) from err


def _skip_whitespace(text: str, position: int) -> int:
    """The first position from `position` on that is no whitespace."""
    match = _WHITESPACE.match(text, position)
    return match.end() if match else position
