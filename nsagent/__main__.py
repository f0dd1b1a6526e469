"""python -m nsagent, and the `nsagent` command."""

# No more than the interpreter has loaded: an interrupt in an import would be a traceback.
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); from nsagent.__main__ import main; main()"
"""nsagent from a directory in which it may stand alone; nothing in there hides a module that is elsewhere."""

_HARMLESS = ("PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE", "PYTHONSAFEPATH", "PYTHONUNBUFFERED")
"""Variables of images and units that say neither what is loaded nor what it does: to start again takes time."""


def main() -> None:
    """The `nsagent` command: in an interpreter that nobody's variables or user site steer."""
    interruptible = _hold_interrupts()
    _isolate()
    _answer(interruptible)


def _hold_interrupts() -> bool:
    """Whoever is interrupted before there is a command ends as any program does: by the signal, without a word.

    Whether interrupts mean anything: a shell starts what runs in the background without.
    """
    try:
        import signal
    except KeyboardInterrupt:
        os._exit(130)
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return interruptible


def _isolate() -> None:
    if not sys.flags.isolated and _is_steered():
        flags = ["-I", *(["-B"] if sys.dont_write_bytecode else [])]
        place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        program = ["-c", _PROGRAM, place] if place in _list_told() else ["-m", "nsagent"]
        try:
            os.execv(sys.executable, [sys.executable, *flags, *program, *sys.argv[1:]])  # noqa: S606
        except OSError:  # Where no program may be started the answer is worth more.
            return


def _is_steered() -> bool:
    """Whether the environment says what Python loads: by Python's variables (PYTHON_VERSION is none), a user site."""
    if (site := _find_user_site()) and site in sys.path:
        return True
    named = (name for name in os.environ if name.startswith("PYTHON") and not name.startswith("PYTHON_"))
    return any(name not in _HARMLESS for name in named)


def _list_told() -> list[str]:
    """The directories of modules that the environment tells: nsagent may be found by these alone."""
    places = (*os.environ.get("PYTHONPATH", "").split(os.pathsep), _find_user_site())
    return [os.path.abspath(place) for place in places if place]


def _find_user_site() -> str:
    """Where packages of this user alone are, as Python found at its start; "" where it looked for none."""
    return getattr(sys.modules.get("site"), "USER_SITE", None) or ""


def _answer(interruptible: bool) -> "NoReturn":
    """Run the command line and end the process with its exit status."""
    _open_streams()
    try:
        from nsagent.cli.app import run
        from nsagent.cli.rights import give_back_rights
    except (MemoryError, ImportError, SystemError) as err:  # There may be no memory for a module.
        os.write(2, f"nsagent: {err or 'out of memory'}\n".encode())
        _leave(1)
    _leave(run(sys.argv[1:], _leave, give_back_rights, interruptible=interruptible))


def _open_streams() -> None:
    """Put /dev/null where a standard stream is closed: a netlink socket in its place would get what is printed.

    What is written to a closed stdout fails, as it should: it is opened for reading.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, flags), number)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _leave(status: int) -> "NoReturn":
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # Who closed it has had enough.
        pass
    except (OSError, ValueError):
        status = status or 1
    try:
        sys.stderr.flush()
    except (OSError, ValueError):  # There is nowhere to say so.
        os._exit(status)
    # Not sys.exit, which takes apart what is in memory, object by object: the kernel frees it all the same.
    os._exit(status)


if __name__ == "__main__":
    _answer(_hold_interrupts())
