"""What `nsagent doctor` found out about one thing that this machine may offer."""

from dataclasses import dataclass
from enum import StrEnum


class CheckState(StrEnum):
    """How it stands.

    `used`: it works, and every pass uses it. `failed`: it is there or was asked for, and does not
    work. `unused`: it is there and left alone, as another name of the same socket. `absent`: it is
    not there, and nobody asked for it.
    """

    USED = "used"
    FAILED = "failed"
    UNUSED = "unused"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Check:
    """One source of names.

    `kind` is what it is: `cgroup`, `docker`, `podman`, `cri`, `bundles` or `logs`; `subject` where: a URL or a
    directory. `seconds` is how long the answer took, None where nothing was asked. `containers` is
    how many it tells of, None where it did not answer. `detail` says what else there is to say, or why it is
    not used; `fix` what would help, None where nothing has to be done or nothing is known to help.
    """

    subject: str
    kind: str
    state: CheckState
    seconds: float | None = None
    containers: int | None = None
    detail: str | None = None
    fix: str | None = None
