"""A JSON array that arrives in pieces -> its elements, one at a time.

Source: RFC 8259. A runtime's answer is as long as the runtime likes. Decoded as a whole it would
be held several times in memory, and json.loads() keeps the GIL until it is done: 64 MiB of `[],`
stop every other thread for seconds. So elements are decoded as they arrive, and each is bounded.
An object or array beyond the bounds is read over: where it ends is told by its brackets.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from nsagent.errors import FormatError

_WHITESPACE: Final = re.compile(r"[ \t\n\r]*")
_BRACKET: Final = re.compile(r'["\[\]{}]')
_STRING: Final = re.compile(r'(?:[^"\\]++|\\.)*+("?)', re.DOTALL)
_HEAD_LENGTH: Final = 4096
_SMALL: Final = 16 * 1024


class Oversize(NamedTuple):
    """An object or array that was not decoded, by its beginning: 4096 characters at most."""

    head: str


def decode_array(chunks: Iterable[bytes], *, element_limit: int, budget: int) -> Iterator[object]:
    """The elements of the array that `chunks` make up; what follows its end is not looked at.

    Instead of an object or array of more than `element_limit` characters, or one that Python's numbers
    or stack are too small for, comes its Oversize; after `budget` characters it comes instead of
    those of more than 16 Ki: few large ones do not take the room of many. Bytes that are not UTF-8
    become surrogate escapes. Raises FormatError if it is no array, ends early, or has an element that
    is malformed, or another one that is too long.
    """
    reader = _Reader(chunks)
    if reader.peek() != "[":
        raise FormatError("a JSON array", reader.text[reader.position :])
    reader.position += 1
    separator = ""
    while (character := reader.peek()) != "]":
        if separator:
            if character != separator:
                raise FormatError("a comma between elements", reader.text[reader.position :])
            reader.position += 1
            reader.peek()
        limit = element_limit if budget > 0 else min(element_limit, _SMALL)
        element, length = reader.read_element(limit)
        yield element
        budget -= length
        separator = ","


class _Reader:
    """The text of an array as it arrives; of what was read before `position` nothing is kept."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.text = ""
        self.position = 0
        self._chunks = iter(chunks)
        self._decode_utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        # Making one takes as long as decoding a small element.
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is no whitespace, which is at `position` then."""
        while True:
            match = _WHITESPACE.match(self.text, self.position)
            self.position = match.end() if match else self.position
            if self.position < len(self.text):
                return self.text[self.position]
            self._read_on()

    def read_element(self, limit: int) -> tuple[object, int]:
        """The element at `position`, and how many characters of it were kept; goes on to its end."""
        is_nested = self.text[self.position] in "{["
        while True:
            start = self.position
            try:
                element, end = self._decoder.raw_decode(self.text, start)
            except json.JSONDecodeError:
                # Malformed, or not all of it is here.
                if is_nested:
                    return self._read_nested(limit)
            except (ValueError, RecursionError) as err:
                # An integer of over 4300 digits; arrays in arrays in arrays.
                if is_nested:
                    return self._read_nested(limit)
                raise FormatError("a JSON element of ordinary size", self.text[start : start + 80]) from err
            else:
                self.position = end
                if end - start > limit and is_nested:
                    return Oversize(self.text[start : start + _HEAD_LENGTH]), _HEAD_LENGTH
                return element, end - start
            if len(self.text) - start > limit:
                raise FormatError(f"an element of at most {limit} characters", self.text[start:])
            self._read_on()

    def _read_nested(self, limit: int) -> tuple[object, int]:
        """The same for an object or array that cannot be decoded yet, or at all: decoded once it is whole."""
        brackets = _Brackets()
        kept: list[str] = []
        length = 0
        while (end := brackets.find_end(self.text, self.position)) is None:
            if length <= limit:
                kept.append(self.text[self.position :])
            length += len(self.text) - self.position
            self.position = len(self.text)
            self._read_on()
        kept.append(self.text[self.position : end])
        length += end - self.position
        self.position = end
        text = "".join(kept)
        if length > limit:
            return Oversize(text[:_HEAD_LENGTH]), _HEAD_LENGTH
        try:
            return self._decoder.decode(text), len(text)
        except json.JSONDecodeError as err:
            raise FormatError("a JSON element", text) from err
        except (ValueError, RecursionError):
            return Oversize(text[:_HEAD_LENGTH]), _HEAD_LENGTH

    def _read_on(self) -> None:
        """Take in the next piece; raises FormatError where there is none."""
        rest = self.text[self.position :]
        chunk = next(self._chunks, None)
        if chunk is None:
            raise FormatError("a complete JSON array", rest)
        self.text, self.position = rest + self._decode_utf8(chunk), 0


class _Brackets:
    """Where an object or array ends, whatever is in it: each character is looked at once."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def find_end(self, text: str, position: int) -> int | None:
        """The position after its last bracket; None if `text`, looked at from `position` on, does not hold that."""
        while position < len(text):
            if self._in_string:
                position = self._skip_string(text, position)
                continue
            match = _BRACKET.search(text, position)
            if match is None:
                return None
            position = match.end()
            if match[0] == '"':
                self._in_string = True
                continue
            self._depth += 1 if match[0] in "{[" else -1
            if self._depth == 0:
                return position
        return None

    def _skip_string(self, text: str, position: int) -> int:
        """The position after the quote that ends a string, or the end of what is here of it."""
        match = _STRING.match(text, position + self._escaped)
        end = match.end() if match else len(text)
        self._in_string = not (match and match[1])
        # Before the end only a backslash stops it, when what follows that is not here yet.
        self._escaped = self._in_string and end < len(text)
        return len(text) if self._in_string else end
