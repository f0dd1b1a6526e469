"""An array in pieces is what it is as a whole."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import FormatError
from nsagent.runtimes.json_array import Oversize, decode_array

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=10,
)
# A number alone may be cut in two that are numbers as well; runtimes list objects.
ELEMENTS = st.lists(st.dictionaries(st.text(), JSON, max_size=3) | st.lists(JSON, max_size=3) | st.text())


def decode(data: bytes, size: int, element_limit: int = 1000_000, budget: int = 1000_000) -> list[object]:
    """What `data` holds, arriving `size` bytes at a time."""
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return list(decode_array(pieces, element_limit=element_limit, budget=budget))


@given(ELEMENTS, st.integers(1, 50), st.sampled_from([None, 1]), st.booleans())
def test_any_array_in_any_pieces(elements: list[object], size: int, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(elements, indent=indent, ensure_ascii=ascii_only)
    assert decode(text.encode("utf-8", "surrogatepass"), size) == json.loads(text)


@given(st.binary(), st.integers(1, 9))
def test_any_bytes_have_an_answer_or_are_no_array(data: bytes, size: int) -> None:
    try:
        decode(data, size)
    except FormatError:
        return
    assert data.lstrip().startswith(b"[")


def test_what_follows_the_end_is_not_looked_at() -> None:
    assert decode(b' [ {} , "a" ] nonsense', 3) == [{}, "a"]


@pytest.mark.parametrize(
    "data",
    [b"", b" ", b"{}", b"null", b"[", b"[{}", b"[{},", b"[{},]", b"[,{}]", b"[{} {}]", b'["a', b"[nan]", b"[}"],
)
def test_damage_is_told(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode(data, 2)


def test_an_element_may_not_be_endless() -> None:
    assert decode(b'["%s"]' % (b"x" * 90), 10, element_limit=100) == ["x" * 90]
    with pytest.raises(FormatError, match="at most 100 characters"):
        decode(b'["%s"]' % (b"x" * 900), 10, element_limit=100)


@pytest.mark.parametrize("element", [b"9" * 5000, b"[" * 100_000])
def test_an_element_beyond_the_limits_of_python_is_damage(element: bytes) -> None:
    with pytest.raises(FormatError):
        decode(b"[" + element + b"]", 1 << 20)


@given(ELEMENTS, ELEMENTS, st.integers(1, 50))
def test_a_large_object_costs_itself_alone(before: list[object], after: list[object], size: int) -> None:
    large = {"Id": "a" * 20, "Labels": [{'"}]\\': '\\"' * 200, "]": ["{"]}]}
    data = json.dumps([*before, large, *after]).encode("utf-8", "surrogatepass")
    elements = decode(data, size, element_limit=400)
    rest = [element for element in elements if not isinstance(element, Oversize)]
    assert rest == [one for one in [*before, *after] if len(json.dumps(one)) <= 400 or isinstance(one, str)]
    assert any(isinstance(one, Oversize) and one.head.startswith('{"Id": "aaaa') for one in elements)


@pytest.mark.parametrize("element", [b'{"a": ' + b"9" * 5000 + b"}", b"[" * 100_000 + b"]" * 100_000])
@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_an_object_beyond_the_limits_of_python_costs_itself_alone(element: bytes, size: int) -> None:
    assert decode(b"[1 ," + element + b",2]", size) == [1, Oversize(element[:4096].decode()), 2]


def test_large_objects_do_not_take_the_room_of_small_ones() -> None:
    large, small = {"a": "x" * 50_000}, {"a": "x" * 10_000}
    elements = decode(json.dumps([small, large, large, large, small]).encode(), 4096, budget=100_000)
    assert elements == [small, large, large, Oversize(json.dumps(large)[:4096]), small]


def test_an_object_in_small_pieces_takes_no_longer_than_it_is_long() -> None:
    """Decoding it anew with each piece would take minutes."""
    piece = b"A" * 64
    pieces = [b'[{"a": "', *([piece] * 15_000), b'"}]']
    began = time.thread_time()
    (element,) = decode_array(pieces, element_limit=1_000_000, budget=1_000_000)
    assert element == {"a": "A" * 960_000}
    assert time.thread_time() - began < 20
