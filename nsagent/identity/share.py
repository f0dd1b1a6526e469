"""Whose share of a pass a process uses up: what one container or one user floods is cut of their own share. Pure.

Source: systemd.slice(5), user@.service(5): a user may make cgroups below their own slice, of any name;
whoever is in a container may make them below its cgroup, and have any uid in there.
"""

import re
from typing import Final

from nsagent.identity.cgroup_path import CgroupParser

# At the start of a path alone: further down somebody else may have made it. Seen from another cgroup namespace, as a
# pod's, that may begin with what leads out of it.
_USER_SLICE: Final = re.compile(
    r"^[0-9]+:[^:\n]*:(?:/\.\.)*(/user\.slice/user-[0-9]{1,10}\.slice)(?=/|$)", re.MULTILINE
)


def name_share(cgroup: str, uid: int, parser: CgroupParser | None = None) -> str:
    """What is the same for all who share, by the text of the cgroup file of a process and by its uid.

    The slice of a user, who may have many uids and cgroups; else the directory of the outermost container,
    of which the same is true, and whose id somebody else's cgroup may bear; else the uid. `parser` is for many.
    """
    found = _USER_SLICE.search(cgroup)
    if found:
        return found[1]
    return next(iter((parser or CgroupParser()).parse(cgroup).roots), f"uid {uid}")
