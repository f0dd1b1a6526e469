"""A bearer token in a file that only its owner, and root, have a say in; read anew for each request that shows one."""

import hmac
import os
import stat
from typing import Final

from nsagent.errors import ServeFailed

_MOST_BYTES: Final = 4096
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class TokenFile:
    """The token of one file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self) -> bytes:
        """The token without white space around it; raises ServeFailed for a file that must not be relied on."""
        try:
            fd = os.open(self._path, _FLAGS)
            try:
                self._check(os.fstat(fd))
                token = os.read(fd, _MOST_BYTES).strip()
            finally:
                os.close(fd)
        except OSError as err:
            raise ServeFailed(f"{self._path}: the token cannot be read: {err.strerror}") from err
        if not token:
            raise ServeFailed(f"{self._path}: holds no token")
        return token

    def holds(self, token: bytes) -> bool:
        """Whether it is this token, told in a time that does not tell how much of it is right; raises as `read`."""
        return hmac.compare_digest(self.read(), token)

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise ServeFailed(f"{self._path}: the token is not in a regular file")
        if found.st_uid not in (0, os.geteuid()):
            raise ServeFailed(f"{self._path}: the token belongs to uid {found.st_uid}: make it root's or the agent's")
        if found.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
            raise ServeFailed(f"{self._path}: others may read or write the token: chmod 0640, or less")
