"""What `nsagent inspect` prints as JSON and YAML: a document of its own schema, with an object for each process.

The keys stand in their published order. What there is not, or could not be read, is null; `gaps` tell which and why.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from nsagent.model.forebear import Forebear
from nsagent.model.inspection import InspectedSocket, Inspection, Peer, Relative
from nsagent.model.process_details import Image, Limit, MemoryImage, Namespace, OpenFd, Status, Thread
from nsagent.model.snapshot import OwnedSocket
from nsagent.report.gaps import gap_record
from nsagent.report.json_text import dump, quote
from nsagent.report.records import Record, container_record, pod_record
from nsagent.report.socket_rows import SocketRows
from nsagent.report.times import tell_time

SCHEMA: Final = "nsagent/inspect/v1"

STATES: Final = {
    "R": "running",
    "S": "sleeping",
    "D": "uninterruptible",
    "T": "stopped",
    "t": "traced",
    "Z": "zombie",
    "X": "dead",
    "I": "idle",
    "P": "parked",
}
"""The kernel's letters in words (fs/proc/array.c task_state_array)."""


def render_inspections_json(inspections: Sequence[Inspection], *, host: str) -> Iterator[str]:
    """The document, one process a line, all of it ASCII and with a line end at its end."""
    yield f'{{"schema": {quote(SCHEMA)}, "host": {quote(host)},\n"processes": [\n'
    yield ",\n".join(dump(inspection_record(each)) for each in inspections)
    yield "\n]}\n"


def render_inspections_yaml(inspections: Sequence[Inspection], *, host: str) -> Iterator[str]:
    """The same document as YAML."""
    from nsagent.report.yaml import render_document

    records = (dump(inspection_record(each)) for each in inspections)
    return render_document(dump({"schema": SCHEMA, "host": host}), "processes", records)


def inspection_record(one: Inspection) -> Record:
    """One process as a plain dict."""
    line = one.command_line
    return {
        "pid": one.key.pid,
        "asked": one.asked,
        "start_ticks": one.key.start_ticks,
        "started_at": tell_time(one.started_seconds),
        "age_seconds": round(one.age_seconds, 3),
        "comm": one.comm,
        "state": STATES.get(one.state, one.state),
        "leader_ended": one.leader_ended,
        "kernel_thread": one.kernel_thread,
        "argv": line and line.argv,
        "argv_cut": bool(line and line.cut),
        "exe": one.exe and _image_record(one.exe),
        "cwd": one.cwd,
        "root": one.root,
        **_status_record(one.status),
        "container": one.container and container_record(one.container, None),
        "pod": one.pod and pod_record(one.pod),
        "unit": one.unit,
        "cgroup": one.cgroup,
        "namespaces": None if one.namespaces is None else dict(map(_namespace_item, one.namespaces)),
        "parents": [_relative_record(each) for each in one.parents],
        "same_exe_as_parent": one.same_exe_as_parent,
        "children": [_relative_record(each) for each in one.children],
        "forebears": None if one.forebears is None else [*map(forebear_record, one.forebears)],
        "thread_list": None if one.threads is None else [*map(_thread_record, one.threads)],
        "fds": None if one.fds is None else list(_fd_records(one.fds, one.sockets)),
        "fds_left_out": one.fds_left_out,
        "fds_unread": one.fds_unread,
        "io": one.io and one.io._asdict(),
        "memory": _memory_record(one),
        "maps": one.maps and one.maps._asdict(),
        "memory_image": one.memory_image and _memory_image_record(one.memory_image),
        "limits": None if one.limits is None else dict(map(_limit_item, one.limits)),
        "oom": {"score": one.oom_score, "score_adj": one.oom_score_adj},
        "wchan": one.wchan,
        "stack": one.stack,
        "environ": one.environ,
        "environ_cut": one.environ_cut,
        "gaps": [gap_record(each) for each in one.gaps],
    }


def _namespace_item(one: Namespace) -> tuple[str, Record]:
    return one.kind, {"inode": one.inode, "differs": None if one.is_host is None else not one.is_host}


def _thread_record(one: Thread) -> Record:
    return {"tid": one.tid, "comm": one.comm, "state": STATES.get(one.state, one.state)}


def _limit_item(one: Limit) -> tuple[str, Record]:
    return one.name.replace(" ", "_"), {"soft": one.soft, "hard": one.hard, "unit": one.unit or None}


def name_fd_socket(socket: InspectedSocket) -> str:
    """What to call the protocol of a socket: as its row does, else as the kernel's list of protocols."""
    return str(socket.owned.row.protocol) if socket.owned else socket.protocol.lower()


def _status_record(status: Status | None) -> Record:
    if status is None:
        names = ("ppid", "ns_pids", "tracer", "uids", "gids", "groups", "umask", "capabilities", "no_new_privs")
        return dict.fromkeys((*names, "seccomp", "seccomp_filters", "threads", "context_switches"))
    kinds = ("real", "effective", "saved", "file_system")
    return {
        "ppid": status.parent,
        "ns_pids": status.pids,
        "tracer": status.tracer or None,
        "uids": dict(zip(kinds, status.uids, strict=True)),
        "gids": dict(zip(kinds, status.gids, strict=True)),
        "groups": status.groups,
        "umask": None if status.umask is None else f"{status.umask:04o}",
        "capabilities": status.capabilities._asdict(),
        "no_new_privs": status.no_new_privs,
        "seccomp": status.seccomp,
        "seccomp_filters": status.seccomp_filters,
        "threads": status.threads,
        "context_switches": {"voluntary": status.voluntary_switches, "involuntary": status.involuntary_switches},
    }


def _image_record(image: Image) -> Record:
    file = image.file
    return {
        "target": image.target,
        "path": image.path,
        "host_path": image.host_path,
        "state": image.state,
        "device": file and file.device,
        "inode": file and file.inode,
        "links": file and file.links,
        "size_bytes": file and file.size_bytes,
        "modified_at": file and tell_time(file.modified_ns / 1e9),
        "checksums": {each.algorithm: each.hex for each in image.checksums},
    }


def _memory_image_record(image: MemoryImage) -> Record:
    return image._asdict() | {"checksums": {each.algorithm: each.hex for each in image.checksums}}


def _memory_record(one: Inspection) -> Record:
    return {
        "status": one.memory and one.memory._asdict(),
        "statm": one.statm and one.statm._asdict(),
        "rollup": one.rollup and one.rollup._asdict(),
    }


def _relative_record(one: Relative) -> Record:
    return {
        "pid": one.key.pid,
        "start_ticks": one.key.start_ticks,
        "comm": one.comm,
        "exe": one.exe,
        "container_id": one.container_id,
        "begins_container": one.begins_container,
    }


def forebear_record(one: Forebear) -> Record:
    """Whose child a process was when it began, as a plain dict."""
    return {
        "pid": one.pid,
        "start_ticks": one.start_ticks,
        "comm": one.comm,
        "container_id": one.container_id,
        "ended_at": None if one.ended_seconds is None else tell_time(one.ended_seconds),
        "status": None if one.status is None else one.status._asdict(),
    }


def _fd_records(fds: Iterable[OpenFd], sockets: Iterable[InspectedSocket]) -> Iterator[Record]:
    held = {fd: socket for socket in sockets for fd in socket.fds}
    rows = SocketRows()
    for each in fds:
        yield _fd_record(each, held.get(each.fd), rows)


def _fd_record(one: OpenFd, socket: InspectedSocket | None, rows: SocketRows) -> Record:
    record: Record = {"fd": one.fd, "target": one.target, "kind": one.kind}
    if one.size_bytes is not None and one.modified_ns is not None:
        record |= {"size_bytes": one.size_bytes, "modified_at": tell_time(one.modified_ns / 1e9)}
    if socket is not None:
        record |= {"protocol": name_fd_socket(socket) or None, **_row_record(socket.owned, socket.peer, rows)}
        if socket.others:
            record["others"] = [_row_record(*other, rows) for other in socket.others]
    return record


def _row_record(owned: OwnedSocket | None, peer: Peer | None, rows: SocketRows) -> Record:
    return {
        "socket": owned and json.loads("".join(*rows.chunks([owned]))),
        "peer": peer and _peer_record(peer),
    }


def _peer_record(peer: Peer) -> Record:
    return {
        "pids": peer.holders,
        "container_id": peer.container_id,
        "pod": peer.pod and pod_record(peer.pod),
        "confidence": peer.confidence,
    }
