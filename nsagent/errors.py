"""Every exception raised on purpose, named after what the caller does next.

errno is translated once, at the edge to the kernel or to an engine, and chained with
`raise ... from err`. Anything else that escapes is a bug.
"""

from collections.abc import Sequence

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_NOT_FOUND = 4
EXIT_INTERRUPTED = 130


class NsagentError(Exception):
    """Base of all; `exit_status` is what the command line ends with if nobody deals with it."""

    exit_status = EXIT_FAILED


class ProcessGone(NsagentError):
    """The process (or thread) exited between two reads: ENOENT or ESRCH. Try the next one."""


class AccessDenied(NsagentError):
    """EACCES or EPERM: the fact exists and may not be read. It becomes a Gap."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"{subject}: {reason}")
        self.subject = subject
        self.reason = reason


class ReadFailed(NsagentError):
    """A read failed for another reason (EMFILE, EIO, EINVAL ...). It becomes a Gap."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"{subject}: {reason}")
        self.subject = subject
        self.reason = reason


class FormatError(NsagentError):
    """The kernel's (or an engine's) text or bytes are not what its format says; holds the input."""

    def __init__(self, expected: str, text: str | bytes) -> None:
        super().__init__(f"expected {expected}, got {text[:200]!r}")
        self.expected = expected
        self.text = text


class DumpInterrupted(NsagentError):
    """The kernel says that its table changed during the dump (NLM_F_DUMP_INTR). Dump again."""


class DumpUnavailable(NsagentError):
    """This kernel has no such table (ENOENT from sock_diag). Not a gap: there is nothing to see."""


class RuntimeUnavailable(NsagentError):
    """An engine did not answer in time or as it should: names are unknown, sockets are not."""


class NotServed(RuntimeUnavailable):
    """What listens there speaks another protocol, as a containerd without CRI does: not an engine of this kind."""


class EngineUnavailable(NsagentError):
    """A way of reading that was asked for by name cannot work here."""


class CaptureError(NsagentError):
    """A capture file cannot be read or written; says which file and where in it."""


class OutputFailed(NsagentError):
    """The answer cannot be written: a full disk behind stdout."""


class UsageError(NsagentError):
    """What was typed (or set in an NSAGENT_* variable) is no valid value; says what was expected."""

    exit_status = EXIT_USAGE


class NotFound(NsagentError):
    """Nothing on this host goes by that name; lists near names and where they were looked for."""

    exit_status = EXIT_NOT_FOUND

    def __init__(self, what: str, name: str, *, near: Sequence[str] = (), asked: Sequence[str] = ()) -> None:
        text = f"no {what} {name!r}"
        if near:
            text += f"; near names: {', '.join(near)}"
        if asked:
            text += f" (looked in: {', '.join(asked)})"
        super().__init__(text)


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
