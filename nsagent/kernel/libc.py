"""Functions of libc that Python has no name for, syscall(2) among them, and close(2), which must not fail.

ctypes is imported by the first call: whoever calls nothing does not pay for it (2-5 ms).

Source: syscall(2). What a call means, and what its errno does, is its caller's.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from errno import ENOSYS
from functools import cache


def close_fd(fd: int) -> None:
    """Close it. An error is no reason to do anything else: the kernel has let go of it by then; see close(2)."""
    with suppress(OSError):
        os.close(fd)


def call_libc(name: str, *arguments: int | bytes | None) -> int:
    """What the function returns; raises OSError where that is negative, ENOSYS where libc has no such function.

    Arguments are passed as a long each; bytes as a pointer, to be read and not written, None as a
    null pointer. Takes 1-2 us more than the call itself.
    """
    return _load_caller()(name, arguments)


@cache
def _load_caller() -> Callable[[str, tuple[int | bytes | None, ...]], int]:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, arguments: tuple[int | bytes | None, ...]) -> int:
        function = getattr(libc, name, None)
        if function is None:
            raise OSError(ENOSYS, os.strerror(ENOSYS))
        # A plain int would go as 32 bits, of which a variadic function reads 64.
        result: int = function(*(ctypes.c_long(each) if isinstance(each, int) else each for each in arguments))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    return call
