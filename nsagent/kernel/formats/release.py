"""/proc/sys/kernel/osrelease: which kernel it is, and so what it cannot tell.

What a distribution adds to an older kernel does not show in it: by a release a kernel may only be
taken for one that tells less than it does.

Source: uname(2), proc_sys_kernel(5).
"""

import re


def is_at_least(release: str | None, major: int, minor: int) -> bool:
    """Whether a release such as `6.1.0-56-amd64` is this one or later; not where it is unknown."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})", release or "", re.ASCII)
    return found is not None and (int(found[1]), int(found[2])) >= (major, minor)
