"""The answer on stdout, what could not be seen on stderr."""

import os
import select
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from io import RawIOBase, TextIOWrapper

from nsagent.cli.tell import tell
from nsagent.errors import EXIT_PARTIAL, OutputFailed
from nsagent.model.choices import ColourWhen
from nsagent.model.snapshot import Snapshot
from nsagent.report.coverage import coverage_lines


def write_answer(chunks: Iterable[str], *, at_once: bool = False) -> None:
    """Print the chunks as they come; a reader that closes the pipe early has had enough, which is no error.

    `at_once`: each one is written before the next is asked for, as that may take long.
    """
    out = sys.stdout
    if isinstance(out, TextIOWrapper):
        if isinstance(out.buffer, RawIOBase):
            # PYTHONUNBUFFERED: text that goes straight to write(2) drops, without a word, what that did not take.
            out = os.fdopen(out.fileno(), "w", encoding=out.encoding, closefd=False)
        out.reconfigure(errors="replace")  # A locale without the ellipsis of a cut cell.
    try:
        if at_once:
            for chunk in chunks:
                out.write(chunk)
                out.flush()
        else:
            out.writelines(chunks)
            out.flush()
    except OSError as err:
        end_output(err)


def has_reader() -> bool:
    """Whether anybody may still read stdout: False for a pipe whose reader has closed it."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return not any(happened & select.POLLERR for _, happened in poll.poll(0))


def leave_output() -> None:
    """Nothing more goes to stdout, also not what nobody has taken yet: the reader may hang."""
    # The interpreter flushes stdout once more at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_bytes(data: bytes) -> None:
    """The same for an answer that is no text: what a pipe takes in part is written on."""
    try:
        with os.fdopen(sys.stdout.fileno(), "wb", closefd=False) as out:
            out.write(data)
    except OSError as err:
        end_output(err)


def end_output(err: OSError) -> None:
    """Nothing more goes to stdout; raises OutputFailed, unless it is a pipe whose reader has closed it."""
    if not isinstance(err, BrokenPipeError):
        raise OutputFailed(f"stdout: cannot be written: {err.strerror}") from err
    leave_output()


def write_coverage(snapshot: Snapshot, *, strict: bool) -> int:
    """Say on stderr what this snapshot could not see; the exit status, which `strict` may make 3."""
    for line in coverage_lines(snapshot):
        tell(f"nsagent: {line}")
    return EXIT_PARTIAL if strict and not snapshot.coverage.complete else 0


def terminal_width(environ: Mapping[str, str]) -> int | None:
    """The columns of the terminal that stdout is, None if it is none: then nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() and environ.get("TERM") != "dumb" else None


def tell_left_out(columns: Sequence[str], cut: Sequence[str], whole: str = "-o wide") -> None:
    """Say on stderr for which columns the terminal has no room, and which it cuts; `whole` has all of them."""
    tell(f"nsagent: {left_out_line(columns, cut, whole)}")


def left_out_line(columns: Sequence[str], cut: Sequence[str], whole: str) -> str:
    """The same as a line without its end."""
    gone = f"no room for {', '.join(columns)}" if columns else ""
    lacking = f"{', '.join(cut)} cut" if cut else ""
    return f"{'; '.join(filter(None, (gone, lacking)))}: {whole} has all columns"


def use_colour(when: ColourWhen, environ: Mapping[str, str]) -> bool:
    """Whether to colour: as asked, else on a terminal that can, unless NO_COLOR is set (no-color.org)."""
    if when is not ColourWhen.AUTO:
        return when is ColourWhen.ALWAYS
    return sys.stdout.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
