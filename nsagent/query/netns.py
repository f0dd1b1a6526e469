"""Names that somebody typed -> the netns they mean: `--netns` and the argument of `nsagent netns`. Pure.

What nobody can give to a netns (`host`, `init`, its inode or key) decides before the names that root of the
host gives to them. Names and paths in other mount namespaces than the host's mean none: a container mounts any
netns in its own /run/netns under any name.
"""

import difflib
import posixpath
import re
from typing import Final

from nsagent.errors import Ambiguous, NotFound
from nsagent.model.ids import tell_netns
from nsagent.model.snapshot import Netns, Snapshot
from nsagent.query.containers import is_called_by_id, list_names

NAMED: Final = "netns/"
"""What `-o name` puts before a netns's number."""


def find_netns(snapshot: Snapshot, text: str) -> Netns:
    """The netns called `host` or `init`, or by inode, key, path of a mount or /proc/PID/ns/net, or name.

    Raises Ambiguous for a name or path that several have, and NotFound.
    """
    found = _match(snapshot, text)
    if len(found) > 1:
        raise Ambiguous("netns", text, [_describe(one) for one in found])
    if not found:
        names = [name for one in snapshot.netns for name in (*one.names, *one.mounts, tell_netns(one.number))]
        names += ["host"] if any(one.is_host for one in snapshot.netns) else []
        near = difflib.get_close_matches(text, names, n=3)
        raise NotFound("netns", text, near=near, hint=_hint(snapshot, text))
    return found[0]


def find_each_netns(snapshot: Snapshot, text: str) -> list[Netns]:
    """Those that are meant by one value of an option: a name, or several with commas between.

    A name may hold commas itself. Raises Ambiguous where both could be meant, and what find_netns does.
    """
    parts = [part for part in map(str.strip, text.split(",")) if part]
    whole = _match(snapshot, text)
    if len(parts) > 1 and whole and any(_match(snapshot, part) for part in parts):
        raise Ambiguous("netns", text, [_describe(one) for one in whole] + parts)
    return [find_netns(snapshot, part) for part in ([text] if whole else parts)]


def _match(snapshot: Snapshot, text: str) -> list[Netns]:
    if text == "host":
        return [one for one in snapshot.netns if one.is_host]
    if text == "init" and (init := [one for one in snapshot.netns if one.is_init]):
        return init
    if match := re.fullmatch(r"/proc/(\d+)/(?:task/\d+/)?ns/net", text, re.ASCII):
        numbers = {one.netns for one in snapshot.processes if one.pid == int(match[1])}
        return [one for one in snapshot.netns if one.number in numbers]
    if text.startswith("/"):
        path = _resolve_var_run(text)
        return [one for one in snapshot.netns if path in map(_resolve_var_run, one.mounts)]
    numbered = [one for one in snapshot.netns if tell_netns(one.number) == text]
    found = numbered or [one for one in snapshot.netns if text in one.names]
    if not found and text.startswith(NAMED):  # As `-o name` prints it.
        return _match(snapshot, text.removeprefix(NAMED))
    return found


def _describe(netns: Netns) -> str:
    return f"{tell_netns(netns.number)} ({', '.join(netns.mounts)})" if netns.mounts else tell_netns(netns.number)


def _hint(snapshot: Snapshot, text: str) -> str:
    """Why it may be there and not be found by this."""
    foreign = [tell_netns(one.number) for one in snapshot.netns if _is_called_elsewhere(one, text)]
    if foreign:
        return f"only another mount namespace calls {', '.join(foreign)} so: ask by inode"
    if text == "host":
        return "no thread of the kernel is seen: that of PID 1 is called init"
    if any(text in list_names(one) or is_called_by_id(one, (text,)) for one in snapshot.containers):
        return "it is a container: use -c"
    unreadable = sum(one.inode is None for one in snapshot.netns)
    if text.isdigit() and unreadable:
        return f"the inodes of {unreadable} netns may not be read: ask for them as key:N"
    return ""


def _is_called_elsewhere(netns: Netns, text: str) -> bool:
    paths = (f"/run/netns/{text}", _resolve_var_run(text))
    return any(_resolve_var_run(path) in paths for path in netns.foreign_mounts)


def _resolve_var_run(path: str) -> str:
    """A normal path; /var/run is a link to /run."""
    path = posixpath.normpath(path)
    return path.removeprefix("/var") if path.startswith("/var/run/") else path
