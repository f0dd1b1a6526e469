"""Looking into netns again whose tables were read: what has closed, what is new, what an interface is called.

Source: sock_diag(7); a netns whose socket is closed by now is opened anew, and known by its cookie.
"""

import os
import sys
import threading
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

from nsagent.errors import AccessDenied, DumpInterrupted, DumpUnavailable, FormatError, ProcessGone, ReadFailed
from nsagent.kernel.formats.raw_table import find_net_file, index_rows
from nsagent.kernel.formats.row_place import RowPlace
from nsagent.kernel.netns import Entering
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.sock_diag import SockDiag, make_buffer
from nsagent.kernel.threads import run_in_threads
from nsagent.model.choices import EngineName
from nsagent.model.facts import Gap, RawTable
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol
from nsagent.scan.collect.netns_tables import NetnsTables, Unheld, is_in
from nsagent.scan.collect.read_tables import make_gap, read_text


class SecondLook:
    """Looks again, netns by netns; `gaps` says where that failed."""

    def __init__(self, procfs: ProcFs, stop: threading.Event) -> None:
        self._procfs = procfs
        self._stop = stop
        self.gaps: list[Gap] = []

    def list_young(
        self, netns: Iterable[NetnsTables], inodes: Container[int | None], protocols: Collection[Protocol]
    ) -> set[int]:
        """The sockets that the netns with these inodes show now, those too that are bound and do nothing.

        None of a netns that cannot be entered.
        """
        found: set[int] = set()
        chosen = [one for one in netns if one.engine is EngineName.SOCK_DIAG and one.met.inode in inodes]
        if chosen:
            run_in_threads([partial(self._dump_again, chosen, protocols, found)], self._stop)
        return found

    def _dump_again(self, netns: Iterable[NetnsTables], protocols: Collection[Protocol], found: set[int]) -> None:
        """Dump netns whose socket may be closed; moves the calling thread (kernel.netns)."""
        entering, buffer = Entering(self._procfs.root), make_buffer()
        for one in netns:
            try:
                with nullcontext(one.diag) if one.diag else _visit(one, entering) as diag:
                    for protocol in protocols:
                        with suppress(DumpUnavailable):
                            found |= index_rows(diag.dump(protocol, buffer, deep=True).table, sys.byteorder).inodes
            except (ProcessGone, AccessDenied, ReadFailed, DumpInterrupted, FormatError):
                continue  # Its sockets are asked themselves.

    def drop_closed(self, unheld: Sequence[Unheld]) -> None:
        """Look these rows up again and note which have closed since, and which cannot be looked up."""
        buffer = make_buffer()
        inside = []
        for one, table, places in unheld:
            if self._stop.is_set():
                return
            if one.engine is EngineName.PROC:
                one.settle(places, self._find_closed_in_proc(one, table, places))
            elif one.diag is not None and find_net_file(table) is None:
                one.settle(places, self._find_closed(one.diag, one, table, places, buffer))
            elif places:
                inside.append(Unheld(one, table, places))
        if inside:
            run_in_threads([partial(self._look_inside, inside, buffer)], self._stop)

    def _find_closed(
        self, diag: SockDiag, one: NetnsTables, table: RawTable, places: Sequence[RowPlace], buffer: bytearray
    ) -> frozenset[SocketInode] | None:
        try:
            return diag.find_closed(table, places, buffer)
        except (DumpInterrupted, DumpUnavailable, ReadFailed, FormatError) as err:
            self.gaps.append(make_gap(table.protocol, one.met.subject, err))
            return None

    def _look_inside(self, unheld: Sequence[Unheld], buffer: bytearray) -> None:
        """Look rows up again that netlink has no table of, or in netns that were let go; moves the calling thread."""
        entering = Entering(self._procfs.root)
        for one, table, places in unheld:
            try:
                with _visit(one, entering) as diag:
                    if find_net_file(table) is None:
                        one.settle(places, self._find_closed(diag, one, table, places, buffer))
                    else:
                        one.settle(places, _find_absent(table, places, entering.read_net))
            except ProcessGone:
                one.settle(places, None)
            except (AccessDenied, ReadFailed) as err:
                one.settle(places, None)
                self.gaps.append(make_gap(table.protocol, one.met.subject, err))

    def _find_closed_in_proc(
        self, one: NetnsTables, table: RawTable, places: Sequence[RowPlace]
    ) -> frozenset[SocketInode] | None:
        """Which of these rows a process in that netns does not show any more; None where nobody is left in it."""
        for pid in sorted(one.met.members):
            try:
                with self._procfs.open_process(pid) as process:
                    if is_in(process, one.met):
                        return _find_absent(table, places, process.read_net)
            except (ProcessGone, AccessDenied, ReadFailed):
                continue
        return None

    def name_interfaces(self, netns: Iterable[NetnsTables]) -> None:
        """Read the names of the interfaces that rows are bound to."""
        unnamed = [one for one in netns if one.interface_indexes and one.engine is EngineName.SOCK_DIAG]
        if unnamed:
            run_in_threads([partial(self._name_interfaces, unnamed)], self._stop)

    def _name_interfaces(self, netns: Iterable[NetnsTables]) -> None:
        """Name those of these netns; moves the calling thread (kernel.netns)."""
        entering = Entering(self._procfs.root)
        for one in netns:
            try:
                with nullcontext(one.diag) if one.diag else _visit(one, entering) as diag:
                    names = ((index, diag.read_interface_name(index)) for index in sorted(one.interface_indexes))
                    one.interface_names = tuple((index, name) for index, name in names if name is not None)
            except (ProcessGone, AccessDenied, ReadFailed):
                continue  # They keep their numbers.


@contextmanager
def _visit(one: NetnsTables, entering: Entering) -> Iterator[SockDiag]:
    """A sock_diag socket in a netns whose own may be closed; moves the calling thread there.

    Raises ProcessGone if it cannot be reached any more, or is another one by now.
    """
    fd = one.met.open_again()
    try:
        entering.enter(fd)
    finally:
        os.close(fd)
    with SockDiag() as diag:
        if diag.read_netns_cookie() != one.cookie:
            raise ProcessGone(one.met.subject)
        yield diag


def _find_absent(
    table: RawTable, places: Sequence[RowPlace], read_net: Callable[[str], bytes | None]
) -> frozenset[SocketInode] | None:
    """Which of these rows the text table has no more; None for what is no text table."""
    file = find_net_file(table)
    if file is None:
        return None
    text = table._replace(data=read_text(file.name, read_net) or b"")
    return frozenset(place.inode for place in places) - index_rows(text, sys.byteorder).inodes
