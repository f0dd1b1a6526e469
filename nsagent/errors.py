"""Every exception raised on purpose, named after what the caller does next.

errno is translated once, at the edge to the kernel or to a runtime, and chained with
`raise ... from err`. Anything else that escapes is a bug.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_NOT_FOUND = 4
EXIT_FOUND = 5
EXIT_INTERRUPTED = 130


class NsagentError(Exception):
    """Base of all; `exit_status` is what the command line ends with if nobody deals with it."""

    exit_status = EXIT_FAILED


class Reason(StrEnum):
    """Why something that exists was not read, or does not fit; closed: whoever decides, decides by these.

    `denied` (EACCES, EPERM) and `failed` (any other) come with an errno, the others without, but
    of a source of names: there `absent`, `refused` (nobody listens) and `failed` may have one.
    `not_served`: what listens speaks another protocol, as a containerd without CRI does.
    `rejected`: it answered by an error. `missing_extra`: its client is not installed.
    """

    DENIED = "denied"
    FAILED = "failed"
    GONE = "gone"
    NO_ANSWER = "no_answer"
    MALFORMED = "malformed"
    INTERRUPTED = "interrupted"
    CHANGED = "changed"
    TOO_MANY = "too_many"
    TOO_LARGE = "too_large"
    LATE = "late"
    UNREACHABLE = "unreachable"
    NOT_TOLD = "not_told"
    SHORT = "short"
    NOBODY_INSIDE = "nobody_inside"
    HIDEPID = "hidepid"
    SUBSET = "subset"
    NO_INIT = "no_init"
    PID_NAMESPACE = "pid_namespace"
    UNSEEN = "unseen"
    OTHER_HOST = "other_host"
    UNPROVEN = "unproven"
    SANDBOXED = "sandboxed"
    NO_CGROUP2 = "no_cgroup2"
    NOT_ASKED = "not_asked"
    REPEATED = "repeated"
    ELSEWHERE_TOO = "elsewhere_too"
    MISMATCH = "mismatch"
    LEFT_OPEN = "left_open"
    ABSENT = "absent"
    REFUSED = "refused"
    NOT_SERVED = "not_served"
    REJECTED = "rejected"
    MISSING_EXTRA = "missing_extra"


class Gone(NsagentError):
    """ENOENT or ESRCH: an fd, a thread or a mount is not there any more, or its process is: ask that."""


class ProcessGone(Gone):
    """The process (or the thread that stands for it) has exited, as it says itself. Try the next one."""


class NotRead(NsagentError):
    """The fact exists and could not be read. It becomes a Gap. `errno` is its name, as in EACCES, or None."""

    def __init__(self, subject: str, reason: Reason, errno: str | None = None) -> None:
        super().__init__(f"{subject}: {errno or reason.replace('_', ' ')}")
        self.subject = subject
        self.reason = reason
        self.errno = errno


class AccessDenied(NotRead):
    """EACCES or EPERM: it may not be read."""

    def __init__(self, subject: str, errno: str) -> None:
        super().__init__(subject, Reason.DENIED, errno)


class ReadFailed(NotRead):
    """It cannot be read: EMFILE, EIO, EINVAL ..."""

    def __init__(self, subject: str, errno: str) -> None:
        super().__init__(subject, Reason.FAILED, errno)


class NoAnswer(NotRead):
    """Nobody answers, in a time in which the kernel always does."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject, Reason.NO_ANSWER)


class FormatError(NsagentError):
    """The kernel's (or a runtime's) text or bytes are not what its format says; holds the input."""

    def __init__(self, expected: str, text: str | bytes) -> None:
        super().__init__(f"expected {expected}, got {text[:200]!r}")
        self.expected = expected
        self.text = text


class DumpInterrupted(NotRead):
    """The kernel says that its table changed during the dump (NLM_F_DUMP_INTR). Dump again."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject, Reason.INTERRUPTED)


class DumpUnavailable(NsagentError):
    """This kernel has no such table (ENOENT from sock_diag). Not a gap: there is nothing to see.

    `errno` is the name of what it answered, None where it was not asked.
    """

    def __init__(self, detail: str, errno: str | None = None) -> None:
        super().__init__(detail)
        self.errno = errno


class RuntimeUnavailable(NsagentError):
    """A source of names did not answer in time or as it should: names are unknown, sockets are not."""

    def __init__(self, detail: str, reason: Reason = Reason.FAILED, errno: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.errno = errno


_LASTING: Final = frozenset((Reason.ABSENT, Reason.DENIED, Reason.PID_NAMESPACE, Reason.MISMATCH, Reason.UNREACHABLE))
"""What the kernel, and the rights and namespaces of a program, stay like."""


class EventsUnavailable(NsagentError):
    """The kernel tells this program of no processes that come and go; says why. /proc can be polled."""

    def __init__(self, detail: str, reason: Reason, errno: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.errno = errno

    @property
    def may_pass(self) -> bool:
        """Whether it is of use to try again later, as where no file could be opened for a moment."""
        return self.reason not in _LASTING


class EngineUnavailable(NsagentError):
    """A way of reading that was asked for by name cannot work here."""


class NoProcfs(NsagentError):
    """What should be a procfs, or a copy of one, holds no process."""

    def __init__(self, root: str) -> None:
        super().__init__(f"{root}: no procfs, nor a copy of one: there is no process in it")


class CaptureError(NsagentError):
    """A capture file cannot be read or written; says which file and where in it."""


class PathRefused(NsagentError):
    """What stands at a path, or on the way to it, may be another user's doing; says what, not which path."""


class HistoryError(NsagentError):
    """A history cannot be opened, read or written; says which file, and why. What it holds is as it was."""


class OutputFailed(NsagentError):
    """The answer cannot be written: a full disk behind stdout."""


class PostFailed(NsagentError):
    """A receiver gave no answer, or could not be asked; says why, not which one. Ask again later."""


class MissingExtra(NsagentError):
    """Something was asked for that takes an optional part of this package (a pip extra), which is not installed."""

    def __init__(self, what: str, module: str, extra: str) -> None:
        super().__init__(f"{what} needs {module}, which is not installed: pip install 'nsagent[{extra}]'")


class UsageError(NsagentError):
    """What was typed (or set in an NSAGENT_* variable) is no valid value; says what was expected."""

    exit_status = EXIT_USAGE


class WrongValue(UsageError):
    """The value of one option is none that it takes; `expected` says so without the name of the option."""

    def __init__(self, option: str, expected: str) -> None:
        super().__init__(f"{option}: {expected}")
        self.expected = expected


class WrongExpression(WrongValue):
    """A filter expression is none: `expected` tells what should stand in `text` at `position`, counted from 0."""

    def __init__(self, expected: str, text: str, position: int) -> None:
        super().__init__("filter", expected)
        self.text = text
        self.position = position


class ConfigProblem(NamedTuple):
    """One thing that is wrong with a config: one line."""

    file: str
    line: int | None
    """From 1, like `column`; None where it is the file that is wrong, and not what is in it."""
    column: int | None
    path: str
    """As in `reports[0].every`; empty for the whole."""
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        return ": ".join(filter(None, (place, self.path, self.message)))


class ConfigError(NsagentError):
    """A config cannot be used; holds everything that is wrong with it, in the order of the file."""

    exit_status = EXIT_USAGE

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class NotFound(NsagentError):
    """Nothing on this host goes by that name; lists near names and where they were looked for."""

    exit_status = EXIT_NOT_FOUND

    def __init__(
        self, what: str, name: str, *, near: Sequence[str] = (), asked: Sequence[str] = (), hint: str = ""
    ) -> None:
        self.what, self.name = what, name
        self._told = near, asked, hint
        text = f"no {what} {name!r}"
        if near:
            text += f"; near names: {', '.join(near)}"
        if asked:
            text += f" (looked in: {', '.join(asked)})"
        if hint:
            text += f"; {hint}"
        super().__init__(text)

    def with_hint(self, hint: str) -> "NotFound":
        """The same with one hint more."""
        near, asked, earlier = self._told
        return NotFound(self.what, self.name, near=near, asked=asked, hint="; ".join(filter(None, (earlier, hint))))


class Ambiguous(NsagentError):
    """Several things go by that name; lists them."""

    exit_status = EXIT_NOT_FOUND

    def __init__(self, what: str, name: str, candidates: Sequence[str]) -> None:
        super().__init__(f"{what} {name!r} is ambiguous: {', '.join(candidates)}")


class Changed(NsagentError):
    """What a name meant at the start of a pass is not what it means at the end: the answer would be of another."""

    exit_status = EXIT_NOT_FOUND


class Aborted(NsagentError):
    """The pass was told to stop between two reads (Ctrl-C, SIGTERM, a deadline)."""

    exit_status = EXIT_INTERRUPTED


class ServeFailed(NsagentError):
    """An endpoint of the agent cannot be opened as it is configured: a port that is taken, a token others may read."""


class AgentUnavailable(NsagentError):
    """No agent answers at its unix socket, or not as it should."""
