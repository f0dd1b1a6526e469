"""The one rule for untrusted text (comm, names, labels) in output for people: no character that acts.

What Python calls printable passes; the rest becomes `\\xNN`: C0, DEL, C1, bidi and other format
characters, line and paragraph separators, odd spaces, surrogates, private and unassigned code
points. JSON has its own rule (json_text).
"""


def escape(text: str) -> str:
    """The text with every unprintable character as `\\xNN`.

    Up to U+00FF NN is the code point; above, each byte of its UTF-8 form is one `\\xNN`. A
    surrogate escape (U+DC80 to U+DCFF) stands for one byte that was not UTF-8, and becomes it.
    A backslash stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else hex_escape(character) for character in text)


def hex_escape(character: str) -> str:
    """One character as `\\xNN`, see `escape`."""
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
