"""The YAML of a config: its nodes, each with its place, and what is refused before anyone asks what it means. Pure.

Source: YAML 1.2.2, chapter 10.2 (the JSON schema's scalars, with `0o17`, `0x1F` and `~` of the core
schema); PyYAML's composer, fed with the events of libyaml where that is there: a tenth of the time.

No anchor, no alias, no tag, no key but text, no key twice, one document: what a node is stands where
it stands. A depth of more than MAX_DEPTH ends the reading before anything has to recurse, and more than
MAX_NODES before it takes long.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import yaml
from yaml.composer import Composer
from yaml.error import MarkedYAMLError
from yaml.events import AliasEvent, Event
from yaml.nodes import MappingNode, Node
from yaml.reader import Reader

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 20

MAX_NODES: Final = 100_000
"""Keys, values, lists and mappings: those of three thousand reports, and some seconds."""


class Place(NamedTuple):
    """Where in the file, from 1."""

    line: int
    column: int


class Refused(Exception):
    """The text is no YAML that a config may be, and why not."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


class _Composer(Composer):
    """PyYAML's composer over events that come from anywhere, which takes no more than a config needs."""

    def __init__(self, events: Iterator[Event]) -> None:
        super().__init__()
        self._events = events
        self._next: Event | None = None
        self._depth = 0
        self._nodes = 0

    def peek_event(self) -> Event | None:
        if self._next is None:
            self._next = next(self._events, None)
        return self._next

    def get_event(self) -> Event | None:
        event, self._next = self.peek_event(), None
        return event

    def check_event(self, *choices: type[Event]) -> bool:
        event = self.peek_event()
        return event is not None and (not choices or isinstance(event, choices))

    def resolve(self, *_: object) -> str:
        """No tag: scalars are told apart by their text and their quotes."""
        return ""

    def descend_resolver(self, *_: object) -> None:
        """Nothing is resolved."""

    def ascend_resolver(self) -> None:
        """Nothing is resolved."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        place = _place(event and event.start_mark)
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            raise Refused(place, "anchors and aliases are not taken: write it out")
        if getattr(event, "tag", None) is not None:
            raise Refused(place, "tags are not taken")
        if self._depth == MAX_DEPTH:
            raise Refused(place, f"expected no more than {MAX_DEPTH} levels")
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise Refused(place, f"expected no more than {MAX_NODES} keys and values")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def parse_tree(content: bytes, events_of: type | None = None) -> MappingNode:
    """The root of the one document in a file; raises Refused.

    `events_of` is the loader whose events are taken, None for the fastest there is.
    """
    text = _decode(content)
    events = yaml.parse(text, Loader=events_of or (yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader))
    try:
        root = _Composer(events).get_single_node()
    except MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        raise Refused(_place(mark), f"no YAML: {err.problem or err.context}") from err
    except (yaml.YAMLError, ValueError, OverflowError) as err:  # PyYAML's own: an escape of no character.
        raise Refused(Place(1, 1), f"no YAML: {err}") from err
    if root is None:
        raise Refused(Place(1, 1), "is empty: expected `version: 1` at least")
    if not isinstance(root, MappingNode):
        raise Refused(_place(root.start_mark), "expected keys and values, as in `version: 1`")
    return root


def place_of(node: Node) -> Place:
    """Where a node begins."""
    return _place(node.start_mark)


def _place(mark: Any) -> Place:
    return Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)


def _decode(content: bytes) -> str:
    """The text; raises Refused for what is too long, no UTF-8, or holds characters that YAML does not take."""
    if len(content) > MAX_BYTES:
        raise Refused(Place(1, 1), f"expected no more than {MAX_BYTES >> 20} MiB")
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as err:
        before = content[: err.start].decode().removeprefix("\ufeff")
        raise Refused(_end_of(before), f"expected UTF-8, got the byte 0x{content[err.start]:02x}") from err
    if match := Reader.NON_PRINTABLE.search(text):
        raise Refused(_end_of(text[: match.start()]), f"the character U+{ord(match[0]):04X} is not taken")
    return text


def _end_of(text: str) -> Place:
    lines = text.splitlines() if not text.endswith("\n") else [*text.splitlines(), ""]
    return Place(max(len(lines), 1), len(lines[-1]) + 1 if lines else 1)
