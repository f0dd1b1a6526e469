"""python -m nsagent, and the `nsagent` command."""

import os
import sys
from contextlib import suppress
from typing import NoReturn

_PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); from nsagent.__main__ import main; main()"
"""nsagent from a directory in which it may stand alone; nothing in there hides a module that is elsewhere."""


def main() -> None:
    """The `nsagent` command: in an interpreter that nobody's variables or user site steer."""
    if not sys.flags.isolated and _is_steered():
        flags = ["-I", *(["-B"] if sys.dont_write_bytecode else [])]
        place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        program = ["-c", _PROGRAM, place] if place in _list_told() else ["-m", "nsagent"]
        with suppress(OSError):  # Where no program may be started the answer is worth more.
            os.execv(sys.executable, [sys.executable, *flags, *program, *sys.argv[1:]])  # noqa: S606
    _answer()


def _is_steered() -> bool:
    """Whether the environment says what Python loads: by Python's variables (PYTHON_VERSION is none), a user site."""
    if (site := _find_user_site()) and site in sys.path:
        return True
    return any(name.startswith("PYTHON") and not name.startswith("PYTHON_") for name in os.environ)


def _list_told() -> list[str]:
    """The directories of modules that the environment tells: nsagent may be found by these alone."""
    places = (*os.environ.get("PYTHONPATH", "").split(os.pathsep), _find_user_site())
    return [os.path.abspath(place) for place in places if place]


def _find_user_site() -> str:
    """Where packages of this user alone are, as Python found at its start; "" where it looked for none."""
    return getattr(sys.modules.get("site"), "USER_SITE", None) or ""


def _answer() -> NoReturn:
    """Run the command line and end the process with its exit status."""
    from nsagent.cli.app import run
    from nsagent.cli.rights import give_back_rights

    _leave(run(sys.argv[1:], _leave, give_back_rights))


def _leave(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # Not sys.exit, which takes apart what is in memory, object by object: the kernel frees it all the same.
    os._exit(status)


if __name__ == "__main__":
    _answer()
