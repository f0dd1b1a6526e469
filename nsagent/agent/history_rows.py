"""Changes as rows of the history's tables, and back; the schema, as docs/changes.md tells it. Pure."""

import json
from typing import Any, Final

from nsagent.model.change import Change, ChangedSocket, ChangeKind, Holders
from nsagent.model.container import Pod
from nsagent.model.ids import ContainerId, Pid, PodUid, SocketCookie, SocketInode
from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.report.json_text import dump, without_surrogates

APPLICATION_ID: Final = 0x6E736167
""" `nsag`, in the header of the file (PRAGMA application_id)."""

VERSION: Final = 3
"""Of the schema (PRAGMA user_version)."""

FIRST_VERSION: Final = 1
"""The oldest that can be read; its tables lack the last columns, which UPGRADES add."""

_COLUMNS: Final = (
    ("kind", "TEXT NOT NULL"),
    ("netns", "INTEGER"),
    ("netns_name", "TEXT"),
    ("protocol", "TEXT"),
    ("state", "TEXT"),
    ("local_address", "TEXT"),
    ("local_port", "INTEGER"),
    ("local_raw_address", "TEXT"),
    ("remote_address", "TEXT"),
    ("remote_port", "INTEGER"),
    ("remote_raw_address", "TEXT"),
    ("inode", "INTEGER"),
    ("cookie", "INTEGER"),
    ("uid", "INTEGER"),
    ("holders", "TEXT"),
    ("interface", "TEXT"),
    ("v6only", "INTEGER"),
    ("container_id", "TEXT"),
    ("container_name", "TEXT"),
    ("image", "TEXT"),
    ("pod_uid", "TEXT"),
    ("pod_name", "TEXT"),
    ("pod_namespace", "TEXT"),
    ("before", "TEXT"),
    ("unit", "TEXT"),
    ("state_before", "TEXT"),
)

CHANGE_COLUMNS: Final = tuple(name for name, _ in _COLUMNS)
"""Of the tables changes and baseline, after `run` and `number`."""

_TABLE: Final = (
    "CREATE TABLE {} (run INTEGER NOT NULL, number INTEGER NOT NULL, "
    + ", ".join(f"{name} {kind}" for name, kind in _COLUMNS)
    + ", PRIMARY KEY (run, number)) WITHOUT ROWID"
)

SCHEMA: Final = (
    (
        "CREATE TABLE runs (id INTEGER PRIMARY KEY, at TEXT NOT NULL, host TEXT NOT NULL, boot_id TEXT, "
        "complete INTEGER NOT NULL, sockets INTEGER NOT NULL, changes INTEGER NOT NULL, baseline INTEGER, "
        "due_seconds REAL)"
    ),
    _TABLE.format("changes"),
    _TABLE.format("baseline"),
)

UPGRADES: Final = {
    1: tuple(f"ALTER TABLE {table} ADD COLUMN state_before TEXT" for table in ("changes", "baseline")),
    2: ("ALTER TABLE runs ADD COLUMN due_seconds REAL",),
}
"""What makes a file of a version one of the next."""

KNOWS_DUE: Final = 3
"""From this version on runs tell when the next one was due."""

_MARKS: Final = ", ".join("?" * (len(_COLUMNS) + 2))
INSERT_CHANGE: Final = f"INSERT INTO changes VALUES ({_MARKS})"  # noqa: S608 - nothing but marks.
INSERT_BASELINE: Final = f"INSERT INTO baseline VALUES ({_MARKS})"  # noqa: S608 - nothing but marks.

_UNSIGNED: Final = 1 << 64
_SIGNED: Final = 1 << 63


def encode_change(change: Change) -> tuple[Any, ...]:
    """The values of CHANGE_COLUMNS; text keeps its value, but bytes that are not UTF-8 become `\\xNN`."""
    socket, pod = change.socket, change.pod
    row: dict[str, Any] = {
        "kind": change.kind.value,
        "container_id": change.container_id,
        "container_name": change.container_name,
        "image": change.image,
        "before": _encode_holders(change.before),
        "unit": change.unit,
        "state_before": change.state_before,
    }
    if pod is not None:
        row |= {"pod_uid": pod.uid, "pod_name": pod.name, "pod_namespace": pod.kube_namespace}
    if socket is not None:
        row |= {
            "netns": _to_signed(socket.netns),
            "netns_name": socket.netns_name,
            "protocol": socket.protocol.value,
            "state": socket.state.value,
            "local_address": socket.local.address,
            "local_port": socket.local.port,
            "local_raw_address": socket.local.raw_address,
            "remote_address": socket.remote.address,
            "remote_port": socket.remote.port,
            "remote_raw_address": socket.remote.raw_address,
            "inode": _to_signed(socket.inode),
            "cookie": _to_signed(socket.cookie),
            "uid": _to_signed(socket.uid),
            "holders": _encode_holders(socket.holders),
            "interface": socket.interface,
            "v6only": socket.v6only,
        }
    values = (row.get(name) for name in CHANGE_COLUMNS)
    return tuple(without_surrogates(value) if isinstance(value, str) else value for value in values)


def decode_change(at: str, values: tuple[Any, ...]) -> Change:
    """The change of a row of CHANGE_COLUMNS in a run at this time; in a file of the first version one is missing.

    Raises ValueError, TypeError and KeyError for a row that encode_change has not made.
    """
    row = dict(zip(CHANGE_COLUMNS[: len(values)], values, strict=True))
    state_before = row.get("state_before")
    socket = None
    if row["protocol"] is not None:
        socket = ChangedSocket(
            netns=row["netns"],
            netns_name=row["netns_name"],
            protocol=Protocol(row["protocol"]),
            state=SocketState(row["state"]),
            local=Endpoint(row["local_address"], row["local_port"], row["local_raw_address"]),
            remote=Endpoint(row["remote_address"], row["remote_port"], row["remote_raw_address"]),
            inode=SocketInode(row["inode"] % _UNSIGNED),
            cookie=None if row["cookie"] is None else SocketCookie(row["cookie"] % _UNSIGNED),
            uid=row["uid"],
            holders=_decode_holders(row["holders"]),
            interface=row["interface"],
            v6only=None if row["v6only"] is None else bool(row["v6only"]),
        )
    pod = (row["pod_uid"], row["pod_name"], row["pod_namespace"])
    return Change(
        at=at,
        kind=ChangeKind(row["kind"]),
        socket=socket,
        container_id=None if row["container_id"] is None else ContainerId(row["container_id"]),
        container_name=row["container_name"],
        image=row["image"],
        pod=None if pod == (None, None, None) else Pod(None if pod[0] is None else PodUid(pod[0]), pod[1], pod[2]),
        before=_decode_holders(row["before"]),
        unit=row["unit"],
        state_before=None if state_before is None else SocketState(state_before),
    )


def _to_signed(number: int | None) -> int | None:
    """SQLite's integers have a sign: the upper half of a cookie's 64 bits is negative there."""
    return number if number is None or number < _SIGNED else number - _UNSIGNED


def _encode_holders(holders: Holders) -> str | None:
    return dump(holders) if holders else None


def _decode_holders(text: str | None) -> Holders:
    return tuple((Pid(pid), start_ticks, comm) for pid, start_ticks, comm in json.loads(text)) if text else ()
