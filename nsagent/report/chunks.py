"""Rows in batches, so that writing them is cheap."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

ROWS_PER_CHUNK = 500


def chunks(rows: Iterable[T], most: int = ROWS_PER_CHUNK) -> Iterator[list[T]]:
    """The rows in order, in lists of up to `most`; no list is empty."""
    rest = iter(rows)
    while batch := list(islice(rest, most)):
        yield batch
