"""What `nsagent inspect` prints for people: what is known of a process line by line, then its fds; or its relatives."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from nsagent.model.container import Container
from nsagent.model.forebear import Forebear
from nsagent.model.ids import ContainerId, tell_netns
from nsagent.model.inspection import Inspection, Peer, Relative
from nsagent.model.net import Endpoint, has_remote
from nsagent.model.process_details import Image, ImageState, OpenFd
from nsagent.model.snapshot import Confidence, OwnedSocket
from nsagent.report.display import display_width, pad
from nsagent.report.escape import escape
from nsagent.report.gaps import tell_reason, tell_subjects
from nsagent.report.inspection import STATES, name_fd_socket
from nsagent.report.layout import ABSENT
from nsagent.report.times import tell_time

MOST_FILES: Final = 40
"""So many fds that are no sockets are printed of one process; JSON has all."""

_FEWEST_OF_ALL: Final = 39
"""So many that nothing bounds are told as all: Linux has 40 or more since 5.8, and a container is bounded to fewer."""

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB")
_FD_HEADERS: Final = ("FD", "KIND", "WHAT", "PEER")

Names = dict[ContainerId, str]


def render_inspections_table(inspections: Sequence[Inspection], containers: Iterable[Container]) -> Iterator[str]:
    """A part for each process, with an empty line between; `containers` are those of the snapshot."""
    names = _name_containers(containers)
    for index, one in enumerate(inspections):
        yield "\n" if index else ""
        yield from _render_one(one, names)


def render_inspections_tree(inspections: Sequence[Inspection], containers: Iterable[Container]) -> Iterator[str]:
    """For each process its line of parents from the first one down, itself, its threads and its children."""
    names = _name_containers(containers)
    for index, one in enumerate(inspections):
        yield "\n" if index else ""
        depth = 0
        for text in reversed(_list_line(one, names)):
            yield _branch(depth, text)
            depth += 1
        yield _branch(depth, _tell_self(one, names))
        others = [each for each in one.threads or () if int(each.tid) != one.key.pid]
        below = [f"thread {each.tid} {escape(each.comm)}" for each in others]
        below += [_tell_relative(child, names) for child in one.children]
        for text in below:
            yield _branch(depth + 1, text)


def _name_containers(containers: Iterable[Container]) -> Names:
    return {one.id: one.name or one.id[:12] for one in containers}


def _branch(depth: int, text: str) -> str:
    return f"{'   ' * (depth - 1)}└─ {text}\n" if depth else f"{text}\n"


def _list_line(one: Inspection, names: Names) -> list[str]:
    """Its parents, the nearest first: as they were when it and they began, where one of these has ended since."""
    forebears = one.forebears if _has_lost(one) else None
    if not forebears:
        return [_tell_relative(each, names) for each in one.parents]
    last = forebears[-1]
    known = None if last.ended_seconds is not None else (last.pid, last.start_ticks)
    at = next((index for index, each in enumerate(one.parents) if known == each.key), len(one.parents))
    above = one.parents[at + 1 :]
    return [escape(_tell_forebear(each)) for each in forebears] + [_tell_relative(each, names) for each in above]


def _has_lost(one: Inspection) -> bool:
    """Whether it, or a parent, was adopted since it began."""
    return any(each.ended_seconds is not None for each in one.forebears or ())


def _tell_forebear(one: Forebear) -> str:
    text = f"{one.pid} {'?' if one.comm is None else one.comm}"
    if one.ended_seconds is None:
        return text
    status, how = one.status, ""
    if status is not None:
        how = f", signal {status.signal}" if status.signal else f", exit code {status.code}"
    return f"{text} (ended {tell_time(one.ended_seconds)}{how})"


def _tell_self(one: Inspection, names: Names) -> str:
    container = escape(names.get(one.container.id, one.container.name or "")) if one.container else ""
    is_adopted = one.parents and one.forebears and one.forebears[0].ended_seconds is not None
    adopted = f", now a child of {one.parents[0].key.pid} {escape(one.parents[0].comm)}" if is_adopted else ""
    place = f"  [{container}]" if container else ""
    return f"{one.key.pid} {escape(one.comm)}{place}  <- asked for {one.asked}{adopted}"


def _tell_relative(one: Relative, names: Names) -> str:
    text = f"{one.key.pid} {escape(one.comm)}"
    if one.begins_container and one.container_id is not None:
        return f"{text}  [{escape(names.get(one.container_id, one.container_id[:12]))} begins here]"
    return text


def _render_one(one: Inspection, names: Names) -> Iterator[str]:
    lines = [(name, text) for name, text in _list_lines(one, names) if text]
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        yield f"{name.ljust(width)}  {escape(text)}\n"
    rows = [*_list_sockets(one, names), *_list_files(one)]
    if rows:
        yield "\n"
        yield from _lay_out([_FD_HEADERS, *rows])
    shown = sum(kind != "socket" for _, kind, _, _ in rows)
    if (more := len(one.fds or ()) + one.fds_left_out - sum(len(each.fds) for each in one.sockets) - shown) > 0:
        yield f"and {more} fds more (-o json)\n"


def _list_lines(one: Inspection, names: Names) -> Iterator[tuple[str, str]]:
    """What is known of it, by name; "" of what is not."""
    status, line, exe = one.status, one.command_line, one.exe
    yield "PID", f"{one.key.pid}{f' (thread {one.asked} was asked for)' if one.is_thread else ''}"
    yield "COMM", f"{one.comm}{' (kernel thread)' if one.kernel_thread else ''}"
    yield "STATE", STATES.get(one.state, one.state) + (" (its first thread has ended)" if one.leader_ended else "")
    yield "STARTED", f"{tell_time(one.started_seconds)} ({_tell_age(one.age_seconds)} ago, tick {one.key.start_ticks})"
    if line is not None:
        yield "ARGV", " ".join(map(_quote, line.argv)) + (" ... (cut)" if line.cut else "")
    if exe is not None:
        yield from _list_exe_lines(exe, line.argv[0] if line and line.argv else "")
    yield "CWD", one.cwd or ""
    yield "ROOT", one.root or ""
    yield "PARENTS", " < ".join(_tell_relative(each, names) for each in one.parents)
    yield "BEGUN BY", " < ".join(map(_tell_forebear, one.forebears or ())) if _has_lost(one) else ""
    yield "SAME EXE", "as its parent" if one.same_exe_as_parent else ""
    yield "CHILDREN", ", ".join(f"{each.key.pid} {each.comm}" for each in one.children)
    if status is not None:
        yield "THREADS", str(status.threads or "")
        yield "PIDS", " > ".join(map(str, status.pids)) if len(status.pids) > 1 else ""
        yield "TRACER", str(status.tracer or "")
        yield "UID", " ".join(map(str, status.uids))
        yield "GID", " ".join(map(str, status.gids))
        yield "GROUPS", " ".join(map(str, status.groups))
        yield "CAPABILITIES", _tell_capabilities(status.capabilities.effective, status.capabilities.bounding)
        yield "CONFINED", ", ".join(_list_confinement(one))
    yield from _list_place_lines(one)
    yield from _list_use_lines(one)
    for gap in one.gaps:
        yield "NOT READ", f"{tell_subjects(gap)} ({tell_reason(gap)})"


def _list_exe_lines(exe: Image, argv0: str) -> Iterator[tuple[str, str]]:
    became = "" if exe.state in (None, ImageState.PRESENT) else f" ({exe.state})"
    yield "EXE", f"{exe.path or exe.target}{became}"
    yield "ARGV[0]", f"{argv0} is {exe.path or exe.target}" if argv0 == "/proc/self/exe" else ""
    yield "EXE ON HOST", exe.host_path if exe.host_path and exe.host_path != exe.path else ""
    for each in exe.checksums:
        yield each.algorithm.upper(), each.hex


def _list_place_lines(one: Inspection) -> Iterator[tuple[str, str]]:
    if one.container is not None:
        yield "CONTAINER", f"{one.container.name or ''} {one.container.id[:12]}".strip()
    if one.pod is not None:
        yield "POD", "/".join(filter(None, (one.pod.kube_namespace, one.pod.name or one.pod.uid)))
    yield "UNIT", one.unit or ""
    yield "CGROUP", " ".join(one.cgroup or ())
    namespaces = one.namespaces or ()
    differing = [f"{each.kind}:[{each.inode}]" for each in namespaces if each.is_host is False]
    unknown = not namespaces or any(each.is_host is None for each in namespaces)
    yield "NAMESPACES", " ".join(differing) or ("" if unknown else "all of the host")


def _list_use_lines(one: Inspection) -> Iterator[tuple[str, str]]:
    if one.memory is not None:
        pss = "" if one.rollup is None else f", PSS {tell_size(one.rollup.pss_bytes)}"
        swap = f", swap {tell_size(one.memory.swap_bytes)}" if one.memory.swap_bytes else ""
        yield "MEMORY", f"resident {tell_size(one.memory.resident_bytes)}{pss}{swap}"
    if one.maps is not None:
        more = " or more" if one.maps.cut else ""
        deleted = f", {len(one.maps.deleted_files)} deleted" if one.maps.deleted_files else ""
        yield "MAPS", f"{one.maps.mappings}{more} of {len(one.maps.files)} files{deleted}"
    if (image := one.memory_image) is not None:
        cut = ", cut" if image.cut else ""
        yield "IN MEMORY", f"{image.path}: {tell_size(image.size_bytes)} of {image.mappings} mappings{cut}"
        for each in image.checksums:
            yield each.algorithm.upper(), each.hex
    if one.io is not None:
        yield "IO", f"read {tell_size(one.io.read_characters)}, written {tell_size(one.io.written_characters)}"
    files = next((each for each in one.limits or () if each.name == "open files"), None)
    if files is not None and one.fds is not None:
        fds = len(one.fds) + one.fds_unread + one.fds_left_out
        yield "OPEN FILES", f"{fds} of {'unlimited' if files.soft is None else files.soft}"
    if one.oom_score is not None:
        yield "OOM SCORE", f"{one.oom_score} (adjusted by {one.oom_score_adj})"
    yield "WAITS IN", one.wchan or ""
    yield "STACK", " < ".join(one.stack or ())
    for variable in one.environ or ():
        yield "ENVIRON", variable


def _tell_capabilities(effective: Sequence[str], bounding: Sequence[str]) -> str:
    if not effective:
        return "none"
    if len(effective) >= _FEWEST_OF_ALL and set(effective) == set(bounding):
        return "all that there are"
    return " ".join(effective)


def _list_confinement(one: Inspection) -> Iterator[str]:
    status = one.status
    if status and status.seccomp and status.seccomp != "off":
        yield f"seccomp {status.seccomp}"
    if status and status.no_new_privs:
        yield "no new privileges"


def _list_sockets(one: Inspection, names: Names) -> Iterator[tuple[str, str, str, str]]:
    for socket in one.sockets:
        fds = ",".join(map(str, socket.fds[:3])) + (f" +{len(socket.fds) - 3}" if len(socket.fds) > 3 else "")
        name = name_fd_socket(socket) or "socket"
        what = f"{name} [{socket.inode}]" if socket.owned is None else _tell_row(name, socket.owned)
        yield fds, "socket", what, _tell_peer(socket.peer, names)
        for other in socket.others:
            yield fds, "socket", _tell_row(name, other.owned), _tell_peer(other.peer, names)


def _tell_row(name: str, owned: OwnedSocket) -> str:
    row = owned.row
    ends = _tell_end(row.local) + (f" -> {_tell_end(row.remote)}" if has_remote(row) else "")
    return f"{name} {row.state} {ends} netns {tell_netns(owned.netns)}"


def _tell_end(end: Endpoint) -> str:
    return f"[{end.address}]:{end.port}" if ":" in end.address else f"{end.address}:{end.port}"


def _tell_peer(peer: Peer | None, names: Names) -> str:
    if peer is None:
        return ABSENT
    pids = [f"pid {pid}" for pid in peer.holders[:3]]
    container = names.get(peer.container_id, peer.container_id[:12]) if peer.container_id else ""
    pod = "/".join(filter(None, (peer.pod.kube_namespace, peer.pod.name))) if peer.pod else ""
    inferred = "(inferred)" if peer.confidence is Confidence.INFERRED else ""
    return " ".join(filter(None, (*pids, container, pod, inferred))) or ABSENT


def _list_files(one: Inspection) -> Iterator[tuple[str, str, str, str]]:
    held = {fd for socket in one.sockets for fd in socket.fds}
    files = [each for each in one.fds or () if each.fd not in held]
    for each in files[:MOST_FILES]:
        yield str(each.fd), str(each.kind), f"{each.target}{_tell_file(each)}", ABSENT


def _tell_file(one: OpenFd) -> str:
    if one.size_bytes is None or one.modified_ns is None:
        return ""
    return f" ({tell_size(one.size_bytes)}, {tell_time(one.modified_ns / 1e9)})"


def _lay_out(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    cells = [tuple(map(escape, row)) for row in rows]
    widths = [max(map(display_width, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(map(pad, row, widths)).rstrip() + "\n"


def _quote(argument: str) -> str:
    """An argument with its boundaries: one that is empty or has spaces or quotes stands in quotes."""
    plain = argument and not any(each in argument for each in " \t\n'\"")
    return argument if plain else "'" + argument.replace("'", "'\\''") + "'"


def tell_size(size: int | None) -> str:
    """A number of bytes as people read it, as in `1.5 MiB`."""
    if size is None:
        return ABSENT
    amount, unit = float(size), ""
    for each in _UNITS:
        if amount < 1024:
            break
        amount, unit = amount / 1024, each
    return f"{amount:.1f} {unit}" if unit else f"{size} bytes"


def _tell_age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
