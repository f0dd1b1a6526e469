"""What of YAML a config may be, and one line for each thing that it may not."""

import time

import pytest
import yaml
from yaml.nodes import MappingNode

from nsagent.config.tree import MAX_BYTES, MAX_DEPTH, Place, Refused, parse_tree

PARSERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]


def refusal(content: bytes, events_of: type | None = None) -> tuple[Place, str]:
    with pytest.raises(Refused) as caught:
        parse_tree(content, events_of)
    return caught.value.place, str(caught.value)


@pytest.mark.parametrize("events_of", PARSERS)
@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"", (1, 1), "is empty"),
        (b"\n# nothing\n", (1, 1), "is empty"),
        (b"- a\n- b\n", (1, 1), "expected keys and values"),
        (b"\n  text\n", (2, 3), "expected keys and values"),
        (b"a: 1\n---\nb: 1\n", (2, 1), "no YAML: "),
        (b"a: 1\n\tb: 2\n", (2, 1), "no YAML: found "),
        (b"a: [1, 2\nb: 3\n", (2, 2), "no YAML: "),
        (b"a: &x 1\n", (1, 4), "anchors and aliases are not taken"),
        (b"a: [1, *x]\n", (1, 8), "anchors and aliases are not taken"),
        (b"a: !!python/object/apply:os.getpid []\n", (1, 4), "tags are not taken"),
        (b"a: !!int 3\n", (1, 4), "tags are not taken"),
        (b"a: ! b\n", (1, 4), "tags are not taken"),
        (b"a: 1\nb: x\x00y\n", (2, 5), "the character U+0000 is not taken"),
        ("a: ä\x07\n".encode(), (1, 5), "the character U+0007 is not taken"),
        (b"a: 1\nb: \xc3\xa4\xff\n", (2, 5), "expected UTF-8, got the byte 0xff"),
        ("\ufeffa: é".encode("utf-8") + b"\xe9", (1, 5), "expected UTF-8, got the byte 0xe9"),
        ("a: 1\n".encode("utf-16"), (1, 1), "expected UTF-8, got the byte 0xff"),
        (b"a: 1\n" + b"#" * MAX_BYTES, (1, 1), "expected no more than 1 MiB"),
        (b'a: "\\U00110000"\n', None, "no YAML: "),
    ],
)
def test_what_a_config_may_not_be_is_one_line_with_its_place(
    events_of: type, content: bytes, place: tuple[int, int] | None, message: str
) -> None:
    where, text = refusal(content, events_of)
    assert place is None or where == place
    assert text.startswith(message)
    assert "\n" not in text


@pytest.mark.parametrize("events_of", PARSERS)
def test_the_deepest_config_that_is_taken_has_as_many_levels_as_it_says(events_of: type) -> None:
    def nest(levels: int) -> bytes:
        return b"a: " + b"[" * (levels - 2) + b"x" + b"]" * (levels - 2)

    assert isinstance(parse_tree(nest(MAX_DEPTH), events_of), MappingNode)
    assert refusal(nest(MAX_DEPTH + 1), events_of) == (
        Place(1, 4 + MAX_DEPTH - 1),
        f"expected no more than {MAX_DEPTH} levels",
    )


@pytest.mark.parametrize("events_of", PARSERS)
@pytest.mark.parametrize("text", [b"[", b"{a: ", b"- ", b"? ", b"[{a: "])
def test_a_bomb_of_brackets_is_refused_before_it_goes_deep(events_of: type, text: bytes) -> None:
    started = time.thread_time()
    _, message = refusal(text * ((MAX_BYTES - 10) // len(text)), events_of)
    # libyaml looks ahead in flows, and has a limit of its own.
    assert message in (f"expected no more than {MAX_DEPTH} levels", "no YAML: exceeded maximum nesting depth")
    assert time.thread_time() - started < 5


def test_a_byte_order_mark_is_nothing() -> None:
    assert isinstance(parse_tree("\ufeffa: 1".encode()), MappingNode)
