"""Parts of what is known of one process, each as one file of /proc/PID tells it."""

from enum import StrEnum
from typing import NamedTuple

from nsagent.model.ids import Fd, Pid, Tid


class Status(NamedTuple):
    """What /proc/PID/status tells, but memory; None where this kernel does not tell it."""

    parent: Pid
    """0 where it is not seen in the PID namespace of the procfs."""
    pids: tuple[Pid, ...]
    """Its pids: in the PID namespace of the procfs first, in its own last."""
    tracer: Pid
    """Who traces it, 0 for nobody."""
    umask: int | None
    uids: tuple[int, int, int, int]
    """Real, effective, saved, of the file system; like `gids`."""
    gids: tuple[int, int, int, int]
    groups: tuple[int, ...]
    """The supplementary ones."""
    threads: int | None
    """None for a zombie too."""
    capabilities: "Capabilities"
    no_new_privs: bool | None
    seccomp: "Seccomp | None"
    seccomp_filters: int | None
    voluntary_switches: int | None
    """How often it gave up a CPU, and below how often one was taken from it; of its first thread."""
    involuntary_switches: int | None


class Capabilities(NamedTuple):
    """The sets of capabilities of a process, each by name, as in `net_admin`, in the order of their numbers."""

    inheritable: tuple[str, ...]
    permitted: tuple[str, ...]
    effective: tuple[str, ...]
    bounding: tuple[str, ...]
    ambient: tuple[str, ...]


class Seccomp(StrEnum):
    """What becomes of its system calls."""

    OFF = "off"
    STRICT = "strict"
    FILTER = "filter"


class StatusMemory(NamedTuple):
    """The memory lines of /proc/PID/status, in bytes; None where there are none, as of a kernel thread."""

    virtual_bytes: int | None
    virtual_peak_bytes: int | None
    resident_bytes: int | None
    resident_peak_bytes: int | None
    swap_bytes: int | None
    locked_bytes: int | None


class Statm(NamedTuple):
    """What /proc/PID/statm tells, in bytes: it has two more fields that are 0 since Linux 2.6."""

    virtual_bytes: int
    resident_bytes: int
    shared_bytes: int
    text_bytes: int
    data_bytes: int


class Rollup(NamedTuple):
    """The sums of all mappings, in bytes (/proc/PID/smaps_rollup); None where this kernel does not tell one."""

    resident_bytes: int
    pss_bytes: int
    """Its proportional share: a page that n processes map counts one nth."""
    pss_anonymous_bytes: int | None
    pss_file_bytes: int | None
    pss_shared_memory_bytes: int | None
    private_clean_bytes: int
    private_dirty_bytes: int
    swap_bytes: int
    swap_pss_bytes: int | None


class Mapping(NamedTuple):
    """One line of /proc/PID/maps.

    `permissions` are as in `r-xp`; `path` is all behind the inode, with ` (deleted)` where the kernel writes that,
    and empty for anonymous memory.
    """

    start: int
    end: int
    permissions: str
    offset: int
    major: int
    minor: int
    inode: int
    path: str

    @property
    def is_readable(self) -> bool:
        """Whether the process may read it."""
        return self.permissions[:1] == "r"


class MapsSummary(NamedTuple):
    """The mappings of a process in short; sizes are of addresses, not of memory that is in use."""

    mappings: int
    mapped_bytes: int
    anonymous_bytes: int
    executable_bytes: int
    writable_executable_bytes: int
    """What may be both written and run."""
    files: tuple[str, ...]
    """What is mapped, each path once, in the order of the addresses."""
    deleted_files: tuple[str, ...]
    """Those of which the kernel writes that they are deleted."""
    cut: bool = False
    """Whether there are more than were read: then all of this counts the first ones alone."""


class Io(NamedTuple):
    """What /proc/PID/io tells, of all its threads, those that have ended too."""

    read_characters: int
    """Bytes that read(2) and the like returned, from whatever it was."""
    written_characters: int
    read_calls: int
    write_calls: int
    read_bytes: int
    """Bytes that were fetched from storage for it."""
    written_bytes: int
    cancelled_write_bytes: int
    """Of those written, what never got to storage as its file was truncated."""


class Limit(NamedTuple):
    """One line of /proc/PID/limits; a bound of None is no limit. `unit` is empty where there is none."""

    name: str
    soft: int | None
    hard: int | None
    unit: str


class Namespace(NamedTuple):
    """One of the namespaces of a process.

    `is_host` is whether it is that of the kernel's own threads, None where none of these is seen.
    """

    kind: str
    inode: int
    is_host: bool | None


class Thread(NamedTuple):
    """One thread of a process; `state` is the kernel's letter."""

    tid: Tid
    comm: str
    state: str


class FdKind(StrEnum):
    """What an fd is; `path` where it is a path of which nobody could be asked what is there."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    CHARACTER_DEVICE = "character_device"
    BLOCK_DEVICE = "block_device"
    FIFO = "fifo"
    SOCKET_FILE = "socket_file"
    SOCKET = "socket"
    PIPE = "pipe"
    MEMFD = "memfd"
    NAMESPACE = "namespace"
    ANON_INODE = "anon_inode"
    PATH = "path"


class FileStatus(NamedTuple):
    """What stat(2) says of a file."""

    mode: int
    device: int
    inode: int
    links: int
    size_bytes: int
    modified_ns: int
    """Since the epoch."""


class OpenFd(NamedTuple):
    """One fd: what its link says, and of a regular file what the file says.

    `target` is as the kernel writes it: a path as the mount namespace has it that the file was opened in.
    """

    fd: Fd
    target: str
    kind: FdKind
    size_bytes: int | None
    modified_ns: int | None


class Checksum(NamedTuple):
    """A checksum by name of the algorithm, `sha256`; that of memory is called `mem:sha256`, as no file has it."""

    algorithm: str
    hex: str


class ImageState(StrEnum):
    """What became of the file that a process runs, as its own root directory shows it.

    `present`: it is where it was. `replaced`: another file is there. `deleted`: no name is left of it. `unlinked`:
    nothing is there, another name is left. `memfd`: it never had one.
    """

    PRESENT = "present"
    REPLACED = "replaced"
    DELETED = "deleted"
    UNLINKED = "unlinked"
    MEMFD = "memfd"


class Image(NamedTuple):
    """The file that a process runs; None for what could not be read."""

    target: str
    """What the link of exe says."""
    path: str | None
    """Where its own root directory has it, or had it; None of a memfd, and of what is outside of that root."""
    host_path: str | None
    """Where this program's own root has the same file; None where it is not found there."""
    state: ImageState | None
    file: FileStatus | None
    checksums: tuple[Checksum, ...] = ()
    """Those that were asked for, of the file that runs, whatever is at its path by now."""


class MemoryImage(NamedTuple):
    """What a process has in memory of a file that it maps: readable mappings alone, in the order of addresses."""

    path: str
    mappings: int
    """How many were read."""
    size_bytes: int
    """How much was read."""
    unreadable_bytes: int
    """How much of them the kernel refused, as of a file that is shorter by now."""
    cut: bool
    """Whether there is more than is read at most."""
    checksums: tuple[Checksum, ...]
