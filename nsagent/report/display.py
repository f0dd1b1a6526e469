"""How wide a text stands on a terminal: wide East Asian characters take two cells, combining marks none."""

from unicodedata import category, east_asian_width

ELLIPSIS = "\u2026"


def display_width(text: str) -> int:
    """The character cells that a printable text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def pad(text: str, width: int) -> str:
    """The text with spaces after it until it is `width` cells wide."""
    return text + " " * (width - display_width(text))


def shorten(text: str, width: int) -> str:
    """The text, or its beginning and an ellipsis where it is wider than `width` (1 or more) cells."""
    if display_width(text) <= width:
        return text
    kept, room = 0, width - 1
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        kept += 1
    return text[:kept] + ELLIPSIS


def _cells(character: str) -> int:
    if category(character) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
