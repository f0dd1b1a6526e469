"""How wide a text stands on a terminal: wide East Asian characters take two cells, combining marks none."""

from collections.abc import Iterable
from unicodedata import category, east_asian_width

ELLIPSIS = "\u2026"


def display_width(text: str) -> int:
    """The character cells that a printable text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def pad(text: str, width: int) -> str:
    """The text with spaces after it until it is `width` cells wide."""
    return text + " " * (width - display_width(text))


def shorten(text: str, width: int) -> str:
    """The text, or its two ends and an ellipsis between them where it is wider than `width` (1 or more) cells.

    The ends tell most: a port, the number of a replica, the tag of an image.
    """
    if display_width(text) <= width:
        return text
    head = take(text, width // 2)
    tail = take(text[::-1], width - 1 - display_width(head))[::-1]
    return head + ELLIPSIS + tail.lstrip()


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` (2 or more) cells, broken at spaces, and inside words that are wider."""
    lines = [""]
    for word in text.split():
        line = f"{lines[-1]} {word}".lstrip()
        if display_width(line) <= width:
            lines[-1] = line
            continue
        lines.append(word)
        while display_width(lines[-1]) > width:
            head = take(lines[-1], width)
            lines[-1:] = [head, lines[-1][len(head) :]]
    return [line for line in lines if line]


def take(text: Iterable[str], width: int) -> str:
    """The first characters, as many as `width` cells have room for."""
    taken: list[str] = []
    for character in text:
        width -= _cells(character)
        if width < 0:
            break
        taken.append(character)
    return "".join(taken)


def _cells(character: str) -> int:
    if category(character) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
