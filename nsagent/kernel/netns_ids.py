"""The ids that a netns has for others: by one of them its messages tell which netns they are about.

A netns gets an id where another one is connected to it, as by a veth, or where somebody asks for it. It keeps none
from going: when it is gone, its id may be given out again.

Source: rtnetlink(7), ip-netns(8), include/uapi/linux/net_namespace.h, net/core/net_namespace.c rtnl_net_newid(),
rtnl_net_getid(), unhash_nsid().
"""

import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, EEXIST, ENOBUFS
from functools import partial
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.files import translate_failure
from nsagent.kernel.formats.netlink import HEADER_BYTES, NLM_F_ACK, NLM_F_REQUEST, decode_status, find_status
from nsagent.kernel.formats.route_link import (
    RTM_GETNSID,
    RTM_NEWNSID,
    RTNLGRP_NSID,
    decode_nsid,
    decode_nsid_notice,
    encode_new_nsid,
    encode_nsid,
)
from nsagent.kernel.netlink import Received, SocketDialogue, make_failure, open_listener, receive_from

_SUBJECT: Final = "netns ids"
_RECEIVE_BYTES: Final = 1 << 20
_DATAGRAM_BYTES: Final = 8192
_MOST_NOTICES: Final = 4096


class NetnsIds(SocketDialogue):
    """Those of the netns that the calling thread is in when this is made; a context manager. Raises NotRead."""

    def __init__(self, subject: str = _SUBJECT) -> None:
        super().__init__(socket.NETLINK_ROUTE, subject)

    def read_nsid(self, netns_fd: int, buffer: bytearray) -> int | None:
        """The id that this netns has for another one, None if it has none; raises NotRead and FormatError."""
        self._send(RTM_GETNSID, NLM_F_REQUEST, encode_nsid(netns_fd))
        view = self._receive(buffer)
        return None if find_status(view).end else decode_nsid(bytes(view[HEADER_BYTES:]), sys.byteorder)

    def give_nsid(self, netns_fd: int, buffer: bytearray) -> int | None:
        """The same, given first if there is none: that needs CAP_NET_ADMIN. Takes 10 us where there is one."""
        nsid = self.read_nsid(netns_fd, buffer)
        if nsid is not None:
            return nsid
        self._send(RTM_NEWNSID, NLM_F_REQUEST | NLM_F_ACK, encode_new_nsid(netns_fd))
        view = self._receive(buffer)
        end = find_status(view).end
        status = decode_status(view, end) if end else 0
        if status not in (0, EEXIST):  # Somebody else has given it one meanwhile.
            raise make_failure(status, self._subject)
        return self.read_nsid(netns_fd, buffer)


class IdNotices(NamedTuple):
    """What has happened to ids, in the order of it."""

    ids: tuple[tuple[int, bool], ...]
    """Each with whether it was given out; else the netns is gone, and its id free."""
    lost: bool
    """Whether some did not arrive: then any id may be another netns's."""


class IdNoticeQueue:
    """Takes notices from any `receive`, as kernel.proc_events.EventQueue does."""

    def __init__(self, receive: Callable[[bytearray], Received]) -> None:
        self._receive = receive
        self._buffer = bytearray(_DATAGRAM_BYTES)

    def read(self) -> IdNotices:
        """What waits; never waits itself. Raises NotRead."""
        ids: list[tuple[int, bool]] = []
        lost = False
        for _ in range(_MOST_NOTICES):
            try:
                length, flags, sender = self._receive(self._buffer)
                if sender:
                    continue
                if flags & socket.MSG_TRUNC:
                    raise FormatError("a datagram that fits", bytes(self._buffer[:64]))
                notice = decode_nsid_notice(bytes(self._buffer[:length]), sys.byteorder)
            except FormatError:
                lost = True
                continue
            except OSError as err:
                if err.errno == EAGAIN:
                    return IdNotices(tuple(ids), lost)
                if err.errno != ENOBUFS:
                    raise translate_failure(err, _SUBJECT) from err
                lost = True
                continue
            if notice is not None:
                ids.append(notice)
        return IdNotices(tuple(ids), True)


class IdNoticeGroup(IdNoticeQueue):
    """Those of the netns that the calling thread is in when this is made. Raises NotRead."""

    def __init__(self) -> None:
        try:
            self._socket = open_listener(socket.NETLINK_ROUTE, _RECEIVE_BYTES)
        except OSError as err:
            raise translate_failure(err, _SUBJECT) from err
        super().__init__(partial(receive_from, self._socket))
        try:
            self._socket.bind((0, 1 << RTNLGRP_NSID - 1))
        except OSError as err:
            self.close()
            raise translate_failure(err, _SUBJECT) from err

    def fileno(self) -> int:
        """The fd that can be read from when notices wait."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hear no more."""
        with suppress(OSError):
            self._socket.close()
