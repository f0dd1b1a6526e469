"""python -m nsagent, and the `nsagent` command."""

import os
import sys
from contextlib import suppress


def main() -> None:
    """Run the command line and end the process with its exit status."""
    from nsagent.cli.app import run

    status = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # Not sys.exit: taking a snapshot of 10^5 rows apart object by object takes a twentieth of a
    # scan, and the kernel frees the memory all the same.
    os._exit(status)


if __name__ == "__main__":
    main()
