"""Facts as Hypothesis makes them: every field, with the odd text that kernels and runtimes give."""

from hypothesis import strategies as st

from nsagent.errors import Reason
from nsagent.model.choices import EngineName
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.facts import (
    Facts,
    FoundBy,
    HeldBy,
    Interface,
    NetnsReading,
    ProcessCounts,
    ProcessReading,
    RawTable,
    Rewalk,
    TableFormat,
    Visibility,
)
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import ContainerId, Fd, NetnsId, Pid, PodUid, SocketInode, Tid
from nsagent.model.net import Protocol
from nsagent.scan.capture import YEAR_10000_NS

TEXT = st.binary(max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
"""With surrogates for bytes that are not UTF-8, control characters and NUL."""

NUMBERS = st.integers(0, (1 << 64) - 1)
COUNTS = st.integers(0, 5000)


def many(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


SUBJECTS = st.builds(Subject, st.sampled_from(Kind), TEXT, st.none() | st.sampled_from(Protocol))
GAPS = st.builds(
    Gap, st.sampled_from(Stage), SUBJECTS, st.sampled_from(Reason), st.none() | TEXT, st.none() | TEXT, COUNTS
)
PROCESSES = st.builds(
    ProcessReading,
    pid=NUMBERS.map(Pid),
    start_ticks=NUMBERS,
    comm=TEXT,
    uid=NUMBERS,
    kernel_thread=st.booleans(),
    netns_inode=st.none() | NUMBERS,
    netns_key=st.none() | NUMBERS,
    cgroup=TEXT,
    threads=COUNTS,
    socket_fds=st.none() | many(st.tuples(COUNTS.map(Fd), NUMBERS.map(SocketInode))),
    tid=st.none() | COUNTS.map(Tid),
    held_by=st.sampled_from(HeldBy),
)
TABLES = st.builds(RawTable, st.sampled_from(TableFormat), st.sampled_from(Protocol), COUNTS, st.binary(max_size=300))
INTERFACES = st.builds(
    Interface,
    index=COUNTS,
    name=TEXT,
    kind=st.none() | TEXT,
    up=st.booleans(),
    mac=st.none() | TEXT,
    addresses=many(TEXT),
    peer_index=st.none() | COUNTS,
    peer_netns=st.none() | NUMBERS,
)
NETNS = st.builds(
    NetnsReading,
    id=st.none() | st.builds(NetnsId, NUMBERS, NUMBERS),
    key=st.none() | NUMBERS,
    cookie=st.none() | NUMBERS,
    mounts=many(TEXT),
    is_host=st.booleans(),
    found_by=many(st.sampled_from(FoundBy)),
    engine=st.none() | st.sampled_from(EngineName),
    empty=st.booleans(),
    sockstat=st.none() | TEXT,
    tables=many(TABLES),
    closed=st.frozensets(NUMBERS.map(SocketInode), max_size=3),
    unsettled=st.frozensets(NUMBERS.map(SocketInode), max_size=3),
    mptcp_counted=st.none() | COUNTS,
    interface_names=many(st.tuples(COUNTS, TEXT)),
    interfaces=st.none() | many(INTERFACES),
)
CONTAINERS = st.builds(
    Container,
    id=TEXT.map(ContainerId),
    name=st.none() | TEXT,
    name_state=st.sampled_from(NameState),
    runtime=st.none() | st.sampled_from(Runtime),
    image=st.none() | TEXT,
    verified=st.booleans(),
    source=TEXT,
    labels=st.dictionaries(TEXT, TEXT, max_size=2),
    chain=many(TEXT.map(ContainerId)),
    sandboxed=st.none() | TEXT,
    pod=st.none() | st.builds(Pod, st.none() | TEXT.map(PodUid), st.none() | TEXT, st.none() | TEXT),
    container_name=st.none() | TEXT,
)
FACTS = st.builds(
    Facts,
    host=TEXT,
    boot_id=st.none() | TEXT,
    byteorder=st.sampled_from(("little", "big")),
    taken_at_ns=st.integers(0, YEAR_10000_NS - 1),
    duration_seconds=st.floats(0, 1e9),
    engine=st.sampled_from(EngineName),
    processes=many(PROCESSES),
    process_counts=st.builds(ProcessCounts, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
    netns=many(NETNS),
    containers=many(CONTAINERS),
    sources=many(TEXT),
    gaps=many(GAPS),
    protocols=many(st.sampled_from(Protocol)),
    deep=st.booleans(),
    visibility=st.builds(Visibility, st.none() | TEXT, st.none() | TEXT, st.booleans(), st.booleans()),
    rewalk=st.none() | st.builds(Rewalk, COUNTS, COUNTS, COUNTS, COUNTS, st.floats(0, 1e9)),
    cgroup_paths=many(st.tuples(COUNTS, TEXT)),
    stale_names=many(TEXT),
)
