"""Texts that a renderer has already made, for one call of it."""

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

# A snapshot of 10^6 sockets may name 10^6 peers: a full memo starts anew and memory stays flat.
_MOST = 1 << 16


class Memo(dict[K, V], Generic[K, V]):
    """`memo[key]` is `make(key)`, made once while the memo is not full."""

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        if len(self) >= _MOST:
            self.clear()
        made = self[key] = self._make(key)
        return made
