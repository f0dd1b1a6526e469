"""Numbers as the kernel prints them: ASCII digits alone, where int() takes signs, spaces and underscores too."""


def parse_decimal(text: str | bytes, bits: int) -> int:
    """A decimal number of at most so many bits; raises ValueError."""
    return _parse(text, 10, bits, len(str(1 << bits)))


def parse_hex(text: str | bytes, bits: int) -> int:
    """A hexadecimal number of at most so many bits, without a prefix; raises ValueError."""
    if text[1:2] in ("x", "X", b"x", b"X"):
        raise ValueError(text)
    return _parse(text, 16, bits, (bits + 3) // 4)


def _parse(text: str | bytes, base: int, bits: int, most_digits: int) -> int:
    # The length first: a number of a thousand digits is no number of the kernel's, and slow to read.
    if not (text.isascii() and text.isalnum() and len(text) <= most_digits):
        raise ValueError(text)
    number = int(text, base)
    if number >= 1 << bits:
        raise ValueError(text)
    return number
