"""What a socket of others says of itself: another file in its place is asked nothing, whatever the link said before."""

import threading

import pytest

from nsagent.errors import Gone
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.ids import Fd, Pid, SocketInode
from tests.kernel.children import start_child
from tests.live.capabilities import Capability, require

ENOUGH_SECONDS = 5.0
HOLD = """
made = socket.socket({family}, {kind})
ready(f"{{made.fileno()}} {{os.fstat(made.fileno()).st_ino}}")
"""
SWAP = """
sys.stdin.readline()
os.dup2({other}, made.fileno())
ready("swapped")
wait()
"""
MOUNT_SILENT = """
import ctypes
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
assert ctypes.CDLL(None).mount(b"silent", b"/mnt", b"fuse", 0, options.encode()) == 0
"""
STREAM = HOLD.format(family="socket.AF_INET", kind="socket.SOCK_STREAM")


def read_protocol(process: ProcessDir, fd: int, inode: int) -> str:
    try:
        return process.read_socket_protocol(Fd(fd), SocketInode(inode))
    except Gone:
        return "gone"


@pytest.mark.usefixtures("same_fds")
@pytest.mark.parametrize(
    ("family", "kind", "name"),
    [
        ("socket.AF_INET", "socket.SOCK_STREAM", "TCP"),
        ("socket.AF_INET", "socket.SOCK_DGRAM", "UDP"),
        ("socket.AF_NETLINK", "socket.SOCK_RAW", "NETLINK"),
        ("socket.AF_UNIX", "socket.SOCK_STREAM", "UNIX-STREAM"),
    ],
)
def test_a_socket_tells_its_protocol_where_it_is_the_one_that_is_meant(family: str, kind: str, name: str) -> None:
    with start_child(HOLD.format(family=family, kind=kind) + "wait()") as child:
        fd, inode = map(int, child.said.split())
        with ProcFs().open_process(Pid(child.pid)) as process:
            names = [read_protocol(process, *one) for one in ((fd, inode), (fd, inode + 1), (fd + 1, inode))]
    assert names == [name, "gone", "gone"]


@pytest.mark.usefixtures("same_fds")
@pytest.mark.parametrize("other", ["os.open('/', os.O_PATH)", "os.open('/dev/null', os.O_RDONLY)", "os.pipe()[0]"])
def test_a_file_that_took_its_place_is_no_socket(other: str) -> None:
    with start_child(STREAM + SWAP.format(other=other)) as child:
        child.say("go on")
        with ProcFs().open_process(Pid(child.pid)) as process:
            fd, inode = map(int, child.said.split())
            assert read_protocol(process, fd, inode) == "gone"


@pytest.mark.usefixtures("same_fds")
def test_a_file_system_that_never_answers_is_not_asked() -> None:
    require(Capability.ROOT, Capability.FUSE, Capability.SETPRIV)
    program = STREAM + MOUNT_SILENT + SWAP.format(other="os.open('/mnt', os.O_PATH)")
    found: list[str] = []
    with start_child(program, "unshare", "--mount", "--") as child:
        child.say("go on")
        fd, inode = map(int, child.said.split())
        with ProcFs().open_process(Pid(child.pid)) as process:
            # Whoever is held up goes on as soon as the child, and so the server, has ended.
            asking = threading.Thread(target=lambda: found.append(read_protocol(process, fd, inode)))
            asking.start()
            asking.join(ENOUGH_SECONDS)
            told = list(found)
            child.end()
            asking.join()
    assert told == ["gone"]
