"""Looking into netns again whose tables were read: what has closed, what is new, what an interface is called.

Source: sock_diag(7); a netns whose socket is closed by now is opened anew, and known by its cookie.
"""

import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

from nsagent.errors import DumpUnavailable, FormatError, Gone, NotRead, Reason
from nsagent.kernel.formats.raw_table import find_net_file, index_rows
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns import Entering
from nsagent.kernel.sock_diag import SockDiag
from nsagent.kernel.threads import run_in_threads
from nsagent.model.choices import EngineName
from nsagent.model.gap import Gap, Stage
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.netlink_tables import table_subject
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.state import NetnsState, Unheld
from nsagent.scan.collect.text_tables import ask_member, find_absent


def list_young(context: PassContext, inodes: Container[int | None]) -> set[int]:
    """The sockets that these netns, by their inodes, show now, in tables that were read and others.

    None of a netns that cannot be entered.
    """
    states = context.reader.list_states()
    chosen = [one for one in states if one.engine is EngineName.SOCK_DIAG and one.met.inode in inodes]
    if not chosen:
        return set()
    (found,) = run_in_threads([partial(_dump_again, context, chosen)], context.stop)
    return found


def _dump_again(context: PassContext, states: Iterable[NetnsState]) -> set[int]:
    """Dump netns whose socket may be closed; moves the calling thread (kernel.netns)."""
    entering, buffer = Entering(context.procfs.root), make_buffer()
    found: set[int] = set()
    for one in states:
        try:
            with nullcontext(one.diag) if one.diag else _visit(one, entering) as diag:
                for protocol in context.request.tables.protocols:
                    with suppress(DumpUnavailable):
                        found |= index_rows(diag.dump(protocol, buffer, deep=True).table, sys.byteorder).inodes
        except (Gone, NotRead, FormatError):
            continue  # Its sockets are asked themselves.
    return found


def dump_anew(context: PassContext, states: Sequence[NetnsState]) -> None:
    """Dump all tables of these netns, of which one was taken for what it was in an earlier pass."""
    if states:
        run_in_threads([partial(_dump_anew, context, states)], context.stop)


def _dump_anew(context: PassContext, states: Iterable[NetnsState]) -> None:
    """Moves the calling thread (kernel.netns)."""
    reader = context.reader
    dumper = reader.make_dumper()
    for state in states:
        context.keep_pace()
        try:
            if context.is_over():
                raise NotRead("its tables", Reason.LATE)
            with _visit(state, dumper.entering) as diag:
                state.sockstat = dumper.entering.read_sockstat()
                counters = dumper.read_counters(state.sockstat)
                reader.take(state, dumper.dump_tables(diag, counters, state.met), dumper)
        except Gone:
            state.lose_tables()
            context.gaps.add((Gap(Stage.NETNS, state.met.subject, Reason.GONE),))
        except NotRead as err:
            state.lose_tables()
            context.gaps.note(Stage.NETNS, state.met.subject, err)


def hold_others(context: PassContext) -> list[MetNetns]:
    """The netns that have the inode of one that was read, let go, and is no more; held from now on.

    The kernel gives an inode out again at once. What was met at it since is known by its cookie, from Linux 5.14 on.
    """
    states = [one for one in context.reader.list_states() if one.met.path_since and one.cookie is not None]
    if not states:
        return []
    (found,) = run_in_threads([partial(_hold_others, context, states)], context.stop)
    return found


def _hold_others(context: PassContext, states: Iterable[NetnsState]) -> list[MetNetns]:
    """Moves the calling thread (kernel.netns)."""
    entering = Entering(context.procfs.root)
    found = []
    for state in states:
        context.keep_pace()
        if context.is_over():
            break
        try:
            if context.registry.hold_other(state.met, partial(_has_other_cookie, entering, state.cookie)):
                found.append(state.met)
        except Gone:
            continue  # Nothing leads to it any more.
        except NotRead as err:
            context.gaps.note(Stage.NETNS, state.met.subject, err)
    return found


def _has_other_cookie(entering: Entering, known: int | None, fd: int) -> bool:
    """Whether an open netns is not the one with this cookie; may move the calling thread there. Raises NotRead."""
    cookie = entering.read_cookie(fd)
    if cookie is None:
        entering.enter(fd)
        with SockDiag() as diag:
            cookie = diag.read_netns_cookie()
    return cookie is not None and cookie != known


def drop_closed(context: PassContext, unheld: Sequence[Unheld]) -> None:
    """Look these rows up again and note which have closed since, and which cannot be looked up."""
    buffer = make_buffer()
    inside = []
    for one in unheld:
        if context.stop.is_set():
            return
        if one.netns.diag is not None and find_net_file(one.table) is None:
            _settle_by_netlink(context, one, one.netns.diag, buffer)
        elif one.netns.diag is None and one.netns.engine is EngineName.PROC:
            _settle_by_proc(context, one)
        elif one.places:
            inside.append(one)
    if inside:
        run_in_threads([partial(_settle_inside, context, inside, buffer)], context.stop)


def _settle_by_netlink(context: PassContext, unheld: Unheld, diag: SockDiag, buffer: bytearray) -> None:
    state, table, places = unheld
    try:
        state.settle(places, diag.find_closed(table, places, buffer))
    except DumpUnavailable:
        state.settle(places, None)
    except (NotRead, FormatError) as err:
        state.settle(places, None)
        context.gaps.note(Stage.TABLES, table_subject(table.protocol, state.met), err)


def _settle_by_proc(context: PassContext, unheld: Unheld) -> None:
    """By what a process in that netns shows; unsettled where nobody is left in it."""
    state, table, places = unheld
    try:
        closed = ask_member(context.procfs, state.met, lambda process: find_absent(table, places, process.read_net))
    except NotRead:
        closed = None
    state.settle(places, closed)


def _settle_inside(context: PassContext, unheld: Sequence[Unheld], buffer: bytearray) -> None:
    """Look rows up again that netlink has no table of, or in netns that were let go; moves the calling thread."""
    entering = Entering(context.procfs.root)
    for one in unheld:
        state, table, places = one
        try:
            with _visit(state, entering) as diag:
                if find_net_file(table) is None:
                    _settle_by_netlink(context, one, diag, buffer)
                else:
                    state.settle(places, find_absent(table, places, entering.read_net))
        except Gone:
            state.settle(places, None)
        except NotRead as err:
            state.settle(places, None)
            context.gaps.note(Stage.TABLES, table_subject(table.protocol, state.met), err)


def name_interfaces(context: PassContext) -> None:
    """Read the names of the interfaces that rows are bound to."""
    unnamed = [
        (state, indexes)
        for state in context.reader.list_states()
        if state.engine is EngineName.SOCK_DIAG and (indexes := sorted(state.list_interfaces()))
    ]
    if unnamed:
        run_in_threads([partial(_name_interfaces, context, unnamed)], context.stop)


def _name_interfaces(context: PassContext, unnamed: Iterable[tuple[NetnsState, Sequence[int]]]) -> None:
    """Name those of these netns; moves the calling thread (kernel.netns)."""
    entering = Entering(context.procfs.root)
    for state, indexes in unnamed:
        try:
            with nullcontext(state.diag) if state.diag else _visit(state, entering) as diag:
                names = ((index, diag.read_interface_name(index)) for index in indexes)
                state.interface_names = tuple((index, name) for index, name in names if name is not None)
        except (Gone, NotRead):
            continue  # They keep their numbers.


@contextmanager
def _visit(state: NetnsState, entering: Entering) -> Iterator[SockDiag]:
    """A sock_diag socket in a netns whose own may be closed; moves the calling thread there.

    Raises Gone if it cannot be reached any more, or is another one by now.
    """
    state.met.enter(entering)
    with SockDiag() as diag:
        if diag.read_netns_cookie() != state.cookie:
            raise Gone(f"netns {state.met.inode}")
        yield diag
