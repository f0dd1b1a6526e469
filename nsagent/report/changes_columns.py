"""The columns of changes: what `--columns` and `--sort-by` name, and tables and CSV of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from nsagent.model.change import Change, ChangedSocket, ChangesHead, Holders, make_row
from nsagent.model.choices import OutputFormat
from nsagent.model.ids import tell_netns
from nsagent.model.net import is_unconnected
from nsagent.report.addresses import endpoint_key, local_text, remote_text
from nsagent.report.columns import UNCONNECTED
from nsagent.report.context import Context, empty_context, pod_text, short_id, short_image
from nsagent.report.layout import Column, number_column, sort_rows, text_column
from nsagent.report.options import OutputOptions
from nsagent.report.row_list import UsualColumns, lay_out_rows
from nsagent.report.summary import Summary
from nsagent.report.times import brief_time

_NAMED: Final = 3
_FOR_TERMINALS: Final = (OutputFormat.TABLE, OutputFormat.WIDE)


def lay_out_changes(
    changes: Iterable[Change], options: OutputOptions, head: ChangesHead, *, timed: bool
) -> Iterator[str]:
    """The changes in a format that has columns; a table of `timed` ones tells when each was."""
    usual = UsualColumns(CHANGES_TIMED if timed and options.format in _FOR_TERMINALS else CHANGES_DEFAULT, CHANGES_WIDE)
    return lay_out_rows(changes, CHANGE_COLUMNS, usual, options, lambda rows: _summarize(rows, head))


def _summarize(changes: Sequence[Change], head: ChangesHead) -> Summary:
    seen = "Nothing is told of the time before." if head.since is None else f"Since {head.since}."
    counts = ((len(changes), "change" if len(changes) == 1 else "changes"),)
    return Summary("Changes", head.host or "", head.until or "", counts, seen)


def sort_changes(changes: Sequence[Change], column_names: Sequence[str]) -> tuple[Change, ...]:
    """The changes in the order of these columns; see columns.sort_sockets."""
    return sort_rows(changes, CHANGE_COLUMNS, column_names, empty_context())


def _of_socket(value: Callable[[ChangedSocket], Any], absent: Any = "") -> Callable[[Change, Context], Any]:
    """What `value` gives of the socket of a change, `absent` without one."""
    return lambda change, _: absent if change.socket is None else value(change.socket)


def _netns(socket: ChangedSocket) -> str:
    return socket.netns_name or (tell_netns(socket.netns) if socket.netns else "")


def _state(socket: ChangedSocket) -> str:
    return UNCONNECTED if is_unconnected(make_row(socket)) else socket.state


def _state_before(change: Change) -> str:
    if change.socket is None or change.state_before is None:
        return ""
    return _state(change.socket._replace(state=change.state_before))


def _local(socket: ChangedSocket) -> str:
    return local_text(make_row(socket), socket.interface)


def _remote(socket: ChangedSocket) -> str:
    return remote_text(make_row(socket))


def _local_key(socket: ChangedSocket) -> tuple[int, bytes, int]:
    return endpoint_key(make_row(socket).family, socket.local)


def _remote_key(socket: ChangedSocket) -> tuple[int, bytes, int]:
    return endpoint_key(make_row(socket).family, socket.remote)


def join_brief(texts: Sequence[str]) -> str:
    """Three of them, and how many more there are."""
    rest = len(texts) - _NAMED
    return ",".join(texts) if rest <= 0 else f"{','.join(texts[:_NAMED])} +{rest}"


def join_least(texts: Sequence[str]) -> str:
    """The first one, and how many more there are."""
    return f"{texts[0]} +{len(texts) - 1}" if len(texts) > 1 else ",".join(texts)


def _pids(holders: Holders) -> list[str]:
    return [str(pid) for pid, _, _ in holders]


def _comms(holders: Holders) -> list[str]:
    return [comm for _, _, comm in holders]


def _before(change: Change) -> list[str]:
    return [f"{pid}/{comm}" for pid, _, comm in change.before]


def _container(change: Change, context: Context) -> str:
    return change.container_name or (short_id(change.container_id) if change.container_id is not None else "")


CHANGE_COLUMNS: Final[tuple[Column[Change], ...]] = (
    text_column("time", lambda change, _: change.at, least=lambda change, _: brief_time(change.at)),
    text_column("change", lambda change, _: change.kind),
    text_column("netns", _of_socket(_netns), free_text=True, spare=6),
    text_column("proto", _of_socket(lambda socket: socket.protocol), spare=5),
    text_column("state", _of_socket(_state), spare=2),
    text_column("local", _of_socket(_local), sort_key=_of_socket(_local_key, None)),
    text_column("remote", _of_socket(_remote), sort_key=_of_socket(_remote_key, None)),
    text_column(
        "pid",
        _of_socket(lambda socket: ",".join(_pids(socket.holders))),
        sort_key=_of_socket(lambda socket: [pid for pid, _, _ in socket.holders] or None, None),
        brief=_of_socket(lambda socket: join_brief(_pids(socket.holders))),
        spare=1,
        least=_of_socket(lambda socket: join_least(_pids(socket.holders))),
    ),
    text_column(
        "command",
        _of_socket(lambda socket: ",".join(_comms(socket.holders))),
        free_text=True,
        brief=_of_socket(lambda socket: join_brief(_comms(socket.holders))),
        spare=4,
        least=_of_socket(lambda socket: join_least(_comms(socket.holders))),
    ),
    text_column("container", _container, free_text=True),
    text_column("pod", lambda change, _: pod_text(change.pod), free_text=True, spare=3),
    text_column("unit", lambda change, _: change.unit or "", free_text=True),
    text_column(
        "before",
        lambda change, _: ",".join(_before(change)),
        free_text=True,
        brief=lambda change, _: join_brief(_before(change)),
    ),
    text_column("state_before", lambda change, _: _state_before(change)),
    number_column("uid", _of_socket(lambda socket: socket.uid, None)),
    number_column("inode", _of_socket(lambda socket: socket.inode or None, None)),
    number_column("cookie", _of_socket(lambda socket: socket.cookie, None)),
    text_column(
        "image", lambda change, _: change.image or "", free_text=True, brief=lambda change, _: short_image(change.image)
    ),
    text_column("container_id", lambda change, _: change.container_id or "", free_text=True),
)
"""Every column of a change."""

CHANGES_DEFAULT: Final = (
    "change", "netns", "proto", "state", "local", "remote", "pid", "command", "container", "pod",
)  # fmt: skip
"""What `-o table` shows."""

CHANGES_TIMED: Final = ("time", *CHANGES_DEFAULT)
"""What it shows of changes of several times."""

CHANGES_WIDE: Final = (
    *CHANGES_TIMED, "unit", "before", "state_before", "uid", "inode", "cookie", "image", "container_id",
)  # fmt: skip
"""What `-o wide` and `-o csv` show."""
