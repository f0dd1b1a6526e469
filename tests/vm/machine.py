"""Run a command in the machine that tests/vm/build has made: `python -m tests.vm.machine COMMAND...`.

It stands in /opt/nsagent there, a copy of this checkout, as root under systemd; its exit status is
this one's. The machine is new for each command and ends with it. What the command leaves in /bed is
in `build/vm/share` then. NSAGENT_VM_ACCELERATOR is qemu's: `tcg,thread=multi` works everywhere, with `kvm`
Python is 10 to 17 times faster.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PLACE: Final = ROOT / "build" / "vm"
SHARE: Final = PLACE / "share"
LEFT_OUT: Final = frozenset(
    (".venv", ".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__", "build")
)
SECONDS: Final = 45 * 60
POWER_OFF_SECONDS: Final = 60
CONSOLE_TAIL_BYTES: Final = 4000


def run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit status of a command in there; its output is printed as it comes. Raises TimeoutError, RuntimeError."""
    fill_share(command)
    printed = 0
    with booted(environ.get("NSAGENT_VM_ACCELERATOR", "tcg,thread=multi")) as machine:
        end = time.monotonic() + SECONDS
        while not (status := read_share("status")).endswith(b"\n"):
            printed += show_output(printed)
            if machine.poll() is not None:
                raise RuntimeError(f"the machine ended by itself; the end of its console:\n{read_console()}")
            if time.monotonic() > end:
                raise TimeoutError(f"no end after {SECONDS} s")
            time.sleep(0.2)
        show_output(printed)
        # It powers off by itself; nothing of it is kept.
        try:
            machine.wait(POWER_OFF_SECONDS)
        except subprocess.TimeoutExpired:
            print("the machine does not power off: killed", file=sys.stderr)
    return int(status)


def fill_share(command: Sequence[str]) -> None:
    """Put into the share what the machine is to run, and this checkout."""
    shutil.rmtree(SHARE, ignore_errors=True)
    SHARE.mkdir(parents=True)
    (SHARE / "command").write_text(shlex.join(command) + "\n")
    with tarfile.open(SHARE / "nsagent.tar", "w") as tar:
        tar.add(ROOT, ".", filter=lambda entry: None if LEFT_OUT.intersection(Path(entry.name).parts) else entry)


@contextmanager
def booted(accelerator: str) -> Iterator[subprocess.Popen[bytes]]:
    """The machine as a process, killed in the end if it has not ended."""
    share = f"local,path={SHARE},mount_tag=bed,security_model=none,id=bed"
    command = [
        "qemu-system-x86_64",
        *("-accel", accelerator, "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "4096"),
        *("-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{PLACE / 'console.log'}"),
        *("-kernel", str(PLACE / "vmlinuz"), "-initrd", str(PLACE / "initrd")),
        *("-append", "console=ttyS0 panic=-1 quiet"),
        *("-drive", f"file={PLACE / 'disk.img'},format=raw,if=virtio,snapshot=on"),
        *("-device", "virtio-rng-pci", "-virtfs", share),
    ]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as machine:
        try:
            yield machine
        finally:
            machine.kill()


def show_output(offset: int) -> int:
    """Print what the command has said beyond so many bytes; how many more that are."""
    said = read_share("output")[offset:]
    sys.stdout.buffer.write(said)
    sys.stdout.buffer.flush()
    return len(said)


def read_share(name: str) -> bytes:
    """A file of the share; nothing where it is not there yet."""
    try:
        return (SHARE / name).read_bytes()
    except FileNotFoundError:
        return b""


def read_console() -> str:
    """What the kernel and systemd said last."""
    return (PLACE / "console.log").read_bytes()[-CONSOLE_TAIL_BYTES:].decode(errors="replace")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], os.environ))
