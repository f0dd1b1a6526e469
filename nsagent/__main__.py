"""python -m nsagent, and the `nsagent` command."""

import os
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> None:
    """Run the command line and end the process with its exit status."""
    from nsagent.cli.app import run

    _leave(run(sys.argv[1:], _leave))


def _leave(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # Not sys.exit, which takes apart what is in memory, object by object: the kernel frees it all the same.
    os._exit(status)


if __name__ == "__main__":
    main()
