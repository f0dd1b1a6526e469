"""What a failed read of a file is for the caller."""

from errno import EACCES, EINVAL, EIO, EMFILE, ENOENT, EPERM, ESRCH

import pytest

from nsagent.errors import AccessDenied, Gone, NsagentError, ProcessGone, ReadFailed
from nsagent.kernel.files import translate_errno, translate_failure


@pytest.mark.parametrize(
    ("errno", "kind"),
    [
        (ENOENT, Gone),
        (ESRCH, ProcessGone),
        (EACCES, AccessDenied),
        (EPERM, AccessDenied),
        (EMFILE, ReadFailed),
        (EINVAL, ReadFailed),
        (EIO, ReadFailed),
    ],
)
def test_an_errno_says_what_the_caller_does_next(errno: int, kind: type[NsagentError]) -> None:
    translated = translate_errno(OSError(errno, "text"), "pid 1")
    assert type(translated) is kind
    assert str(translated).startswith("pid 1: E")


def test_nothing_but_a_process_can_be_gone() -> None:
    assert isinstance(translate_failure(OSError(ENOENT, "text"), "/proc"), ReadFailed)
