"""procfs under any root: one read per fact, and all facts of a process through one held directory.

Reads through a held /proc/PID directory fd fail with ESRCH once that process is gone, also after
its PID was given out again: they can never mix two processes. The exception is listdir of a dead
directory, which gives [] and no error.

Source: proc(5), fs/proc/base.c. Which netns tables there are and how to enter one is not here.
"""

import os
import re
from collections.abc import Callable
from errno import EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ESRCH
from stat import S_ISLNK
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

from nsagent.errors import FormatError, Gone, NotRead, ProcessGone, Reason
from nsagent.kernel.files import read_file, read_lines, translate_errno, translate_failure
from nsagent.kernel.formats.fd_link import parse_inode_link
from nsagent.kernel.formats.mountinfo import NetnsMounts, collect_netns_mounts, parse_mount_roots
from nsagent.kernel.formats.pid_stat import PidStat, parse_pid_stat
from nsagent.kernel.libc import close_fd
from nsagent.kernel.nsfs import open_netns
from nsagent.kernel.proc_mount import read_proc_mount
from nsagent.kernel.sockfs import read_protocol_name
from nsagent.model.ids import Fd, Pid, SocketInode

if TYPE_CHECKING:
    from nsagent.kernel.formats.pid_status import Family

T = TypeVar("T")

_MOST_BYTES = 4 << 20
_SLICE = 1024
_NOT_COUNTED = b"0 0 0\n"
"""What a kernel before Linux 5.14 without CONFIG_SCHEDSTATS writes for each thread if booted with nodelayacct."""


class FdLinks(NamedTuple):
    """The links of one fd table, by ascending fd: (fd, inode) of sockets and of netns held open; io_urings.

    `fds` is how many it has, those of other files too.
    """

    sockets: tuple[tuple[Fd, SocketInode], ...]
    netns: tuple[tuple[Fd, int], ...]
    rings: tuple[Fd, ...] = ()
    fds: int = 0


class Instance(NamedTuple):
    """What the directory of a process is in the kernel: while that keeps it, equal ones are of one process.

    Its inode is made for one process, with the next number and the time; another one, of whichever pid, never gets it.
    Source: fs/proc/base.c proc_pid_make_inode(), fs/inode.c get_next_ino().
    """

    inode: int
    made_ns: int
    uid: int
    """As read_uid() gives it."""


class ProcessDir:
    """A process (or, under task/, a thread) through its held directory; a context manager.

    `number` is its pid or tid, `subject` what errors call it, `path` where it is. Every method raises Gone for what is
    not there, ProcessGone where that is sure to be the process itself, and NotRead.
    """

    def __init__(self, fd: int, number: int, subject: str, path: str) -> None:
        self.number = number
        self.subject = subject
        self.path = path
        self._fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the directory."""
        close_fd(self._fd)

    def duplicate(self) -> "ProcessDir":
        """The same directory held once more, to be closed by itself; raises NotRead."""
        return ProcessDir(self._call(lambda: os.dup(self._fd)), self.number, self.subject, self.path)

    def read_stat(self) -> PidStat:
        """Its stat line, which every process has: raises ProcessGone without, and FormatError."""
        try:
            return parse_pid_stat(self._read("stat", whole=True))
        except Gone as err:
            raise ProcessGone(self.subject) from err

    def read_leader(self) -> Pid:
        """The pid of the process that it is, or is a thread of: /proc/N is there for a thread id too, unlisted."""
        status = self._read("status")
        found = re.search(rb"^Tgid:\t(\d+)$", status, re.MULTILINE)
        if found is None:
            raise FormatError("a line like Tgid:\t1", status)
        return Pid(int(found[1]))

    def read_uid(self) -> int:
        """Its effective uid; 0 if it is not dumpable."""
        return self._call(lambda: os.fstat(self._fd).st_uid)

    def read_instance(self) -> Instance:
        """Which directory it is, and whose. Takes 1 us."""
        found = self._call(lambda: os.fstat(self._fd))
        return Instance(found.st_ino, found.st_ctime_ns, found.st_uid)

    def read_cgroup(self) -> str:
        """The text of its cgroup file: one line a hierarchy, paths relative to the reader's cgroup namespace.

        Empty on a kernel without cgroups, which has no such file.
        """
        try:
            return self._read("cgroup", whole=True).decode("utf-8", "surrogateescape")
        except Gone:
            self.read_stat()
            return ""

    def read_schedstat(self, tid: int | None = None) -> bytes:
        """How its first thread, or another one of it, has run; b"" if that is not told.

        ns on a CPU, ns waiting for one, times put on one. Source: fs/proc/base.c proc_pid_schedstat(),
        CONFIG_SCHED_INFO. Takes 9 us.
        """
        try:
            schedstat = self._read("schedstat" if tid is None else f"task/{tid}/schedstat", whole=True)
        except (Gone, NotRead):
            return b""
        return b"" if schedstat == _NOT_COUNTED else schedstat

    def read_state(self, tid: int | None = None) -> str:
        """The letter of the state of its first thread, or of another one: as in its stat line, at half the price."""
        line = self._read("stat" if tid is None else f"task/{tid}/stat", whole=True)
        start = line.rfind(b")") + 2
        return line[start : start + 1].decode("ascii", "replace")

    def count_fds(self) -> int:
        """How many fds it has; 0 before Linux 6.2, and where that may not be read."""
        try:
            return os.stat("fd", dir_fd=self._fd).st_size
        except OSError:
            return 0

    def read_netns_inode(self) -> int:
        """The N of ns/net; needs CAP_SYS_PTRACE over the process."""
        return self._read_ns("net")

    def read_mount_namespace(self) -> int:
        """The N of ns/mnt; needs CAP_SYS_PTRACE over the process."""
        return self._read_ns("mnt")

    def read_pid_namespace(self) -> int:
        """The N of ns/pid; needs CAP_SYS_PTRACE over the process."""
        return self._read_ns("pid")

    def read_family(self) -> "Family":
        """Whose child it is, and its pids; raises FormatError too."""
        # Imported here: few passes ask, and it takes all records of what is told of one process.
        from nsagent.kernel.formats.pid_status import parse_family

        return parse_family(self._read("status"))

    def list_mount_roots(self) -> list[str]:
        """Of each mount of its mount namespace, what of the file system is mounted; nothing of a table over 4 MiB."""
        data = self._call(lambda: read_file("mountinfo", dir_fd=self._fd, most=_MOST_BYTES))
        return parse_mount_roots(data) if len(data) <= _MOST_BYTES else []

    def read_root(self) -> str:
        """The path of its root directory, as the root of its mount namespace sees it: what its mountinfo is cut to."""
        return self._call(lambda: os.readlink("root", dir_fd=self._fd))

    def read_netns_key(self) -> int:
        """The st_ino of net/dev, which differs between netns and needs no privilege."""
        return self._call(lambda: os.stat("net/dev", dir_fd=self._fd).st_ino)

    def open_netns(self) -> int:
        """An fd on its netns, to be closed by the caller; needs CAP_SYS_PTRACE over the process."""
        return self._call(lambda: open_netns("ns/net", dir_fd=self._fd))

    def open_netns_of_fd(self, fd: Fd) -> int:
        """An fd on the netns that it holds open by one of its own, to be closed by the caller.

        Raises Gone too where that holds something else by now, which is not opened.
        """
        return self._call(lambda: open_netns(f"fd/{fd}", dir_fd=self._fd))

    def read_netns_mounts(self, most_path_bytes: int, *, trusted: bool = False) -> NetnsMounts:
        """The netns bind-mounted below its root, as collect_netns_mounts() has them; raises FormatError too.

        NotRead is TOO_MANY where its mountinfo has more than 64 MiB, which takes 0.3 s to read.
        """
        fd = self._call(lambda: os.open("mountinfo", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._fd))
        try:
            return self._call(
                lambda: collect_netns_mounts(read_lines(fd, self.subject), most_path_bytes, trusted=trusted)
            )
        finally:
            close_fd(fd)

    def fileno(self) -> int:
        """The fd that holds the directory."""
        return self._fd

    def read_net(self, name: str) -> bytes:
        """The file net/NAME of its netns; empty where this kernel has no such table.

        Raises Gone for a zombie too, which has no netns any more.
        """
        try:
            return self._read("net/" + name)
        except Gone:
            self._check_netns()
            return b""

    def list_threads(self) -> list[int]:
        """Its thread ids; [] may mean that it is gone."""
        return sorted(int(name) for name in self._call(lambda: self._listdir("task")) if is_number(name))

    def read_netns_of_thread(self, tid: int) -> int:
        """The N of ns/net of one of its threads; takes 2 us."""
        return self._read_ns("net", f"task/{tid}/ns/")

    def open_thread(self, tid: int) -> "ProcessDir":
        """The directory of one of its threads, which has the same files."""
        fd = self._call(lambda: os.open(f"task/{tid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd))
        return ProcessDir(fd, tid, f"{self.subject} thread {tid}", f"{self.path}/task/{tid}")

    def read_fdinfo(self, fd: Fd) -> bytes:
        """What the kernel tells of one of its open files; needs CAP_SYS_PTRACE. NotRead is TOO_LARGE beyond 4 MiB."""
        data = self._call(lambda: read_file(f"fdinfo/{fd}", dir_fd=self._fd, most=_MOST_BYTES))
        if len(data) > _MOST_BYTES:
            raise NotRead(self.subject, Reason.TOO_LARGE)
        return data

    def read_socket_protocol(self, fd: Fd, inode: SocketInode) -> str:
        """The name of the protocol of the socket with this inode at one of its fds, as in /proc/net/protocols.

        Raises Gone too where that fd is something else by now, of which nothing is asked.
        """
        return self._call(lambda: read_protocol_name(f"fd/{fd}", inode, dir_fd=self._fd))

    def open_live_thread(self) -> "ProcessDir":
        """One of its threads that has not exited: where the leader is dead, that has the fds and the netns."""
        for tid in self.list_threads():
            try:
                with self.open_thread(tid) as thread:
                    live = not thread.read_stat().is_dead
                if live:
                    return self.open_thread(tid)
            except Gone:
                continue
        raise ProcessGone(self.subject)

    def read_fd_links(self, pace: Callable[[], object] = lambda: None) -> FdLinks:
        """Its fds that are sockets or hold a netns; needs CAP_SYS_PTRACE over the process.

        The links are read, never followed: a stat could hang in a dead NFS mount, and the inode of
        an O_PATH fd on a socket file is not that of a socket. A link that cannot be read concerns
        that fd alone, unless the whole process is gone or denied. Costs about 4 us an fd, nearly
        all of it in the kernel. `pace` is called before each 1024 of them.
        """
        sockets: list[tuple[Fd, SocketInode]] = []
        netns: list[tuple[Fd, int]] = []
        rings: list[Fd] = []
        fd_dir = self._call(lambda: os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd))
        try:
            names = self._call(lambda: os.listdir(fd_dir))
            closed = not names
            readlink = os.readlink
            for start in range(0, len(names), _SLICE):
                pace()
                for name in names[start : start + _SLICE]:
                    try:
                        target = readlink(name, dir_fd=fd_dir)
                        if target[:1] == "/":
                            continue
                        if target[:8] == "socket:[":
                            digits = target[8:-1]
                            if digits.isascii() and digits.isdigit() and target[-1] == "]":
                                sockets.append((Fd(int(name)), SocketInode(int(digits))))
                        elif target[:5] == "net:[" and (inode := parse_inode_link(target, "net")) is not None:
                            netns.append((Fd(int(name)), inode))
                        elif target == "anon_inode:[io_uring]":
                            rings.append(Fd(int(name)))
                    except OSError as err:
                        if err.errno == ENOENT:
                            closed = True
                        elif err.errno not in (ENAMETOOLONG, ELOOP) and not _is_other_file(fd_dir, name, err):
                            raise translate_errno(err, self.subject) from err
                    except ValueError:
                        continue  # Not a link of the kernel's making: a fixture tree may hold anything.
        finally:
            close_fd(fd_dir)
        if closed:
            self.read_stat()  # No fds, or fds that closed: raises ProcessGone if it is the process that went.
        return FdLinks(tuple(sorted(sockets)), tuple(sorted(netns)), tuple(sorted(rings)), len(names))

    def _check_netns(self) -> None:
        """Raises Gone where it has no netns (any more): there is no directory of files of one then."""
        try:
            self._call(lambda: self._listdir("net"))
        except NotRead as err:
            if err.errno == "EINVAL":  # proc_tgid_net_readdir() of a zombie.
                raise Gone(f"{self.subject}: no netns") from err
            raise

    def _read_ns(self, kind: str, directory: str = "ns/") -> int:
        target = self._call(lambda: os.readlink(directory + kind, dir_fd=self._fd))
        inode = parse_inode_link(target, kind)
        if inode is None:
            raise FormatError(f"a link like {kind}:[4026531840]", target)
        return inode

    def _read(self, name: str, *, whole: bool = False) -> bytes:
        return self._call(lambda: read_file(name, dir_fd=self._fd, whole=whole))

    def _listdir(self, name: str) -> list[str]:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd)
        try:
            return os.listdir(fd)
        finally:
            close_fd(fd)

    def _call(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except OSError as err:
            raise translate_errno(err, self.subject) from err


class ProcFs:
    """A procfs, live or copied: `root` is where it is, as in /proc or /host/proc.

    `covered` are processes that are not to be read, as what is at their paths is not theirs.
    """

    def __init__(self, root: str = "/proc", covered: frozenset[int] = frozenset()) -> None:
        self.root = root.rstrip("/") or "/"
        self._covered = covered

    def list_pids(self) -> list[Pid]:
        """The processes there are, ascending; raises NotRead for the root itself."""
        try:
            return sorted(Pid(int(name)) for name in os.listdir(self.root) if is_number(name))
        except OSError as err:
            raise translate_failure(err, self.root) from err

    def open_process(self, pid: Pid) -> ProcessDir:
        """Its directory, held; raises ProcessGone and NotRead."""
        if pid in self._covered:
            raise NotRead(f"pid {pid}", Reason.UNREACHABLE)
        path = f"{self.root}/{pid}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as err:
            if err.errno in (ENOENT, ESRCH):
                raise ProcessGone(f"pid {pid}") from err
            raise translate_errno(err, f"pid {pid}") from err
        return ProcessDir(fd, pid, f"pid {pid}", path)

    def read_own_pid(self) -> Pid | None:
        """This process's PID in there, None if it is not in there (a fixture tree, a foreign PID namespace)."""
        try:
            name = os.readlink(f"{self.root}/self")
        except OSError:
            return None
        return Pid(int(name)) if is_number(name) else None

    def shows_own_pids(self) -> bool:
        """Whether its PIDs are those of this program's PID namespace, so that system calls understand them."""
        return self.read_own_pid() == os.getpid()

    def read_sysctl(self, name: str) -> str | None:
        """A file of sys/, as `kernel/random/boot_id`; None where /proc/sys is hidden."""
        try:
            return read_file(f"{self.root}/sys/{name}").decode("ascii", "replace").strip()
        except OSError:
            return None

    def is_live(self) -> bool:
        """Whether this is a procfs of the running kernel."""
        return read_proc_mount(self.root).live


def is_number(name: str) -> bool:
    """Whether a name is a number as procfs writes it; int() would take other scripts' digits too."""
    return name.isascii() and name.isdigit()


def _is_other_file(directory: int, name: str, err: OSError) -> bool:
    """Whether a link could not be read as it is none: the kernel makes no such fd, but a copied tree may."""
    return err.errno == EINVAL and not S_ISLNK(os.lstat(name, dir_fd=directory).st_mode)
