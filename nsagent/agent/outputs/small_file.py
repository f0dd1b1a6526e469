"""Files that the config names: a token, certificates. Read anew each time, for others renew them.

A link is followed: a secret of Kubernetes is one. What counts is the file that it leads to, as it is opened.
"""

import os
import re
import stat
from typing import Final

from nsagent.errors import PathRefused

MAX_TOKEN_BYTES: Final = 8192
MAX_CERTIFICATES_BYTES: Final = 4 << 20

_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TOKEN: Final = re.compile(rb"[\x21-\x7e]+")


def read_small_file(path: str, most_bytes: int) -> bytes:
    """All of a regular file that nobody but root and the own user may write; raises OSError and PathRefused."""
    fd = os.open(path, _FILE)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise PathRefused("it is no regular file")
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
            raise PathRefused(f"others may write it (mode {found.st_mode & 0o7777:04o}, uid {found.st_uid})")
        data = b""
        while len(data) <= most_bytes and (piece := os.read(fd, most_bytes + 1 - len(data))):
            data += piece
        if len(data) > most_bytes:
            raise PathRefused(f"it has more than {most_bytes} bytes")
        return data
    finally:
        os.close(fd)


def read_token(path: str) -> str:
    """A token of visible ASCII on one line, so that it fits a header; raises OSError and PathRefused."""
    line = read_small_file(path, MAX_TOKEN_BYTES).removesuffix(b"\n").removesuffix(b"\r")
    if not _TOKEN.fullmatch(line):
        raise PathRefused("expected one line of visible ASCII characters")
    return line.decode("ascii")
